/** Runs the state machine: takes events in, hands out what follows, and comes back when a deadline does. */
import { nextDeadline, step, type Action, type Desired, type Event, type State } from '@sallyport/client';

const LONGEST_WAIT_MS = 3_600_000;

export interface MachineOptions {
  readonly initial: State;
  /** Counts sleep, milliseconds. */
  readonly now: () => number;
  /** Before anything follows from the new state. */
  readonly onState: (state: State, before: State) => void;
  readonly want: (desired: Desired) => void;
  readonly act: (action: Action) => void;
}

export class Machine {
  readonly #options: MachineOptions;
  readonly #listeners = new Set<() => void>();
  #state: State;
  #timer: NodeJS.Timeout | undefined;
  #held = true;
  #stopped = false;

  /** Until {@link begin} events are taken in, and nothing follows. */
  constructor(options: MachineOptions) {
    this.#options = options;
    this.#state = options.initial;
  }

  get state(): State {
    return this.#state;
  }

  /** What was taken in until now is carried out, as one. */
  begin(): void {
    this.#held = false;
    this.#options.want(this.#state.desired);
  }

  take(event: Event): void {
    if (this.#stopped) return;
    const before = this.#state;
    const { state, actions } = step(before, event, this.#options.now(), Math.random);
    this.#state = state;
    this.#options.onState(state, before);
    if (!this.#held && state.desired.revision !== before.desired.revision) this.#options.want(state.desired);
    for (const action of actions) this.#options.act(action);
    this.#schedule();
    for (const listener of [...this.#listeners]) listener();
  }

  /** Is called after every event, until the returned function is. */
  listen(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Waits until something holds; false where it didn't in time, or where `signal` ended it. */
  until(holds: (state: State) => boolean, timeoutMs: number, signal?: AbortSignal): Promise<boolean> {
    return new Promise((resolve) => {
      const end = (result: boolean): void => {
        clearTimeout(timer);
        stop();
        signal?.removeEventListener('abort', abort);
        resolve(result);
      };
      const abort = (): void => {
        end(false);
      };
      // Nobody is to wait for who waits: a daemon that ends ends.
      const timer = setTimeout(abort, timeoutMs).unref();
      const stop = this.listen(() => {
        if (holds(this.#state)) end(true);
      });
      signal?.addEventListener('abort', abort);
      if (signal?.aborted === true) end(false);
      else if (holds(this.#state)) end(true);
    });
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#listeners.clear();
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const deadline = nextDeadline(this.#state);
    if (deadline === undefined || this.#stopped) return;
    const delay = Math.min(Math.max(0, Math.ceil(deadline - this.#options.now())), LONGEST_WAIT_MS);
    this.#timer = setTimeout(() => {
      this.take({ kind: 'time' });
    }, delay);
  }
}
