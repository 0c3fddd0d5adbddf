import { flushCompileCache } from 'node:module';
import { libc } from '@sallyport/io';

/** Until then a start may still be at work. */
const SETTLED_MS = 5_000;

/**
 * To be called once a process has loaded its program, while the folder of compiled code can still be written: keeps
 * there what the next start need not compile again. Once the start is over, it gives back to the kernel what the C
 * library holds of it, above all the compiled code that was read: 9 MB in the control plane. By itself the library
 * gives back no more than what lies at the end of its memory.
 */
export function finishLoading(): void {
  flushCompileCache();
  setTimeout(() => {
    libc.mallocTrim(0);
  }, SETTLED_MS).unref();
}
