import type { SecondFactors } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask, Dialog } from '../../ui/dialog.tsx';
import { formatDate } from '../../ui/format.ts';
import { Panel } from '../../ui/page.tsx';
import { done } from '../../ui/toast.tsx';
import { RecoveryCodes } from './recovery-codes.tsx';
import { TotpSetup } from './totp-setup.tsx';

const text = t.account.account;

export function SecondFactorPanel({ factors }: { readonly factors: SecondFactors }): JSX.Element {
  const [settingUp, setSettingUp] = useState(false);
  const [codes, setCodes] = useState<readonly string[] | undefined>(undefined);
  const { busy, run } = useAction();
  const { totp, recoveryCodesLeft, required, passkeys } = factors;
  const remove = (): Promise<void> =>
    run(async () => {
      if (!(await ask({ title: text.removeAppTitle, text: text.removeAppText, action: t.common.remove }))) return;
      await call('removeTotp');
      changed('user', 'session');
      done(text.appRemoved);
    });
  const renew = (): Promise<void> =>
    run(async () => {
      const { newRecoveryTitle: title, newRecoveryText, newRecoveryCodes: action } = text;
      if (recoveryCodesLeft > 0 && !(await ask({ title, text: newRecoveryText, action }))) return;
      const { recoveryCodes } = await call('createRecoveryCodes');
      setCodes(recoveryCodes);
    });
  return (
    <Panel title={text.factor}>
      <p class="faint">
        {text.factorText} {required && text.factorRequired}
      </p>
      <div class="factor">
        <div>
          <h3>{text.app}</h3>
          <p>{totp === null ? text.appNone : text.appSince(formatDate(totp.createdAt))}</p>
        </div>
        <div class="page-actions">
          <Button small onClick={() => setSettingUp(true)}>
            {totp === null ? text.setUpApp : text.replaceApp}
          </Button>
          {totp !== null && (
            <Button small busy={busy} label={text.removeAppTitle} onClick={remove}>
              {t.common.remove}
            </Button>
          )}
        </div>
      </div>
      {(totp !== null || passkeys.length > 0) && (
        <div class="factor">
          <div>
            <h3>{text.recoveryCodes}</h3>
            <p>{text.recoveryLeft(recoveryCodesLeft)}</p>
          </div>
          <Button small busy={busy} onClick={renew}>
            {text.newRecoveryCodes}
          </Button>
        </div>
      )}
      {settingUp && (
        <TotpSetup
          onCancel={() => setSettingUp(false)}
          onDone={() => {
            setSettingUp(false);
            changed('user', 'session');
            done(t.account.totp.done);
          }}
        />
      )}
      {codes !== undefined && (
        <Dialog title={t.account.totp.codesTitle} onClose={() => setCodes(undefined)}>
          <RecoveryCodes
            codes={codes}
            onKept={() => {
              setCodes(undefined);
              changed('user', 'session');
            }}
          />
        </Dialog>
      )}
    </Panel>
  );
}
