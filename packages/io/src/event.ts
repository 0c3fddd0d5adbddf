import type { Arena } from './arena.ts';
import { errno, libc, SystemCallError } from './libc.ts';

const EFD_NONBLOCK = 0x800;
const EFD_CLOEXEC = 0x80000;

/** Opens an eventfd: what wakes a worker that blocks in poll. */
export function openEvent(): number {
  const fd = libc.eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  if (fd < 0) throw new SystemCallError('open an eventfd', errno());
  return fd;
}

/** Wakes who polls `fd`. `scratch` is 8 bytes of the caller's own. */
export function signalEvent(arena: Arena, fd: number, scratch: number): void {
  arena.u32[scratch >> 2] = 1;
  arena.u32[(scratch >> 2) + 1] = 0;
  libc.write(fd, arena.address + scratch, 8);
}

/** Takes the wake-ups that have come. */
export function drainEvent(arena: Arena, fd: number, scratch: number): void {
  libc.read(fd, arena.address + scratch, 8);
}
