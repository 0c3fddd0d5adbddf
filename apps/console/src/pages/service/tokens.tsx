import type { ApiToken, NewApiToken, TokenScope } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { may, session } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask, Dialog } from '../../ui/dialog.tsx';
import { ChoicesField, Form, TextField } from '../../ui/form.tsx';
import { formatDate } from '../../ui/format.ts';
import { Empty, Loaded, Page } from '../../ui/page.tsx';
import { Ago, SearchField, Secret } from '../../ui/parts.tsx';
import { useSearchState } from '../../ui/search-state.ts';
import { Pager, Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';

const text = t.service.tokens;

export default function Tokens(): JSX.Element {
  const [{ search = '', after = '' }, set] = useSearchState();
  const [adding, setAdding] = useState(false);
  const { busy, run } = useAction();
  const tokens = useQuery(
    'listTokens',
    { query: { ...(search === '' ? {} : { search }), ...(after === '' ? {} : { after }) } },
    { keepPrevious: true },
  );
  const revoke = (token: ApiToken): Promise<void> =>
    run(async () => {
      if (!(await ask({ title: text.revokeTitle(token.name), text: text.revokeText, action: text.revoke }))) return;
      await call('deleteToken', { params: { tokenId: token.id } });
      changed('token');
      done(text.revoked(token.name));
    });
  const add = may('tokens:write') && (
    <Button kind="primary" onClick={() => setAdding(true)}>
      {text.add}
    </Button>
  );
  return (
    <Page title={text.title} intro={text.intro} actions={add}>
      <div class="tools">
        <SearchField value={search} onChange={(value) => set({ search: value, after: '', before: '' })} />
      </div>
      <Loaded query={tokens}>
        {({ items, next }) =>
          items.length === 0 ? (
            <Empty title={text.empty}>{text.emptyText}</Empty>
          ) : (
            <>
              <Table
                caption={text.caption}
                rows={items}
                rowKey={({ id }) => id}
                stale={tokens.isPlaceholderData}
                columns={[
                  { header: text.name, cell: ({ name }) => name },
                  { header: text.user, cell: ({ userId, userName }) => <a href={`/users/${userId}`}>{userName}</a> },
                  { header: text.may, cell: ({ permissions }) => permissions.map(scopeText).join(', ') },
                  { header: text.created, cell: ({ createdAt }) => formatDate(createdAt) },
                  { header: text.expires, cell: ({ expiresAt }) => <Ago time={expiresAt} /> },
                  { header: text.lastUsed, cell: ({ lastUsedAt }) => <Ago time={lastUsedAt} /> },
                  {
                    header: text.revoke,
                    actions: true,
                    cell: (token) =>
                      may('tokens:write') && (
                        <Button small busy={busy} label={text.revokeTitle(token.name)} onClick={() => revoke(token)}>
                          {text.revoke}
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
      {adding && <NewToken onClose={() => setAdding(false)} />}
    </Page>
  );
}

function scopeText(scope: TokenScope): string {
  if (scope === 'self') return text.scopes.self;
  const [thing = '', way] = scope.split(':');
  const name = text.scopes.things[thing] ?? thing;
  return way === 'read' ? text.scopes.read(name) : text.scopes.write(name);
}

function NewToken({ onClose }: { readonly onClose: () => void }): JSX.Element {
  const [name, setName] = useState('');
  const [permissions, setPermissions] = useState<string[]>([]);
  const [expires, setExpires] = useState('');
  const [ready, setReady] = useState<NewApiToken | undefined>(undefined);
  if (ready !== undefined) {
    return (
      <Dialog title={text.ready} onClose={onClose}>
        <p>{text.readyText}</p>
        <Secret text={ready.token} label={text.token} />
        <div class="actions">
          <Button kind="primary" onClick={onClose}>
            {t.common.close}
          </Button>
        </div>
      </Dialog>
    );
  }
  const scopes: readonly TokenScope[] = ['self', ...(session.value?.permissions ?? [])];
  return (
    <Dialog title={text.add} onClose={onClose}>
      <Form
        submit={text.create}
        onCancel={onClose}
        onSubmit={async () => {
          const expiresAt = expires === '' ? null : `${expires}T23:59:59Z`;
          setReady(await call('createToken', { body: { name, permissions: permissions as TokenScope[], expiresAt } }));
          changed('token');
        }}
      >
        <TextField name="name" label={text.name} value={name} onChange={setName} required autofocus />
        <ChoicesField
          name="permissions"
          label={text.permissions}
          hint={text.permissionsHint}
          values={permissions}
          onChange={setPermissions}
          options={scopes.map((scope) => ({ value: scope, label: scopeText(scope) }))}
        />
        <TextField
          name="expiresAt"
          label={text.expiry}
          hint={text.expiryHint}
          type="date"
          value={expires}
          onChange={setExpires}
        />
      </Form>
    </Dialog>
  );
}
