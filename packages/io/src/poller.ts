import type { Arena } from './arena.ts';
import { libc } from './libc.ts';

const POLLIN = 1;
const POLLERR = 8;
const POLLHUP = 16;
const POLLNVAL = 32;

/** Waits until one of a few file descriptors is readable. One instance serves one thread. */
export class Poller {
  readonly #arena: Arena;
  readonly #at: number;
  #count = 0;

  static scratchBytes(capacity: number): number {
    return capacity * 8;
  }

  constructor(arena: Arena, scratch: number) {
    this.#arena = arena;
    this.#at = scratch;
  }

  /** Watches these from now on; a negative one is passed over. */
  watch(fds: readonly number[]): void {
    const { i32 } = this.#arena;
    for (let i = 0; i < fds.length; i++) {
      i32[(this.#at + 8 * i) >> 2] = fds[i];
      i32[(this.#at + 8 * i + 4) >> 2] = POLLIN;
    }
    this.#count = fds.length;
  }

  /** Blocks for up to `timeoutMs` (-1: without end). */
  wait(timeoutMs: number): void {
    const n = libc.poll(this.#arena.address + this.#at, this.#count, timeoutMs);
    if (n <= 0) for (let i = 0; i < this.#count; i++) this.#arena.i32[(this.#at + 8 * i + 4) >> 2] = POLLIN;
  }

  /** Whether the i-th can be read without blocking, its end and its errors included. */
  readable(i: number): boolean {
    return this.#arena.u32[(this.#at + 8 * i + 4) >> 2] >>> 16 !== 0;
  }

  /** Whether the i-th is gone. */
  gone(i: number): boolean {
    return ((this.#arena.u32[(this.#at + 8 * i + 4) >> 2] >>> 16) & (POLLERR | POLLHUP | POLLNVAL)) !== 0;
  }
}
