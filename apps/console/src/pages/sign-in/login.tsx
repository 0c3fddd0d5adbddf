import type { SignInMethods } from '@sallyport/api';
import { browserSupportsWebAuthnAutofill, WebAuthnAbortService } from '@simplewebauthn/browser';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { ApiProblem, call } from '../../api/call.ts';
import { useQuery } from '../../api/query.ts';
import { session } from '../../api/session.ts';
import { refreshSession } from '../../api/sign-in.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { Form, TextField } from '../../ui/form.tsx';
import { Loaded } from '../../ui/page.tsx';
import { fault } from '../../ui/toast.tsx';
import { Alone } from './alone.tsx';
import { isAborted, logInWithPasskey } from '../../api/passkey.ts';
import { returnPath } from './return-path.ts';
import { thisClient } from '../../api/this-client.ts';

const text = t.signIn;

/** A password that was right; what it needs besides. */
interface SecondStep {
  readonly name: string;
  readonly password: string;
  readonly methods: readonly string[];
}

export default function Login(): JSX.Element {
  const { query, route } = useLocation();
  const methods = useQuery('listSignInMethods');
  const [step, setStep] = useState<SecondStep | undefined>(undefined);
  const target = returnPath(query['return'], location.origin);
  const me = session.value;
  const code = query['problem'];
  const problem = code === undefined ? undefined : (text.problems[code] ?? text.problems['internal']);
  useEffect(() => {
    if (me == null) return;
    // Who was to prove themselves again is still logged in.
    if (problem !== undefined) fault(new Error(problem));
    route(target, true);
  }, [me]);
  if (step !== undefined) return <SecondFactor step={step} onBack={() => setStep(undefined)} />;
  // Nobody sees the form for a moment who is logged in already.
  const ready = me === null && methods.data !== undefined;
  return (
    <Alone title={text.title} step={ready ? 'form' : 'wait'}>
      {problem !== undefined && (
        <div class="fault" role="alert">
          <p>
            <strong>{text.problemTitle}.</strong> {problem}
          </p>
        </div>
      )}
      <Loaded query={me === null ? methods : { ...methods, data: undefined }}>
        {(data) => <Ways methods={data} target={target} onSecondStep={setStep} />}
      </Loaded>
    </Alone>
  );
}

function Ways({
  methods: { setupNeeded, passkeys, providers },
  target,
  onSecondStep,
}: {
  readonly methods: SignInMethods;
  readonly target: string;
  readonly onSecondStep: (step: SecondStep) => void;
}): JSX.Element {
  const [name, setName] = useState('');
  const [password, setPassword] = useState('');
  const passkey = usePasskeys(passkeys && !setupNeeded);
  if (setupNeeded) {
    return (
      <>
        <h2>{text.setupNeeded}</h2>
        <p>{text.setupNeededText}</p>
      </>
    );
  }
  const logIn = async (): Promise<void> => {
    try {
      await call('logIn', { body: { name, password, cookie: true, client: thisClient() } });
    } catch (error) {
      if (!(error instanceof ApiProblem && error.problem.code === 'secondFactorRequired')) throw error;
      onSecondStep({ name, password, methods: error.problem.methods ?? [] });
      return;
    }
    await refreshSession();
  };
  return (
    <>
      <Form submit={text.logIn} onSubmit={logIn}>
        <TextField
          name="name"
          label={text.name}
          value={name}
          onChange={setName}
          autocomplete={passkeys ? 'username webauthn' : 'username'}
          required
          autofocus
        />
        <TextField
          name="password"
          label={text.password}
          type="password"
          value={password}
          onChange={setPassword}
          autocomplete="current-password"
          required
        />
      </Form>
      {(passkeys || providers.length > 0) && <p class="divider">{text.or}</p>}
      <div class="stack">
        {passkeys && (
          <Button busy={passkey.busy} onClick={passkey.logIn}>
            {text.withPasskey}
          </Button>
        )}
        {providers.map((provider) => (
          <a
            key={provider.id}
            class="button"
            href={`/login/oidc/${encodeURIComponent(provider.id)}/start?return=${encodeURIComponent(target)}`}
          >
            {text.withProvider(provider.name)}
          </a>
        ))}
      </div>
    </>
  );
}

