import type { Instant } from '@sallyport/core';
import type { Arena } from './arena.ts';
import { libc } from './libc.ts';

const CLOCK_BOOTTIME = 7;

/** Reads CLOCK_BOOTTIME: it goes on in suspend, as key lifetimes must, and is the same for every thread. */
export class Clock {
  readonly #f: () => Instant;

  /** `scratch` is 16 bytes of this thread's own. */
  constructor(arena: Arena, scratch: number) {
    const { i32, u32, address } = arena;
    const to = address + scratch;
    const word = scratch >> 2;
    this.#f = () => {
      libc.clockGettime(CLOCK_BOOTTIME, to);
      return (u32[word] + i32[word + 1] * 4_294_967_296) * 1000 + u32[word + 2] / 1e6;
    };
  }

  now(): Instant {
    return this.#f();
  }
}
