import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { t } from '../../strings/index.ts';
import { TextField } from '../../ui/form.tsx';
import '../../styles/sign-in.css';

const text = t.signIn;

interface PasswordFieldProps {
  readonly label?: string;
  /** Its place in the body. */
  readonly name?: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly autofocus?: boolean;
}

/** A password that is chosen here; what was typed can be looked at. */
export function NewPassword({
  label = text.password,
  name = 'password',
  value,
  onChange,
  autofocus = false,
}: PasswordFieldProps): JSX.Element {
  const [shown, setShown] = useState(false);
  return (
    <div class="with-show">
      <TextField
        name={name}
        label={label}
        hint={text.newPasswordHint}
        type={shown ? 'text' : 'password'}
        autocomplete="new-password"
        value={value}
        onChange={onChange}
        required
        autofocus={autofocus}
      />
      <button
        type="button"
        class="link show-password"
        aria-label={shown ? text.hidePasswordLabel : text.showPasswordLabel}
        onClick={() => setShown(!shown)}
      >
        {shown ? text.hidePassword : text.showPassword}
      </button>
    </div>
  );
}

/** For password managers, which otherwise don't know whose password it is. */
export function HiddenUserName({ name }: { readonly name: string }): JSX.Element {
  return <input class="unseen" autocomplete="username" value={name} readOnly tabIndex={-1} aria-hidden="true" />;
}
