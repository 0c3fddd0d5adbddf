import type { User } from '@sallyport/api';
import type { JSX } from 'preact';
import { useEffect, useId, useState } from 'preact/hooks';
import { useQuery } from '../../api/query.ts';
import { t } from '../../strings/index.ts';
import { classes } from '../../ui/classes.ts';
import { callName } from './user-parts.tsx';

export type Person = Pick<User, 'id' | 'name' | 'displayName'>;

const FOUND = 20;
const pauseMs = 200;

/** Finds users while somebody types (a combobox of the ARIA practices): the arrows choose, Enter takes, Escape closes. */
export function UserPicker({
  label,
  picked,
  onPick,
  exclude,
  autofocus = false,
}: {
  readonly label: string;
  /** The name of who is chosen. Without one the field is empty again after a choice. */
  readonly picked?: string | undefined;
  /** Undefined where the field was emptied. */
  readonly onPick: (person: Person | undefined) => unknown;
  /** Whom it does not offer. */
  readonly exclude?: (user: User) => boolean;
  readonly autofocus?: boolean;
}): JSX.Element {
  const id = useId();
  const [text, setText] = useState(picked ?? '');
  const [wanted, setWanted] = useState('');
  const [open, setOpen] = useState(false);
  /** The option that Enter takes; -1: none. */
  const [at, setAt] = useState(-1);
  useEffect(() => setText(picked ?? ''), [picked]);
  useEffect(() => {
    const timer = setTimeout(() => setWanted(text === picked ? '' : text.trim()), pauseMs);
    return () => clearTimeout(timer);
  }, [text]);
  const users = useQuery(
    'listUsers',
    { query: { search: wanted, limit: FOUND } },
    { enabled: open, keepPrevious: true },
  ).data?.items;
  const offered = users?.filter((user) => exclude?.(user) !== true) ?? [];
  const current = Math.min(at, offered.length - 1);
  const close = (): void => {
    setOpen(false);
    setAt(-1);
    // What is no choice does not look like one.
    setText(picked ?? '');
  };
  const take = (person: Person | undefined): void => {
    close();
    onPick(person);
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const { key } = event;
    if (key === 'ArrowDown' || key === 'ArrowUp') {
      const step = key === 'ArrowDown' ? 1 : -1;
      setAt(current < 0 ? (step > 0 ? 0 : offered.length - 1) : (current + step + offered.length) % offered.length);
      setOpen(true);
    } else if (key === 'Enter' && open && offered[current] !== undefined) {
      take(offered[current]);
    } else if (key === 'Enter' && text === '' && picked !== undefined) {
      take(undefined);
    } else if (key === 'Escape' && open) {
      close();
    } else {
      return;
    }
    // Neither sends the form nor closes the dialog around it.
    event.preventDefault();
    event.stopPropagation();
  };
  const optionId = (index: number): string => `${id}-${index}`;
  return (
    <div class="field picker">
      <label for={id}>{label}</label>
      <input
        id={id}
        role="combobox"
        aria-expanded={open && offered.length > 0}
        aria-controls={`${id}-list`}
        aria-autocomplete="list"
        aria-activedescendant={open && current >= 0 ? optionId(current) : undefined}
        placeholder={t.people.picker.placeholder}
        autocomplete="off"
        spellcheck={false}
        autofocus={autofocus}
        value={text}
        onFocus={({ currentTarget }) => currentTarget.select()}
        onClick={() => setOpen(true)}
        onBlur={() => (text === '' && picked !== undefined ? take(undefined) : close())}
        onKeyDown={onKeyDown}
        onInput={({ currentTarget: { value } }) => {
          setText(value);
          setOpen(true);
          setAt(value === '' ? -1 : 0);
        }}
      />
      <p class="unseen" role="status">
        {open && users !== undefined && t.people.picker.count(offered.length)}
      </p>
      {open && users !== undefined && (
        // The field keeps the focus.
        <div class="picker-list" onPointerDown={(event) => event.preventDefault()}>
          {offered.length === 0 && <p class="hint">{t.people.picker.none}</p>}
          <ul id={`${id}-list`} role="listbox" aria-label={label}>
            {offered.map((user, index) => (
              <li
                key={user.id}
                id={optionId(index)}
                role="option"
                aria-selected={index === current}
                class={classes(index === current && 'current')}
                onPointerMove={() => setAt(index)}
                onClick={() => take(user)}
              >
                {callName(user)} {user.displayName !== '' && <span class="faint">{user.name}</span>}
              </li>
            ))}
          </ul>
        </div>
      )}
    </div>
  );
}
