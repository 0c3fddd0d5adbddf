import { unavailable } from './database-errors.ts';

/** Lets one go after the other, in the order in which they came. */
export class Mutex {
  readonly #limit: number;
  readonly #waiting: (() => void)[] = [];
  #held = false;

  /** @param limit how many may wait; more are refused as unavailable */
  constructor(limit: number) {
    this.#limit = limit;
  }

  async lock(): Promise<void> {
    if (!this.#held) {
      this.#held = true;
      return;
    }
    if (this.#waiting.length >= this.#limit) throw unavailable('Too many changes are waiting', undefined);
    await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  unlock(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#held = false;
    else next();
  }

  async run<T>(work: () => Promise<T> | T): Promise<T> {
    await this.lock();
    try {
      return await work();
    } finally {
      this.unlock();
    }
  }
}
