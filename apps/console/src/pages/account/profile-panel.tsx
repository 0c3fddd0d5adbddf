import type { User } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { Form, TextField } from '../../ui/form.tsx';
import { Panel } from '../../ui/page.tsx';
import { Facts } from '../../ui/parts.tsx';
import { done } from '../../ui/toast.tsx';

const text = t.account.account;

export function ProfilePanel({ user }: { readonly user: User }): JSX.Element {
  const [displayName, setDisplayName] = useState(user.displayName);
  const [email, setEmail] = useState(user.email ?? '');
  // An identity provider may log in by it.
  const mayChangeEmail = may('users:write');
  if (user.managedBy !== null) {
    return (
      <Panel title={text.profile}>
        <p>{text.managed(user.managedBy)}</p>
        <Facts
          facts={[
            [text.userName, user.name],
            [text.displayName, user.displayName || t.common.none],
            [text.email, user.email ?? t.common.none],
          ]}
        />
      </Panel>
    );
  }
  const saveProfile = async (): Promise<void> => {
    await call('updateMe', {
      body: { displayName, ...(mayChangeEmail ? { email: email === '' ? null : email } : {}) },
    });
    changed('user');
    done(text.profileSaved);
  };
  return (
    <Panel title={text.profile}>
      <Form submit={t.common.save} onSubmit={saveProfile}>
        <Facts
          facts={[
            [text.userName, user.name],
            ...(mayChangeEmail ? [] : [[text.email, user.email ?? t.common.none] as const]),
          ]}
        />
        <TextField
          name="displayName"
          label={text.displayName}
          autocomplete="name"
          value={displayName}
          onChange={setDisplayName}
        />
        {mayChangeEmail && (
          <TextField
            name="email"
            label={text.email}
            type="email"
            autocomplete="email"
            value={email}
            onChange={setEmail}
          />
        )}
      </Form>
    </Panel>
  );
}
