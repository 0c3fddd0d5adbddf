import { useState } from 'preact/hooks';
import { fault } from './toast.tsx';

/** Runs something once at a time; what it throws becomes a toast. */
export function useAction(): { readonly busy: boolean; readonly run: (work: () => Promise<unknown>) => Promise<void> } {
  const [busy, setBusy] = useState(false);
  const run = async (work: () => Promise<unknown>): Promise<void> => {
    if (busy) return;
    setBusy(true);
    try {
      await work();
    } catch (error) {
      fault(error);
    } finally {
      setBusy(false);
    }
  };
  return { busy, run };
}
