import type { Buffer } from 'node:buffer';
import koffi from 'koffi';

/*
 * Socket options for sockets that are few and opened seldom: these calls take buffers, where libc.ts takes addresses in the
 * arena. Both return -1 where it failed; see `errno`.
 */

const library = koffi.load('libc.so.6');
const set = library.func(
  'int setsockopt(int fd, int level, int name, const void *value, uint32_t bytes)',
) as unknown as (fd: number, level: number, name: number, value: Buffer, bytes: number) => number;
const get = library.func(
  'int getsockopt(int fd, int level, int name, _Out_ uint8_t *value, _Inout_ uint32_t *bytes)',
) as unknown as (fd: number, level: number, name: number, value: Buffer, bytes: number[]) => number;

export function setSocketOption(fd: number, level: number, name: number, value: Buffer): number {
  return set(fd, level, name, value, value.length);
}

/** Fills `value`, as far as the option goes. */
export function getSocketOption(fd: number, level: number, name: number, value: Buffer): number {
  return get(fd, level, name, value, [value.length]);
}
