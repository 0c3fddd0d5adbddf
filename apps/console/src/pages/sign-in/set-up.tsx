import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { t } from '../../strings/index.ts';
import { LinkButton } from '../../ui/button.tsx';
import { Form, TextField } from '../../ui/form.tsx';
import { Alone } from './alone.tsx';
import { linkToken } from './link-token.ts';
import { NewPassword } from './new-password.tsx';
import { useFirstLogin } from './first-login.ts';

const text = t.signIn.setUp;

/** Where the server's one-time link leads: the first administrator. */
export default function SetUp(): JSX.Element {
  const [name, setName] = useState('');
  const [displayName, setDisplayName] = useState('');
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
      const user = await call('setUp', { body: { token, name, displayName, password } });
      return user.name;
    });
  return (
    <Alone title={text.title} intro={text.text}>
      <Form submit={text.create} onSubmit={submit}>
        <TextField
          name="name"
          label={text.name}
          hint={text.nameHint}
          value={name}
          onChange={(value) => setName(value.toLowerCase())}
          autocomplete="username"
          required
          autofocus
        />
        <TextField
          name="displayName"
          label={text.displayName}
          value={displayName}
          onChange={setDisplayName}
          autocomplete="name"
        />
        <NewPassword value={password} onChange={setPassword} />
      </Form>
    </Alone>
  );
}
