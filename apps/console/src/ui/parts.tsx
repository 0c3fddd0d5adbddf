/** Small things that many pages show. */
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { t } from '../strings/index.ts';
import { Button } from './button.tsx';
import { formatAgo, formatDateTime } from './format.ts';

/** How something stands; the colour never says it alone. */
export function Badge({
  tone,
  children,
}: {
  readonly tone: 'good' | 'warn' | 'bad' | 'neutral';
  readonly children: ComponentChildren;
}): JSX.Element {
  return <span class={`badge ${tone}`}>{children}</span>;
}

/** How long ago, the exact time in its title; kept up to date. */
export function Ago({
  time,
  none = t.common.never,
}: {
  readonly time: string | null;
  readonly none?: string;
}): JSX.Element {
  const [, render] = useState({});
  useEffect(() => {
    const timer = setInterval(() => render({}), 30_000);
    return () => clearInterval(timer);
  }, []);
  if (time === null) return <span class="faint">{none}</span>;
  return (
    <time dateTime={time} title={formatDateTime(time)}>
      {formatAgo(time)}
    </time>
  );
}

export function CopyButton({ text, label }: { readonly text: string; readonly label?: string }): JSX.Element {
  const [copied, setCopied] = useState(false);
  return (
    <Button
      small
      onClick={async () => {
        await navigator.clipboard.writeText(text);
        setCopied(true);
        setTimeout(() => setCopied(false), 2000);
      }}
    >
      <span aria-live="polite">{copied ? t.common.copied : (label ?? t.common.copy)}</span>
    </Button>
  );
}

/** A text that is shown once and has to be taken away. */
export function Secret({ text, label }: { readonly text: string; readonly label: string }): JSX.Element {
  return (
    <div class="secret">
      <code aria-label={label}>{text}</code>
      <CopyButton text={text} />
    </div>
  );
}

/** What a user sees as terms and values. */
export function Facts({ facts }: { readonly facts: readonly (readonly [string, ComponentChildren])[] }): JSX.Element {
  return (
    <dl class="facts">
      {facts.map(([term, value]) => (
        <div key={term}>
          <dt>{term}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}

/** A search field whose text lives in the address; it waits until the typing pauses. */
export function SearchField({
  value,
  onChange,
  label = t.common.search,
}: {
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly label?: string;
}): JSX.Element {
  const [text, setText] = useState(value);
  const told = useRef(value);
  useEffect(() => {
    // What the field told itself comes back when more may have been typed.
    if (value === told.current) return;
    told.current = value;
    setText(value);
  }, [value]);
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => {
      told.current = text;
      onChange(text);
    }, 250);
    return () => clearTimeout(timer);
  }, [text]);
  return (
    <input
      type="search"
      class="search"
      aria-label={label}
      placeholder={label}
      value={text}
      onInput={({ currentTarget }) => setText(currentTarget.value)}
    />
  );
}

/** A choice among a few that lives in the address. */
export function FilterSelect({
  label,
  value,
  onChange,
  options,
}: {
  readonly label: string;
  readonly value: string;
  readonly onChange: (value: string) => void;
  readonly options: readonly (readonly [string, string])[];
}): JSX.Element {
  return (
    <label class="filter">
      <span>{label}</span>
      <select value={value} onChange={({ currentTarget }) => onChange(currentTarget.value)}>
        {options.map(([option, text]) => (
          <option key={option} value={option} selected={option === value}>
            {text}
          </option>
        ))}
      </select>
    </label>
  );
}
