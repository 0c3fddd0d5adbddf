import type { Instant } from '@sallyport/core';

/** Microseconds, of a data-plane worker. With 60 a packet was measured to cost a sixth more, with 30 a fifth. */
const PAUSE = 120;
/** Datagrams a millisecond from which on it pays: six in a pause. */
const DENSE = 50;
/** Over how many milliseconds they are counted. */
const WINDOW = 0.5;
/** After a turn with as many as this the next one will have enough too. */
const ENOUGH = 32;

/**
 * When a thread that carries packets pauses between its turns, as network cards moderate their interrupts. Where datagrams
 * come densely and one by one, a thread that is woken by each takes few in a turn; after a short pause it takes many, which
 * leave in one frame, are answered by one acknowledgment and cost one wake-up. Trains count for nothing here: they are many
 * already.
 */
export class Moderation {
  readonly #pause: number;
  readonly #enough: number;
  #since: Instant = 0;
  #count = 0;
  #dense = false;

  /** `pause` in microseconds; after a turn with `enough` datagrams there is none. */
  constructor(pause = PAUSE, enough = ENOUGH) {
    this.#pause = pause;
    this.#enough = enough;
  }

  /** A turn that began at `now` took `count` datagrams that came alone. How many microseconds to pause after it. */
  pauseAfter(now: Instant, count: number): number {
    this.#count += count;
    const passed = now - this.#since;
    if (passed >= WINDOW) {
      this.#dense = this.#count >= DENSE * passed;
      this.#since = now;
      this.#count = 0;
    }
    return this.#dense && count < this.#enough ? this.#pause : 0;
  }
}
