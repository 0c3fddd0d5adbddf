import type { ComponentChildren, JSX } from 'preact';
import { createContext } from 'preact';
import { useContext, useId, useState } from 'preact/hooks';
import { ApiProblem, messageOf } from '../api/call.ts';
import { t } from '../strings/index.ts';
import { Button } from './button.tsx';

/** Faults of fields, by their place in the body: `name`, `dns/servers/0`. */
const Faults = createContext<ReadonlyMap<string, string>>(new Map());

interface FormProps {
  readonly children: ComponentChildren;
  /** What it throws is shown, at its fields where the server names them. */
  readonly onSubmit: () => Promise<unknown>;
  readonly submit: string;
  readonly onCancel?: () => void;
  readonly danger?: boolean;
  readonly disabled?: boolean;
}

/** A form with its buttons, its faults, and a button that can't be pressed twice. */
export function Form({
  children,
  onSubmit,
  submit,
  onCancel,
  danger = false,
  disabled = false,
}: FormProps): JSX.Element {
  const [error, setError] = useState<unknown>(undefined);
  const [busy, setBusy] = useState(false);
  const faults = new Map(
    error instanceof ApiProblem
      ? error.problem.faults?.map(({ at, message }) => [at.replace(/^\/body\/?/, ''), message])
      : [],
  );
  const run = async (): Promise<void> => {
    setBusy(true);
    setError(undefined);
    try {
      await onSubmit();
    } catch (caught) {
      setError(caught);
    } finally {
      setBusy(false);
    }
  };
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        if (!busy) void run();
      }}
    >
      <Faults.Provider value={faults}>{children}</Faults.Provider>
      {error !== undefined && (
        <div class="fault" role="alert">
          <p>{faults.size > 0 ? t.common.faulty : messageOf(error)}</p>
          {faults.size > 0 && (
            <ul>
              {[...faults].map(([at, message]) => (
                <li key={at}>{at === '' ? message : `${at}: ${message}`}</li>
              ))}
            </ul>
          )}
          {error instanceof ApiProblem && error.problem.tests !== undefined && (
            <ul>
              {error.problem.tests.map(({ name, explanation }) => (
                <li key={name}>
                  <strong>{name}</strong>: {explanation}
                </li>
              ))}
            </ul>
          )}
        </div>
      )}
      <div class="actions">
        {onCancel !== undefined && <Button onClick={onCancel}>{t.common.cancel}</Button>}
        <Button type="submit" kind={danger ? 'danger' : 'primary'} busy={busy} disabled={disabled}>
          {submit}
        </Button>
      </div>
    </form>
  );
}

interface FieldProps {
  readonly label: string;
  /** Its place in the body, for faults that the server names. */
  readonly name: string;
  readonly hint?: ComponentChildren;
}

