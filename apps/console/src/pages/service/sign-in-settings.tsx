import type { IdentityProvider, ScimClient } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask } from '../../ui/dialog.tsx';
import { formatNumber } from '../../ui/format.ts';
import { Empty, Loaded, Page, Panel } from '../../ui/page.tsx';
import { Ago, Badge } from '../../ui/parts.tsx';
import { Table } from '../../ui/table.tsx';
import { done, fault } from '../../ui/toast.tsx';
import { ProviderForm } from './provider-form.tsx';
import { NewScimAccess } from './new-scim-access.tsx';

const text = t.service.signIn;

export default function SignInSettings(): JSX.Element {
  return (
    <Page title={text.title} intro={text.intro}>
      <Providers />
      <Scim />
    </Page>
  );
}

function Providers(): JSX.Element {
  const providers = useQuery('listIdentityProviders');
  const [edited, setEdited] = useState<IdentityProvider | 'new' | undefined>(undefined);
  const { busy, run } = useAction();
  const check = (provider: IdentityProvider): Promise<void> =>
    run(async () => {
      const { works, message } = await call('checkIdentityProvider', { params: { providerId: provider.id } });
      if (works) done(message);
      else fault(new Error(message));
    });
  const remove = (provider: IdentityProvider): Promise<void> =>
    run(async () => {
      const sure = await ask({
        title: text.removeTitle(provider.name),
        text: text.removeText,
        action: t.common.remove,
      });
      if (!sure) return;
      await call('deleteIdentityProvider', { params: { providerId: provider.id }, ifMatch: provider.version });
      changed('identityProvider');
      done(text.removed(provider.name));
    });
  const mayChange = may('settings:write');
  return (
    <Panel
      title={text.providers}
      actions={mayChange && <Button onClick={() => setEdited('new')}>{text.addProvider}</Button>}
    >
      <p class="intro">{text.providersIntro}</p>
      <Loaded query={providers}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title={text.noProviders}>{text.noProvidersText}</Empty>
          ) : (
            <Table
              caption={text.providersCaption}
              rows={items}
              rowKey={({ id }) => id}
              columns={[
                { header: text.name, cell: ({ name }) => name },
                { header: text.issuer, cell: ({ issuer }) => issuer },
                {
                  header: text.state,
                  cell: ({ enabled }) => (
                    <Badge tone={enabled ? 'good' : 'neutral'}>{enabled ? text.on : text.off}</Badge>
                  ),
                },
                { header: text.newUsers, cell: ({ createUsers }) => (createUsers ? text.created : text.notCreated) },
                {
                  header: t.common.edit,
                  actions: true,
                  cell: (provider) =>
                    mayChange && (
                      <>
                        <Button
                          small
                          busy={busy}
                          label={`${text.check}: ${provider.name}`}
                          onClick={() => check(provider)}
                        >
                          {text.check}
                        </Button>
                        <Button small label={text.editProvider(provider.name)} onClick={() => setEdited(provider)}>
                          {t.common.edit}
                        </Button>
                        <Button small label={text.removeTitle(provider.name)} onClick={() => remove(provider)}>
                          {t.common.remove}
                        </Button>
                      </>
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
      {edited !== undefined && (
        <ProviderForm provider={edited === 'new' ? undefined : edited} onClose={() => setEdited(undefined)} />
      )}
    </Panel>
  );
}

function Scim(): JSX.Element {
  const clients = useQuery('listScimClients');
  const [adding, setAdding] = useState(false);
  const { busy, run } = useAction();
  const remove = (client: ScimClient): Promise<void> =>
    run(async () => {
      const sure = await ask({
        title: text.removeTitle(client.name),
        text: text.scimRemoveText,
        action: t.common.remove,
      });
      if (!sure) return;
      await call('deleteScimClient', { params: { scimClientId: client.id } });
      changed('scimClient', 'user', 'group');
      done(text.removed(client.name));
    });
  const mayChange = may('settings:write');
  return (
    <Panel title={text.scim} actions={mayChange && <Button onClick={() => setAdding(true)}>{text.addScim}</Button>}>
      <p class="intro">{text.scimIntro}</p>
      <Loaded query={clients}>
        {({ items }) =>
          items.length === 0 ? (
            <Empty title={text.noScim}>{text.noScimText}</Empty>
          ) : (
            <Table
              caption={text.scimCaption}
              rows={items}
              rowKey={({ id }) => id}
              columns={[
                { header: text.name, cell: ({ name }) => name },
                { header: text.users, align: 'end', cell: ({ userCount }) => formatNumber(userCount) },
                { header: text.groups, align: 'end', cell: ({ groupCount }) => formatNumber(groupCount) },
                { header: text.lastUsed, cell: ({ lastUsedAt }) => <Ago time={lastUsedAt} /> },
                {
                  header: t.common.remove,
                  actions: true,
                  cell: (client) =>
                    mayChange && (
                      <Button small busy={busy} label={text.removeTitle(client.name)} onClick={() => remove(client)}>
                        {t.common.remove}
                      </Button>
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
      {adding && <NewScimAccess onClose={() => setAdding(false)} />}
    </Panel>
  );
}
