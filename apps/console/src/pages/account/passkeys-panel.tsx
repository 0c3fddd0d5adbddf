import type { Passkey } from '@sallyport/api';
import { browserSupportsWebAuthn } from '@simplewebauthn/browser';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask, Dialog } from '../../ui/dialog.tsx';
import { Form, TextField } from '../../ui/form.tsx';
import { formatDate } from '../../ui/format.ts';
import { Panel } from '../../ui/page.tsx';
import { Ago } from '../../ui/parts.tsx';
import { Table } from '../../ui/table.tsx';
import { done } from '../../ui/toast.tsx';
import { PasskeySetup } from './passkey-setup.tsx';

const text = t.account.account;

export function PasskeysPanel({ passkeys }: { readonly passkeys: readonly Passkey[] }): JSX.Element {
  const [adding, setAdding] = useState(false);
  const [renaming, setRenaming] = useState<Passkey | undefined>(undefined);
  const { busy, run } = useAction();
  const methods = useQuery('listSignInMethods');
  const possible = methods.data?.passkeys === true && browserSupportsWebAuthn();
  const remove = ({ id, name }: Passkey): Promise<void> =>
    run(async () => {
      const title = text.removePasskeyTitle(name);
      if (!(await ask({ title, text: text.removePasskeyText, action: t.common.remove }))) return;
      await call('removePasskey', { params: { passkeyId: id } });
      changed('user', 'session');
      done(text.passkeyRemoved(name));
    });
  const add = possible && (
    <Button small onClick={() => setAdding(true)}>
      {text.addPasskey}
    </Button>
  );
  return (
    <Panel title={text.passkeys} actions={add}>
      <p class="faint">
        {text.passkeysText} {passkeys.length === 0 && text.noPasskeys}{' '}
        {methods.data !== undefined && !possible && text.noPasskeysHere}
      </p>
      {passkeys.length > 0 && (
        <Table
          caption={text.passkeyCaption}
          rows={passkeys}
          rowKey={({ id }) => id}
          columns={[
            { header: text.name, cell: ({ name }) => name },
            { header: text.kept, cell: ({ synced }) => (synced ? text.synced : text.oneDevice) },
            { header: text.added, cell: ({ createdAt }) => formatDate(createdAt) },
            { header: text.lastUsed, cell: ({ lastUsedAt }) => <Ago time={lastUsedAt} /> },
            {
              header: text.actions,
              actions: true,
              cell: (passkey) => (
                <>
                  <Button small label={text.renamePasskey(passkey.name)} onClick={() => setRenaming(passkey)}>
                    {t.account.devices.rename}
                  </Button>
                  <Button
                    small
                    busy={busy}
                    label={text.removePasskeyTitle(passkey.name)}
                    onClick={() => remove(passkey)}
                  >
                    {t.common.remove}
                  </Button>
                </>
              ),
            },
          ]}
        />
      )}
      {adding && (
        <PasskeySetup
          onCancel={() => setAdding(false)}
          onDone={(name) => {
            setAdding(false);
            changed('user', 'session');
            done(text.passkeyAdded(name));
          }}
        />
      )}
      {renaming !== undefined && <RenamePasskey passkey={renaming} onClose={() => setRenaming(undefined)} />}
    </Panel>
  );
}

function RenamePasskey({ passkey, onClose }: { readonly passkey: Passkey; readonly onClose: () => void }): JSX.Element {
  const [name, setName] = useState(passkey.name);
  return (
    <Dialog title={text.renamePasskey(passkey.name)} onClose={onClose}>
      <Form
        submit={t.account.devices.rename}
        onCancel={onClose}
        onSubmit={async () => {
          await call('renamePasskey', { params: { passkeyId: passkey.id }, body: { name } });
          changed('session');
          onClose();
        }}
      >
        <TextField name="name" label={text.name} value={name} onChange={setName} required autofocus />
      </Form>
    </Dialog>
  );
}