function Field({
  label,
  name,
  hint,
  children,
}: FieldProps & {
  readonly children: (ids: { id: string; describedBy: string | undefined; invalid: boolean }) => ComponentChildren;
}): JSX.Element {
  const id = useId();
  const faults = useContext(Faults);
  const own = [...faults].filter(([at]) => at === name || at.startsWith(`${name}/`)).map(([, message]) => message);
  const invalid = own.length > 0;
  return (
    <div class="field">
      <label for={id}>{label}</label>
      {children({ id, invalid, describedBy: invalid ? `${id}-fault` : hint === undefined ? undefined : `${id}-hint` })}
      {hint !== undefined && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {invalid && (
        <p class="field-fault" id={`${id}-fault`}>
          {own.join('; ')}
        </p>
      )}
    </div>
  );
}

interface TextFieldProps extends FieldProps {
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly type?: 'text' | 'password' | 'email' | 'url' | 'search' | 'number' | 'datetime-local' | 'date';
  readonly autocomplete?: string;
  readonly required?: boolean;
  readonly autofocus?: boolean;
  readonly placeholder?: string;
  readonly rows?: number;
  readonly inputmode?: 'numeric' | 'text';
  /** What the browser offers while somebody types; anything else can be typed as well. */
  readonly suggestions?: readonly Option[];
}

export function TextField({
  value,
  onChange,
  type = 'text',
  rows,
  required = false,
  autocomplete = 'off',
  autofocus = false,
  placeholder,
  inputmode,
  suggestions,
  ...field
}: TextFieldProps): JSX.Element {
  return (
    <Field {...field}>
      {({ id, describedBy, invalid }) => {
        const shared = {
          id,
          value,
          required,
          autofocus,
          placeholder,
          'aria-describedby': describedBy,
          'aria-invalid': invalid,
          spellcheck: false,
          autocapitalize: 'off' as const,
        };
        return rows === undefined ? (
          <>
            <input
              {...shared}
              // The types of the elements want a type that is known when this is written.
              {...({ type, autocomplete, inputmode } as object)}
              list={suggestions && `${id}-list`}
              onInput={({ currentTarget }) => onChange(currentTarget.value)}
            />
            {suggestions && (
              <datalist id={`${id}-list`}>
                {suggestions.map((option) => (
                  <option key={option.value} value={option.value}>
                    {option.label}
                  </option>
                ))}
              </datalist>
            )}
          </>
        ) : (
          <textarea {...shared} rows={rows} onInput={({ currentTarget }) => onChange(currentTarget.value)} />
        );
      }}
    </Field>
  );
}

export interface Option {
  readonly value: string;
  readonly label: string;
}

export function SelectField({
  value,
  onChange,
  options,
  ...field
}: FieldProps & {
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly options: readonly Option[];
}): JSX.Element {
  return (
    <Field {...field}>
      {({ id, describedBy, invalid }) => (
        <select
          id={id}
          value={value}
          aria-describedby={describedBy}
          aria-invalid={invalid}
          onChange={({ currentTarget }) => onChange(currentTarget.value)}
        >
          {options.map((option) => (
            <option key={option.value} value={option.value} selected={option.value === value}>
              {option.label}
            </option>
          ))}
        </select>
      )}
    </Field>
  );
}

export function CheckField({
  label,
  value,
  onChange,
  hint,
  name,
}: FieldProps & { readonly value: boolean; readonly onChange: (value: boolean) => void }): JSX.Element {
  const id = useId();
  const fault = useContext(Faults).get(name);
  return (
    <div class="field check">
      <input
        id={id}
        type="checkbox"
        checked={value}
        aria-describedby={hint === undefined ? undefined : `${id}-hint`}
        onChange={({ currentTarget }) => onChange(currentTarget.checked)}
      />
      <label for={id}>{label}</label>
      {hint !== undefined && (
        <p class="hint" id={`${id}-hint`}>
          {hint}
        </p>
      )}
      {fault !== undefined && <p class="field-fault">{fault}</p>}
    </div>
  );
}

/** Some of a few: check boxes with a name for all of them. */
export function ChoicesField({
  label,
  name,
  values,
  onChange,
  options,
  hint,
  empty,
}: FieldProps & {
  readonly values: readonly string[];
  readonly onChange: (values: string[]) => void;
  readonly options: readonly Option[];
  readonly empty?: string;
}): JSX.Element {
  const fault = [...useContext(Faults)].find(([at]) => at === name || at.startsWith(`${name}/`))?.[1];
  return (
    <fieldset class="field choices">
      <legend>{label}</legend>
      {options.length === 0 && <p class="hint">{empty ?? t.common.none}</p>}
      <div class="choices-list">
        {options.map((option) => (
          <label key={option.value}>
            <input
              type="checkbox"
              checked={values.includes(option.value)}
              onChange={({ currentTarget }) =>
                onChange(
                  currentTarget.checked ? [...values, option.value] : values.filter((value) => value !== option.value),
                )
              }
            />
            <span>{option.label}</span>
          </label>
        ))}
      </div>
      {hint !== undefined && <p class="hint">{hint}</p>}
      {fault !== undefined && <p class="field-fault">{fault}</p>}
    </fieldset>
  );
}
