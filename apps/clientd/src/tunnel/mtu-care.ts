/** Searches the MTU of the path in use by pings, and tells the gateway what was found. */
import { mtuDeadline, mtuStep, startMtuSearch, type MtuEvent, type MtuSearch } from '@sallyport/client';
import type { TunnelService } from './tunnel-service.ts';

const TELL_TIMEOUT_MS = 1000;
const TELL_TRIES = 5;

export interface MtuCareOptions {
  readonly service: TunnelService;
  readonly floor: number;
  readonly ceiling: number;
  /** What is in force. */
  readonly held: number;
  readonly onFound: (mtu: number) => void;
  /** The floor doesn't pass either. */
  readonly onNarrow: () => void;
  /** The floor was set by hand, and is not looked into. */
  readonly granted: boolean;
}

export class MtuCare {
  readonly #options: MtuCareOptions;
  #search: MtuSearch;
  #timer: NodeJS.Timeout | undefined;
  #told: number | undefined;
  #stopped = false;

  constructor(options: MtuCareOptions) {
    this.#options = options;
    const { floor, ceiling, held, granted } = options;
    this.#search = startMtuSearch(floor, ceiling, held, performance.now(), granted);
    void this.#begin();
  }

  /** How long an answer takes here. */
  noteRoundTrip(ms: number): void {
    this.#take({ kind: 'roundTrip', ms });
  }

  stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
  }

  #isStopped(): boolean {
    return this.#stopped;
  }

  async #begin(): Promise<void> {
    // A limit that was told before would keep larger answers back.
    await this.#tell(this.#options.ceiling);
    this.#take({ kind: 'time' });
  }

  #take(event: MtuEvent): void {
    if (this.#stopped) return;
    const before = this.#search;
    const { search, send, found, narrow } = mtuStep(before, event, performance.now());
    this.#search = search;
    if (found !== undefined) this.#options.onFound(found);
    if (narrow) this.#options.onNarrow();
    // What was found may have ended this.
    if (this.#isStopped()) return;
    if (search.mode === 'raise' && before.mode !== 'raise')
      void this.#tell(this.#options.ceiling).then(() => this.#send(send)); // prettier-ignore
    else this.#send(send);
    if (search.mode === 'hold') void this.#tell(search.held);
    clearTimeout(this.#timer);
    const deadline = mtuDeadline(search);
    if (deadline === Infinity) return;
    this.#timer = setTimeout(
      () => {
        this.#take({ kind: 'time' });
      },
      Math.max(1, Math.ceil(deadline - performance.now())),
    );
  }

  #send(sizes: readonly number[]): void {
    // The small one first: behind a large one it would leave as the end of one train, and be lost with it.
    for (const size of sizes.toSorted((a, b) => a - b))
      void this.#options.service.probe(size, this.#search.answerMs).then((passes) => {
        if (passes) this.#take({ kind: 'answered', size });
      });
  }

  async #tell(mtu: number): Promise<void> {
    if (this.#told === mtu || this.#stopped) return;
    this.#told = mtu;
    if (!(await this.#options.service.tellPathMtu(mtu, TELL_TIMEOUT_MS, TELL_TRIES)) && this.#told === mtu)
      this.#told = undefined;
  }
}