/** The server's question to a passkey is good for five minutes. */
const suggestAgainMs = 240_000;

/** Offers the passkeys of this browser among the suggestions for the name, and on demand. */
function usePasskeys(enabled: boolean): { readonly busy: boolean; readonly logIn: () => Promise<void> } {
  const { busy, run } = useAction();
  useEffect(() => {
    if (!enabled || busy) return;
    const suggestion = { over: false };
    const suggest = async (): Promise<void> => {
      try {
        if (!(await browserSupportsWebAuthnAutofill()) || suggestion.over) return;
        await logInWithPasskey(suggestion);
        await refreshSession();
      } catch (error) {
        // Whoever picked a passkey that isn't known here is told so; that there are no suggestions is nothing to say.
        if (!isAborted(error) && error instanceof ApiProblem && error.problem.code === 'loginFailed') fault(error);
      }
    };
    void suggest();
    const timer = setInterval(() => void suggest(), suggestAgainMs);
    return () => {
      suggestion.over = true;
      clearInterval(timer);
      WebAuthnAbortService.cancelCeremony();
    };
  }, [enabled, busy]);
  const logIn = (): Promise<void> =>
    run(async () => {
      await logInWithPasskey();
      await refreshSession();
    });
  return { busy, logIn };
}

type Way = 'code' | 'recoveryCode' | 'passkey';

function SecondFactor({ step, onBack }: { readonly step: SecondStep; readonly onBack: () => void }): JSX.Element {
  const { name, password, methods } = step;
  const [way, setWay] = useState<Way>(
    methods.includes('code') ? 'code' : methods.includes('passkey') ? 'passkey' : 'recoveryCode',
  );
  const [code, setCode] = useState('');
  const { busy, run } = useAction();
  const use = (other: Way): void => {
    setCode('');
    setWay(other);
  };
  const byPasskey = (): Promise<void> =>
    run(async () => {
      await logInWithPasskey();
      await refreshSession();
    });
  return (
    <Alone title={text.factorTitle} intro={text.factorText} step={way}>
      {way === 'passkey' ? (
        <div class="stack">
          <Button kind="primary" busy={busy} onClick={byPasskey} autofocus>
            {text.usePasskey}
          </Button>
        </div>
      ) : (
        <Form
          key={way}
          submit={text.confirm}
          onSubmit={async () => {
            await call('logIn', { body: { name, password, code, cookie: true, client: thisClient() } });
            await refreshSession();
          }}
        >
          <TextField
            name="code"
            label={way === 'code' ? text.code : text.recoveryCode}
            hint={way === 'code' ? text.codeHint : text.recoveryCodeHint}
            autocomplete={way === 'code' ? 'one-time-code' : 'off'}
            {...(way === 'code' ? { inputmode: 'numeric' as const } : {})}
            value={code}
            onChange={setCode}
            required
            autofocus
          />
        </Form>
      )}
      <div class="stack other-ways">
        {way !== 'code' && methods.includes('code') && (
          <Button kind="quiet" onClick={() => use('code')}>
            {text.useCode}
          </Button>
        )}
        {way !== 'passkey' && methods.includes('passkey') && (
          <Button kind="quiet" busy={busy} onClick={byPasskey}>
            {text.usePasskey}
          </Button>
        )}
        {way !== 'recoveryCode' && methods.includes('recoveryCode') && (
          <Button kind="quiet" onClick={() => use('recoveryCode')}>
            {text.useRecoveryCode}
          </Button>
        )}
        <Button kind="quiet" onClick={onBack}>
          {text.back}
        </Button>
      </div>
    </Alone>
  );
}
