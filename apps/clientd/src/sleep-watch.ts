/** Notices that the machine slept: by a clock that counts sleep, and one that doesn't. */

const LOOK_MS = 1000;
/** What the clocks may drift apart, or a reading of both may take, between two looks. */
const SLEEP_MS = 2000;

export interface SleepWatchOptions {
  /** Counts sleep (CLOCK_BOOTTIME), milliseconds. */
  readonly now: () => number;
  /** Doesn't (CLOCK_MONOTONIC), milliseconds; by it timers run too. */
  readonly awake?: () => number;
  readonly onResumed: () => void;
}

export class SleepWatch {
  readonly #options: SleepWatchOptions;
  #asleep = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(options: SleepWatchOptions) {
    this.#options = options;
  }

  /** Looks each second while `wanted`. */
  follow(wanted: boolean): void {
    if (wanted === (this.#timer !== undefined)) return;
    if (!wanted) {
      clearInterval(this.#timer);
      this.#timer = undefined;
      return;
    }
    this.#asleep = this.#sleptMs();
    this.#timer = setInterval(() => {
      this.look();
    }, LOOK_MS);
  }

  look(): void {
    const before = this.#asleep;
    this.#asleep = this.#sleptMs();
    if (this.#asleep - before > SLEEP_MS) this.#options.onResumed();
  }

  #sleptMs(): number {
    const { now, awake = () => performance.now() } = this.#options;
    return now() - awake();
  }
}
