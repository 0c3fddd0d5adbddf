import type { JoinToken } from '@sallyport/api';
import type { JSX } from 'preact';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask } from '../../ui/dialog.tsx';
import { Empty, Loaded } from '../../ui/page.tsx';
import { Ago, Badge } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';

/** The tokens by which gateways can join. */
export function JoinTokens(): JSX.Element {
  const [{ after = '' }] = useSearchState();
  const tokens = useQuery(
    'listJoinTokens',
    { query: { ...(after === '' ? {} : { after }) } },
    { keepPrevious: true, refetchEvery: 30_000 },
  );
  const { busy, run } = useAction();
  const revoke = async ({ id }: JoinToken): Promise<void> => {
    const { revokeTitle: title, revokeText: text, revoke: action } = t.network;
    if (!(await ask({ title, text, action }))) return;
    await call('revokeJoinToken', { params: { joinTokenId: id } });
    changed('gateway');
    done(t.network.revoked);
  };
  const isOver = ({ usedAt, expiresAt }: JoinToken): boolean => usedAt !== null || Date.parse(expiresAt) < Date.now();
  return (
    <>
      <p class="intro">{t.network.tokensIntro}</p>
      <Loaded query={tokens}>
        {({ items, next }) =>
          items.length === 0 && after === '' ? (
            <Empty title={t.network.noTokens}>{t.network.noTokensText}</Empty>
          ) : (
            <>
              <Table
                caption={t.network.joinTokens}
                rows={items}
                rowKey={({ id }) => id}
                stale={tokens.isPlaceholderData}
                columns={[
                  { header: t.network.created, cell: ({ createdAt }) => <Ago time={createdAt} /> },
                  { header: t.network.region, cell: ({ regionId }) => regionId ?? t.network.anyRegion },
                  {
                    header: t.network.used,
                    cell: ({ usedAt }) => <Ago time={usedAt} none={t.network.notUsed} />,
                  },
                  {
                    header: t.network.expires,
                    cell: (token) =>
                      token.usedAt === null && isOver(token) ? (
                        <Badge tone="neutral">{t.network.expired}</Badge>
                      ) : (
                        <Ago time={token.expiresAt} />
                      ),
                  },
                  {
                    header: t.network.actions,
                    actions: true,
                    cell: (token) =>
                      may('gateways:write') &&
                      !isOver(token) && (
                        <Button small busy={busy} onClick={() => run(() => revoke(token))}>
                          {t.network.revoke}
                        </Button>
                      ),
                  },
                ]}
              />
              <Pager next={next} />
            </>
          )
        }
      </Loaded>
    </>
  );
}
