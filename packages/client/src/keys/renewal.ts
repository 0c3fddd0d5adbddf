/** When the preshared key is agreed anew. docs/protocols/post-quantum.md */
import { backOffMs } from '../machine/back-off.ts';

export const RENEW_KEY_MS = 30 * 60_000;

/**
 * `agreedAt`: when the last one was, of this gateway; undefined: there is none yet, and it is due. `failures`: tries in a
 * row that were not answered, the last of them at `triedAt`.
 */
export function keyRenewalAt(
  { agreedAt, triedAt, failures }: { readonly agreedAt: number | undefined; readonly triedAt: number; readonly failures: number }, // prettier-ignore
  random: number,
): number {
  if (failures > 0) return triedAt + backOffMs(failures - 1, random, 2_000, 300_000);
  // Not all clients at once: up to a tenth earlier.
  return agreedAt === undefined ? triedAt : agreedAt + RENEW_KEY_MS * (1 - random / 10);
}
