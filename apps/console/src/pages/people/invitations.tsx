import type { Invitation } from '@sallyport/api';
import type { JSX } from 'preact';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/people.css';
import { useAction } from '../../ui/action.ts';
import { Button, LinkButton } from '../../ui/button.tsx';
import { ask } from '../../ui/dialog.tsx';
import { Empty, Loaded, Page } from '../../ui/page.tsx';
import { Ago, SearchField } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';

const text = t.people.invitations;

export default function InvitationsPage(): JSX.Element {
  const [{ search = '', after = '' }, set] = useSearchState();
  const invitations = useQuery('listInvitations', { query: { search, after } }, { keepPrevious: true });
  const { busy, run } = useAction();
  const revoke = async ({ id, userName }: Invitation): Promise<void> => {
    const title = text.revokeTitle(userName);
    if (!(await ask({ title, text: text.revokeText, action: text.revoke }))) return;
    await call('deleteInvitation', { params: { invitationId: id } });
    changed('invitation');
    done(text.revoked(userName));
  };
  const invite = may('users:write') && (
    <LinkButton kind="primary" href="/users?add=1">
      {text.invite}
    </LinkButton>
  );
  return (
    <Page title={text.title} intro={text.intro} actions={invite}>
      <Loaded query={invitations}>
        {({ items, next }) => {
          if (items.length === 0 && search === '' && after === '') {
            return <Empty title={text.empty}>{text.emptyText}</Empty>;
          }
          return (
            <>
              <div class="tools">
                <SearchField
                  value={search}
                  onChange={(value) => set({ search: value, after: '', before: '' })}
                  label={text.search}
                />
              </div>
              {items.length === 0 ? (
                <Empty title={text.noneFound}>{t.people.noneFoundText}</Empty>
              ) : (
                <Table
                  caption={text.caption}
                  rows={items}
                  rowKey={({ id }) => id}
                  stale={invitations.isPlaceholderData}
                  columns={[
                    {
                      header: text.user,
                      cell: ({ userId, userName }) => <a href={`/users/${userId}`}>{userName}</a>,
                    },
                    { header: text.by, cell: ({ createdBy }) => createdBy },
                    { header: text.made, cell: ({ createdAt }) => <Ago time={createdAt} /> },
                    { header: text.expires, cell: ({ expiresAt }) => <Ago time={expiresAt} /> },
                    {
                      header: t.people.actions,
                      actions: true,
                      cell: (invitation) =>
                        may('users:write') && (
                          <Button
                            small
                            busy={busy}
                            label={text.revokeLabel(invitation.userName)}
                            onClick={() => run(() => revoke(invitation))}
                          >
                            {text.revoke}
                          </Button>
                        ),
                    },
                  ]}
                />
              )}
              <Pager next={next} />
            </>
          );
        }}
      </Loaded>
    </Page>
  );
}
