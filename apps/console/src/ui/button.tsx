import type { ComponentChildren, JSX } from 'preact';
import { classes } from './classes.ts';

export interface ButtonProps {
  readonly children: ComponentChildren;
  readonly onClick?: () => unknown;
  readonly kind?: 'primary' | 'plain' | 'danger' | 'quiet';
  readonly type?: 'button' | 'submit';
  /** It works: the button can't be pressed again. It keeps the focus, which a disabled one would lose. */
  readonly busy?: boolean;
  readonly disabled?: boolean;
  /** Where its text says too little. */
  readonly label?: string;
  readonly small?: boolean;
  readonly autofocus?: boolean;
}

export function Button({
  children,
  onClick,
  kind = 'plain',
  type = 'button',
  busy = false,
  disabled = false,
  label,
  small = false,
  autofocus = false,
}: ButtonProps): JSX.Element {
  return (
    <button
      type={type}
      class={classes('button', kind, small && 'small')}
      aria-label={label}
      aria-busy={busy}
      aria-disabled={busy}
      disabled={disabled}
      autofocus={autofocus}
      onClick={(event) => {
        if (busy) event.preventDefault();
        else void onClick?.();
      }}
    >
      {children}
    </button>
  );
}

/** A link that looks like a button. */
export function LinkButton({
  href,
  children,
  kind = 'plain',
  download,
}: {
  readonly href: string;
  readonly children: ComponentChildren;
  readonly kind?: 'primary' | 'plain' | 'quiet';
  readonly download?: string;
}): JSX.Element {
  return (
    <a class={classes('button', kind)} href={href} {...(download === undefined ? {} : { download, target: '_self' })}>
      {children}
    </a>
  );
}
