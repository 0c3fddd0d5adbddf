import { setTimeout as sleep } from 'node:timers/promises';
import koffi from 'koffi';

/** The number of membarrier(2). */
const MEMBARRIER: Readonly<Partial<Record<string, number>>> = { x64: 324, arm64: 283 };
const MEMBARRIER_CMD_GLOBAL = 1;
/** Where the kernel can't be asked to wait. No packet is looked at for so long. */
const INSTEAD_MS = 200;

const syscall = koffi.load('libc.so.6').func('long syscall(long number, long a, long b, long c)');

/**
 * Settles when every packet has been dealt with that the kernel was dealing with when this was called: whatever was taken
 * away from the packet filter before is looked at by nobody any more. It takes some 10 ms and no processor time.
 *
 * That is what membarrier(2) does with MEMBARRIER_CMD_GLOBAL: it waits for a grace period of the kernel's RCU, by which
 * the packet filter's readers are protected.
 */
export async function gracePeriod(): Promise<void> {
  const number = MEMBARRIER[process.arch];
  const failed = number === undefined || (await call(number)) !== 0;
  if (failed) await sleep(INSTEAD_MS);
}

function call(number: number): Promise<number> {
  return new Promise((resolve) => {
    syscall.async(number, MEMBARRIER_CMD_GLOBAL, 0, 0, (error: unknown, result: number) => {
      resolve(error === null || error === undefined ? result : -1);
    });
  });
}
