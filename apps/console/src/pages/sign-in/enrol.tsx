import { browserSupportsWebAuthn } from '@simplewebauthn/browser';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useQuery } from '../../api/query.ts';
import { logOut, refreshSession } from '../../api/sign-in.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { fault } from '../../ui/toast.tsx';
import { PasskeySetup } from '../account/passkey-setup.tsx';
import { TotpSetup } from '../account/totp-setup.tsx';
import { Alone } from './alone.tsx';

const text = t.signIn.enrol;

/** For who has to set up a second factor before anything else. */
export default function Enrol(): JSX.Element {
  const [adding, setAdding] = useState<'app' | 'passkey' | undefined>(undefined);
  const { busy, run } = useAction();
  const methods = useQuery('listSignInMethods');
  const close = (): void => setAdding(undefined);
  const finish = (): void => {
    // The session may do everything from here on, and the page makes way for what was asked for.
    refreshSession().then(close, fault);
  };
  return (
    <Alone title={text.title} intro={text.text}>
      <div class="factor">
        <div>
          <h2>{text.app}</h2>
          <p>{text.appText}</p>
        </div>
        <Button kind="primary" onClick={() => setAdding('app')}>
          {text.setUpApp}
        </Button>
      </div>
      {methods.data?.passkeys === true && browserSupportsWebAuthn() && (
        <div class="factor">
          <div>
            <h2>{text.passkey}</h2>
            <p>{text.passkeyText}</p>
          </div>
          <Button onClick={() => setAdding('passkey')}>{text.addPasskey}</Button>
        </div>
      )}
      <div class="factor">
        <Button kind="quiet" busy={busy} onClick={() => run(logOut)}>
          {t.shell.logOut}
        </Button>
      </div>
      {adding === 'app' && <TotpSetup onDone={finish} onCancel={close} />}
      {adding === 'passkey' && <PasskeySetup onDone={finish} onCancel={close} />}
    </Alone>
  );
}
