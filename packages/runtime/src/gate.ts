/**
 * Lets the main thread change what the workers read, tables and keys, while none of them is in the middle of a
 * batch. A worker that blocks in poll counts as outside, so a change waits for one batch at the most.
 *
 * The words: whether a change wants in, then each worker's state.
 */
const OUTSIDE = 0;
const INSIDE = 1;

/** A worker that has not left its batch after this long has died. */
const PATIENCE_MS = 10_000;

export class Gate {
  readonly #i32: Int32Array;
  readonly #word: number;
  readonly #workers: number;
  #depth = 0;

  static bytes(workers: number): number {
    return 4 * (1 + workers);
  }

  constructor(i32: Int32Array, at: number, workers: number) {
    this.#i32 = i32;
    this.#word = at >> 2;
    this.#workers = workers;
  }

  /** Worker: a batch begins. Waits while a change is being made. */
  enter(worker: number): void {
    const state = this.#word + 1 + worker;
    for (;;) {
      Atomics.store(this.#i32, state, INSIDE);
      if (Atomics.load(this.#i32, this.#word) === 0) return;
      this.leave(worker);
      Atomics.wait(this.#i32, this.#word, 1);
    }
  }

  /** Worker: the batch is done. */
  leave(worker: number): void {
    const state = this.#word + 1 + worker;
    Atomics.store(this.#i32, state, OUTSIDE);
    if (Atomics.load(this.#i32, this.#word) !== 0) Atomics.notify(this.#i32, state);
  }

  /** Main thread: runs `change` while every worker is outside. May be nested. */
  exclusive<T>(change: () => T): T {
    if (this.#depth++ === 0) {
      Atomics.store(this.#i32, this.#word, 1);
      for (let worker = 0; worker < this.#workers; worker++) {
        const state = this.#word + 1 + worker;
        while (Atomics.load(this.#i32, state) === INSIDE) {
          if (Atomics.wait(this.#i32, state, INSIDE, PATIENCE_MS) !== 'timed-out') continue;
          this.#open();
          throw new Error(`data-plane worker ${String(worker)} does not answer: restart the device`);
        }
      }
    }
    try {
      return change();
    } finally {
      this.#open();
    }
  }

  #open(): void {
    if (--this.#depth !== 0) return;
    Atomics.store(this.#i32, this.#word, 0);
    Atomics.notify(this.#i32, this.#word);
  }
}
