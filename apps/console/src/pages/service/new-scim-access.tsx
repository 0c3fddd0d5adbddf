import type { NewScimClient } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { t } from '../../strings/index.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { Form, TextField } from '../../ui/form.tsx';
import { Secret } from '../../ui/parts.tsx';

const text = t.service.signIn;

/** Creates access by SCIM, then shows what the provider needs, once. */
export function NewScimAccess({ onClose }: { readonly onClose: () => void }): JSX.Element {
  const [name, setName] = useState('');
  const [ready, setReady] = useState<NewScimClient | undefined>(undefined);
  if (ready === undefined) {
    return (
      <Dialog title={text.addScim} onClose={onClose}>
        <Form
          submit={text.addScim}
          onCancel={onClose}
          onSubmit={async () => {
            setReady(await call('createScimClient', { body: { name } }));
            changed('scimClient');
          }}
        >
          <TextField name="name" label={text.name} value={name} onChange={setName} required autofocus />
        </Form>
      </Dialog>
    );
  }
  return (
    <Dialog title={text.scimReady} onClose={onClose}>
      <p>{text.scimReadyText}</p>
      <h3>{text.scimUrl}</h3>
      <Secret text={ready.url} label={text.scimUrl} />
      <h3>{text.scimToken}</h3>
      <Secret text={ready.token} label={text.scimToken} />
      <div class="actions">
        <Button kind="primary" onClick={onClose}>
          {t.common.close}
        </Button>
      </div>
    </Dialog>
  );
}
