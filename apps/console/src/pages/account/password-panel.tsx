import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { t } from '../../strings/index.ts';
import { Form, TextField } from '../../ui/form.tsx';
import { Panel } from '../../ui/page.tsx';
import { done } from '../../ui/toast.tsx';
import { HiddenUserName, NewPassword } from '../sign-in/new-password.tsx';

const text = t.account.account;

export function PasswordPanel({
  hasPassword,
  userName,
}: {
  readonly hasPassword: boolean;
  readonly userName: string;
}): JSX.Element {
  const [currentPassword, setCurrentPassword] = useState('');
  const [newPassword, setNewPassword] = useState('');
  const change = async (): Promise<void> => {
    await call('changePassword', { body: { newPassword, ...(hasPassword ? { currentPassword } : {}) } });
    setCurrentPassword('');
    setNewPassword('');
    changed('session');
    done(text.passwordChanged);
  };
  return (
    <Panel title={text.password}>
      <p class="faint">{hasPassword ? text.passwordHint : text.noPassword}</p>
      <Form submit={text.changePassword} onSubmit={change}>
        <HiddenUserName name={userName} />
        {hasPassword && (
          <TextField
            name="currentPassword"
            label={text.currentPassword}
            type="password"
            autocomplete="current-password"
            value={currentPassword}
            onChange={setCurrentPassword}
            required
          />
        )}
        <NewPassword name="newPassword" label={text.newPassword} value={newPassword} onChange={setNewPassword} />
      </Form>
    </Panel>
  );
}
