/** The server wants to know that it is still the user who asks; the dialog that proves it is in shell/. */
import { signal } from '@preact/signals';

/** Who waits for the user to prove themselves; undefined where nobody does. */
export const waiting = signal<((proved: boolean) => void) | undefined>(undefined);
let current: Promise<boolean> | undefined;

/** Asks once, however many wait. False where the user gives up. */
export function proveAgain(): Promise<boolean> {
  current ??= new Promise<boolean>((resolve) => {
    waiting.value = (proved) => {
      waiting.value = undefined;
      current = undefined;
      resolve(proved);
    };
  });
  return current;
}
