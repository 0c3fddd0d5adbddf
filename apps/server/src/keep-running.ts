const FIRST_PAUSE_MS = 200;
const LAST_PAUSE_MS = 10_000;
/** Whoever ran for so long did not end because of how it was started. */
const SETTLED_MS = 60_000;
const KILL_MS = 10_000;

/** Processes that live and end together. */
export interface Running {
  /** Settles when all of them are gone, with how the one that matters ended: `exit code 1`, `SIGKILL`. */
  readonly ended: Promise<string>;
  signal(signal: 'SIGTERM' | 'SIGKILL'): void;
}

/** Starts something, starts it again whenever it ends, with growing pauses, and ends it when asked. */
export class KeepRunning {
  readonly #name: string;
  readonly #start: () => Running;
  readonly #log: (level: 'info' | 'warn', message: string) => void;
  /** Whether it should be started again after it ended so. */
  readonly #again: (end: string) => boolean;
  #running: Running | undefined;
  #wake: (() => void) | undefined;
  #stopping = false;
  /** Settles when it has ended for good: how, or undefined where it was asked to. */
  readonly finished: Promise<string | undefined>;

  constructor(
    name: string,
    start: () => Running,
    again: (end: string) => boolean,
    log: (level: 'info' | 'warn', message: string) => void,
  ) {
    this.#name = name;
    this.#start = start;
    this.#again = again;
    this.#log = log;
    this.finished = this.#run();
  }

  async #run(): Promise<string | undefined> {
    let pauseMs = FIRST_PAUSE_MS;
    for (;;) {
      const startedAt = performance.now();
      let end: string;
      try {
        this.#running = this.#start();
        end = await this.#running.ended;
      } catch (error) {
        end = error instanceof Error ? error.message : String(error);
      }
      this.#running = undefined;
      if (this.#stopping) return undefined;
      if (!this.#again(end)) return end;
      if (performance.now() - startedAt > SETTLED_MS) pauseMs = FIRST_PAUSE_MS;
      this.#log('warn', `the ${this.#name} ended (${end}); it is started again in ${String(pauseMs)} ms`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, pauseMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
      // It may have been stopped meanwhile, which control flow analysis does not see.
      if (this.#isStopping()) return undefined;
      pauseMs = Math.min(pauseMs * 2, LAST_PAUSE_MS);
    }
  }

  #isStopping(): boolean {
    return this.#stopping;
  }

  /** It will be stopped: an end from now on is no reason to start it again. */
  expectEnd(): void {
    this.#stopping = true;
    this.#wake?.();
  }

  /** Ends it in order, and after ten seconds by force. */
  async stop(): Promise<void> {
    this.expectEnd();
    const running = this.#running;
    running?.signal('SIGTERM');
    const timer = setTimeout(() => {
      this.#log('warn', `the ${this.#name} does not end by itself and is killed`);
      running?.signal('SIGKILL');
    }, KILL_MS);
    await this.finished;
    clearTimeout(timer);
  }
}
