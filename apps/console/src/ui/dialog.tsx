import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useId, useRef } from 'preact/hooks';
import { signal } from '@preact/signals';
import { t } from '../strings/index.ts';
import { Button } from './button.tsx';
import { openDialogs, Toasts } from './toast.tsx';

interface DialogProps {
  readonly title: string;
  readonly children: ComponentChildren;
  /** Escape, the cross, or a click outside. */
  readonly onClose: () => void;
  readonly wide?: boolean;
}

/** A modal dialog, open as long as it is rendered. The browser keeps the focus in it; it goes back to where it was. */
export function Dialog({ title, children, onClose, wide = false }: DialogProps): JSX.Element {
  const element = useRef<HTMLDialogElement>(null);
  const titleId = useId();
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    openDialogs.value = [...openDialogs.value, titleId];
    // The browser gives the focus back only from a dialog that is closed, and this one is taken away.
    return () => {
      openDialogs.value = openDialogs.value.filter((id) => id !== titleId);
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  return (
    <dialog
      ref={element}
      class={wide ? 'wide' : undefined}
      aria-labelledby={titleId}
      onCancel={(event) => {
        event.preventDefault();
        onClose();
      }}
    >
      <header>
        <h2 id={titleId}>{title}</h2>
        <button type="button" class="cross" aria-label={t.common.close} onClick={onClose}>
          ×
        </button>
      </header>
      <div class="dialog-body">{children}</div>
      <Toasts dialog={titleId} />
    </dialog>
  );
}

interface Question {
  readonly title: string;
  readonly text: ComponentChildren;
  /** What the button says: the deed, not "OK". */
  readonly action: string;
  readonly danger?: boolean;
}

const asked = signal<(Question & { readonly answer: (yes: boolean) => void }) | undefined>(undefined);

/** Asks before something that matters. */
export function ask(question: Question): Promise<boolean> {
  return new Promise((resolve) => {
    asked.value = {
      ...question,
      answer: (yes) => {
        asked.value = undefined;
        resolve(yes);
      },
    };
  });
}

/** Where {@link ask} shows its questions; once in the page. */
export function Questions(): JSX.Element | null {
  const question = asked.value;
  if (question === undefined) return null;
  const { title, text, action, danger = true, answer } = question;
  return (
    <Dialog title={title} onClose={() => answer(false)}>
      <p>{text}</p>
      <div class="actions">
        <Button onClick={() => answer(false)} autofocus>
          {t.common.cancel}
        </Button>
        <Button kind={danger ? 'danger' : 'primary'} onClick={() => answer(true)}>
          {action}
        </Button>
      </div>
    </Dialog>
  );
}
