import type { JSX } from 'preact';
import { signal } from '@preact/signals';
import { messageOf } from '../api/call.ts';
import { t } from '../strings/index.ts';
import { Button } from './button.tsx';

interface Toast {
  readonly number: number;
  readonly text: string;
  readonly kind: 'done' | 'fault';
  /** Takes back what was done. */
  readonly undo?: (() => Promise<unknown>) | undefined;
}

const toasts = signal<readonly Toast[]>([]);
let last = 0;
const shownMs = 8000;

/** Says that something was done, with a way back where there is one. */
export function done(text: string, undo?: () => Promise<unknown>): void {
  show({ text, kind: 'done', undo });
}

export function fault(error: unknown): void {
  show({ text: messageOf(error), kind: 'fault' });
}

function show(toast: Omit<Toast, 'number'>): void {
  const number = ++last;
  toasts.value = [...toasts.value.slice(-3), { ...toast, number }];
  setTimeout(() => drop(number), shownMs);
}

function drop(number: number): void {
  toasts.value = toasts.value.filter((toast) => toast.number !== number);
}

/** The modal dialogs that are open, the uppermost last. */
export const openDialogs = signal<readonly string[]>([]);

/**
 * Where they appear: in the page, or in the uppermost dialog, which covers the page and leaves nothing outside itself
 * to be clicked.
 */
export function Toasts({ dialog }: { readonly dialog?: string }): JSX.Element | null {
  if (openDialogs.value.at(-1) !== dialog) return null;
  return (
    <div class="toasts" role="status" aria-live="polite">
      {toasts.value.map(({ number, text, kind, undo }) => (
        <div key={number} class={`toast ${kind}`}>
          <span>{text}</span>
          {undo !== undefined && (
            <Button
              small
              onClick={() => {
                drop(number);
                undo().catch(fault);
              }}
            >
              {t.common.undo}
            </Button>
          )}
          <button type="button" class="cross" aria-label={t.common.close} onClick={() => drop(number)}>
            ×
          </button>
        </div>
      ))}
    </div>
  );
}
