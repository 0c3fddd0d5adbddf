import koffi from 'koffi';
import { libc } from '../libc.ts';

/** The numbers of sched_setattr(2) and sched_getattr(2). */
const CALLS: Readonly<Partial<Record<string, readonly [set: number, get: number]>>> = {
  x64: [314, 315],
  arm64: [274, 275],
};
/** struct sched_attr, version 0: size and policy (32 bits each), flags (64), nice, priority (32), runtime (64) and two more. */
const ATTR_BYTES = 48;
const POLICY = 4;
const RUNTIME = 24;
const SCHED_OTHER = 0;
/** prctl(2) */
const PR_SET_TIMERSLACK = 29;

const syscall = koffi
  .load('libc.so.6')
  .func('long syscall(long number, long thread, _Inout_ uint8_t *attr, long a, long b)') as unknown as (
  number: number,
  thread: number,
  attr: Buffer,
  a: number,
  b: number,
) => number;

/**
 * Has the calling thread run in slices of so many milliseconds (0.1 to 100), and those that it starts. A thread that
 * wakes takes the processor at once from one with longer slices; where they are as long as its own, the kernel's default,
 * it may wait until the next tick, 4 ms. The share of the processor that it gets is not another one, so that it takes no
 * privilege. Linux before 6.12 has no such slices. False where it can't be done.
 */
export function setSlice(milliseconds: number): boolean {
  const attr = Buffer.alloc(ATTR_BYTES);
  const calls = CALLS[process.arch];
  if (calls === undefined) return false;
  const [set, get] = calls;
  if (syscall(get, 0, attr, ATTR_BYTES, 0) !== 0 || attr.readUInt32LE(POLICY) !== SCHED_OTHER) return false;
  attr.writeBigUInt64LE(BigInt(Math.round(milliseconds * 1e6)), RUNTIME);
  return syscall(set, 0, attr, 0, 0) === 0;
}

/** Has the calling thread sleep no longer than it asks for: by default the kernel takes its time, 50 microseconds. */
export function sleepPrecisely(): void {
  libc.prctl(PR_SET_TIMERSLACK, 1);
}

/** The slice of a thread of this machine in milliseconds, the kernel's default included; 0 where it has none. */
export function sliceOf(thread: number): number {
  const attr = Buffer.alloc(ATTR_BYTES);
  const calls = CALLS[process.arch];
  if (calls === undefined || syscall(calls[1], thread, attr, ATTR_BYTES, 0) !== 0) return 0;
  return Number(attr.readBigUInt64LE(RUNTIME)) / 1e6;
}
