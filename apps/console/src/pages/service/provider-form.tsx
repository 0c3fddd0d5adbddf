import type { Group, IdentityProvider } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { CheckField, Form, TextField } from '../../ui/form.tsx';
import { Loaded } from '../../ui/page.tsx';
import { Secret } from '../../ui/parts.tsx';
import { done, fault } from '../../ui/toast.tsx';

const text = t.service.signIn;

interface ProviderFormProps {
  /** Undefined: a new one. */
  readonly provider: IdentityProvider | undefined;
  readonly onClose: () => void;
}

export function ProviderForm(props: ProviderFormProps): JSX.Element {
  const groups = useQuery('listGroups', { query: { limit: 1000 } });
  return (
    <Dialog
      wide
      title={props.provider === undefined ? text.addProvider : text.editProvider(props.provider.name)}
      onClose={props.onClose}
    >
      <Loaded query={groups}>{({ items }) => <Fields {...props} groups={items} />}</Loaded>
    </Dialog>
  );
}

const words = (value: string): string[] => value.split(/[\s,]+/).filter((word) => word !== '');

function Fields({ provider, onClose, groups }: ProviderFormProps & { readonly groups: readonly Group[] }): JSX.Element {
  const [name, setName] = useState(provider?.name ?? '');
  const [issuer, setIssuer] = useState(provider?.issuer ?? '');
  const [clientId, setClientId] = useState(provider?.clientId ?? '');
  const [clientSecret, setClientSecret] = useState('');
  const [scopes, setScopes] = useState((provider?.scopes ?? ['openid', 'profile', 'email']).join(' '));
  const [enabled, setEnabled] = useState(provider?.enabled ?? true);
  const [createUsers, setCreateUsers] = useState(provider?.createUsers ?? false);
  const [emailDomains, setEmailDomains] = useState((provider?.emailDomains ?? []).join('\n'));
  const [linkByEmail, setLinkByEmail] = useState(provider?.linkByEmail ?? false);
  const [asksSecondFactor, setAsksSecondFactor] = useState(provider?.asksSecondFactor ?? false);
  const [groupsClaim, setGroupsClaim] = useState(provider?.groupsClaim ?? 'groups');
  const [groupsByName, setGroupsByName] = useState(provider?.groupsByName ?? false);
  const [mapping, setMapping] = useState(
    (provider?.groupMapping ?? [])
      .map(({ claim, groupId }) => `${claim} = ${groups.find(({ id }) => id === groupId)?.name ?? groupId}`)
      .join('\n'),
  );
  const save = async (): Promise<void> => {
    const groupMapping = mapping
      .split('\n')
      .filter((line) => line.trim() !== '')
      .map((line) => {
        const at = line.lastIndexOf('=');
        const wanted = line.slice(at + 1).trim();
        const group = groups.find((one) => one.name === wanted || one.id === wanted);
        if (at < 1 || group === undefined) throw new Error(text.mappingFault(line.trim()));
        return { claim: line.slice(0, at).trim(), groupId: group.id };
      });
    const body = {
      name,
      issuer,
      clientId,
      ...(clientSecret === '' ? {} : { clientSecret }),
      scopes: words(scopes),
      enabled,
      createUsers,
      emailDomains: words(emailDomains),
      linkByEmail,
      asksSecondFactor,
      groupsClaim,
      groupsByName,
      groupMapping,
    };
    const { id } =
      provider === undefined
        ? await call('createIdentityProvider', { body })
        : await call('updateIdentityProvider', {
            params: { providerId: provider.id },
            body,
            ifMatch: provider.version,
          });
    changed('identityProvider');
    done(text.saved(name));
    onClose();
    // It is saved all the same: the provider may be set up after this service.
    const { works, message } = await call('checkIdentityProvider', { params: { providerId: id } });
    if (!works) fault(new Error(text.savedFaulty(name, message)));
  };
  return (
    <Form submit={t.common.save} onCancel={onClose} onSubmit={save}>
      <TextField
        name="name"
        label={text.name}
        hint={text.nameHint}
        value={name}
        onChange={setName}
        required
        autofocus
      />
      <TextField
        name="issuer"
        label={text.issuer}
        hint={text.issuerHint}
        type="url"
        value={issuer}
        onChange={setIssuer}
        required
      />
      <TextField name="clientId" label={text.clientId} value={clientId} onChange={setClientId} required />
      <TextField
        name="clientSecret"
        label={text.clientSecret}
        hint={provider?.hasClientSecret === true ? text.clientSecretKept : text.clientSecretHint}
        type="password"
        autocomplete="new-password"
        value={clientSecret}
        onChange={setClientSecret}
      />
      <h3>{text.redirect}</h3>
      {provider === undefined ? (
        <p class="hint under">{text.redirectLater}</p>
      ) : (
        <Secret text={provider.redirectUri} label={text.redirect} />
      )}
      <CheckField name="enabled" label={text.enabled} value={enabled} onChange={setEnabled} />
      <CheckField name="createUsers" label={text.createUsers} value={createUsers} onChange={setCreateUsers} />
      <TextField
        name="emailDomains"
        label={text.emailDomains}
        hint={text.emailDomainsHint}
        rows={2}
        value={emailDomains}
        onChange={setEmailDomains}
      />
      <CheckField
        name="linkByEmail"
        label={text.linkByEmail}
        hint={text.linkByEmailHint}
        value={linkByEmail}
        onChange={setLinkByEmail}
      />
      <CheckField
        name="asksSecondFactor"
        label={text.asksSecondFactor}
        hint={text.asksSecondFactorHint}
        value={asksSecondFactor}
        onChange={setAsksSecondFactor}
      />
      <TextField name="scopes" label={text.scopes} hint={text.scopesHint} value={scopes} onChange={setScopes} />
      <TextField name="groupsClaim" label={text.groupsClaim} value={groupsClaim} onChange={setGroupsClaim} />
      <CheckField name="groupsByName" label={text.groupsByName} value={groupsByName} onChange={setGroupsByName} />
      <TextField
        name="groupMapping"
        label={text.mapping}
        hint={text.mappingHint}
        rows={3}
        value={mapping}
        onChange={setMapping}
      />
    </Form>
  );
}
