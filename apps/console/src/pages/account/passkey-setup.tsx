import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { Form, TextField } from '../../ui/form.tsx';
import { makePasskey } from '../../api/passkey.ts';
import { thisClient } from '../../api/this-client.ts';

const text = t.account.account;

export function PasskeySetup({
  onDone,
  onCancel,
}: {
  readonly onDone: (name: string) => void;
  readonly onCancel: () => void;
}): JSX.Element {
  const [name, setName] = useState(thisClient);
  return (
    <Dialog title={text.addPasskey} onClose={onCancel}>
      <Form
        submit={text.addPasskey}
        onCancel={onCancel}
        onSubmit={async () => {
          await makePasskey(name);
          onDone(name);
        }}
      >
        <TextField
          name="name"
          label={text.name}
          hint={text.passkeyHint}
          value={name}
          onChange={setName}
          required
          autofocus
        />
      </Form>
    </Dialog>
  );
}
