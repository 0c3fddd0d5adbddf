import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { t } from '../../strings/index.ts';
import { LinkButton } from '../../ui/button.tsx';
import { Form } from '../../ui/form.tsx';
import { Alone } from './alone.tsx';
import { useFirstLogin } from './first-login.ts';
import { linkToken } from './link-token.ts';
import { NewPassword } from './new-password.tsx';

const text = t.signIn.invitation;

/** Where an invitation leads: a password, the first or a new one. */
export default function Invitation(): JSX.Element {
  const [password, setPassword] = useState('');
  const finish = useFirstLogin();
  const token = linkToken.value;
  if (token === '') {
    return (
      <Alone title={text.incomplete} intro={text.incompleteText}>
        <LinkButton href="/login">{text.toLogin}</LinkButton>
      </Alone>
    );
  }
  const submit = (): Promise<void> =>
    finish(password, async () => {
      const { name } = await call('acceptInvitation', { body: { token, password } });
      return name;
    });
  return (
    <Alone title={text.title} intro={text.text}>
      <Form submit={text.choose} onSubmit={submit}>
        <NewPassword value={password} onChange={setPassword} autofocus />
      </Form>
    </Alone>
  );
}
