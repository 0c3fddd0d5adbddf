import type { NewTotp } from '@sallyport/api';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { Form, TextField } from '../../ui/form.tsx';
import { Secret } from '../../ui/parts.tsx';
import { QrCode } from '../../ui/qr.tsx';
import { fault } from '../../ui/toast.tsx';
import { RecoveryCodes } from './recovery-codes.tsx';

const text = t.account.totp;

/** Sets up an authenticator app: its secret, a first code, then the recovery codes. */
export function TotpSetup({
  onDone,
  onCancel,
}: {
  /** After the recovery codes were kept. */
  readonly onDone: () => void;
  readonly onCancel: () => void;
}): JSX.Element | null {
  const [totp, setTotp] = useState<NewTotp | undefined>(undefined);
  const [codes, setCodes] = useState<readonly string[] | undefined>(undefined);
  const [code, setCode] = useState('');
  useEffect(() => {
    call('beginTotp').then(setTotp, (error: unknown) => {
      fault(error);
      onCancel();
    });
  }, []);
  // Until then the user may have to prove themselves in another dialog.
  if (totp === undefined) return null;
  if (codes !== undefined) {
    return (
      <Dialog key="codes" title={text.codesTitle} onClose={onDone}>
        <RecoveryCodes codes={codes} onKept={onDone} />
      </Dialog>
    );
  }
  const confirm = async (): Promise<void> => {
    const { recoveryCodes } = await call('confirmTotp', { body: { code } });
    if (recoveryCodes.length === 0) onDone();
    else setCodes(recoveryCodes);
  };
  return (
    <Dialog key="app" title={text.title} onClose={onCancel} wide>
      <div class="two-sides">
        <QrCode text={totp.uri} label={text.qr} />
        <div>
          <p>{text.scan}</p>
          <h3>{text.type}</h3>
          <Secret text={totp.secret} label={text.secret} />
          <Form submit={text.confirm} onCancel={onCancel} onSubmit={confirm}>
            <TextField
              name="code"
              label={text.code}
              autocomplete="one-time-code"
              inputmode="numeric"
              value={code}
              onChange={setCode}
              required
              autofocus
            />
          </Form>
        </div>
      </div>
    </Dialog>
  );
}
