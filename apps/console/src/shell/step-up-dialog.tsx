import type { StepUpOptions } from '@sallyport/api';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { call } from '../api/call.ts';
import { isAborted, signWithPasskey } from '../api/passkey.ts';
import { waiting } from '../api/step-up.ts';
import { refreshSession } from '../api/sign-in.ts';
import { t } from '../strings/index.ts';
import { Button } from '../ui/button.tsx';
import { Dialog } from '../ui/dialog.tsx';
import { useFocus } from '../ui/focus.ts';
import { Form, TextField } from '../ui/form.tsx';
import { fault } from '../ui/toast.tsx';

/** Shows when the server wants to know that it is still the user; once in the page. */
export function StepUpDialog(): JSX.Element | null {
  const answer = waiting.value;
  return answer === undefined ? null : <Proof answer={answer} />;
}

function Proof({ answer }: { readonly answer: (proved: boolean) => void }): JSX.Element {
  const [options, setOptions] = useState<StepUpOptions | undefined>(undefined);
  const [password, setPassword] = useState('');
  const [code, setCode] = useState('');
  useEffect(() => {
    call('beginStepUp').then(setOptions, (error: unknown) => {
      fault(error);
      answer(false);
    });
  }, []);
  // The field comes after its dialog.
  const form = useFocus<HTMLDivElement>(options === undefined ? '' : 'options');
  const finish = async (proof: {
    password?: string;
    code?: string;
    passkey?: { challenge: string; response: Record<string, unknown> };
  }): Promise<void> => {
    await call('stepUp', { body: proof });
    await refreshSession();
    answer(true);
  };
  const byPasskey = async (): Promise<void> => {
    if (options?.passkey == null) return;
    try {
      await finish({ passkey: await signWithPasskey(options.passkey) });
    } catch (error) {
      if (!isAborted(error)) fault(error);
    }
  };
  return (
    <Dialog title={t.shell.proveTitle} onClose={() => answer(false)}>
      <div ref={form}>
        <p>{t.shell.proveText}</p>
        {options === undefined && <p role="status">{t.common.loading}</p>}
        {options?.password === true && (
          <Form
            submit={t.shell.prove}
            onCancel={() => answer(false)}
            onSubmit={() => finish({ password, ...(options.code ? { code } : {}) })}
          >
            <TextField
              name="password"
              label={t.shell.password}
              type="password"
              autocomplete="current-password"
              value={password}
              onChange={setPassword}
              required
              autofocus
            />
            {options.code && (
              <TextField
                name="code"
                label={t.shell.code}
                autocomplete="one-time-code"
                inputmode="numeric"
                value={code}
                onChange={setCode}
                required
              />
            )}
          </Form>
        )}
        <div class="other-proofs">
          {options?.passkey != null && <Button onClick={byPasskey}>{t.shell.provePasskey}</Button>}
          {options?.provider != null && (
            <a
              class="button"
              href={`/login/oidc/${encodeURIComponent(options.provider.id)}/start?stepUp=true&return=${encodeURIComponent(location.pathname + location.search)}`}
            >
              {t.shell.proveProvider(options.provider.name)}
            </a>
          )}
        </div>
      </div>
    </Dialog>
  );
}
