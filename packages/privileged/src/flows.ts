import { Conntrack } from '@sallyport/io';
import { parseAddress, REFUSED_MARK, type IpAddress } from '@sallyport/policy';

/** Soon after a change, the flows that still send have been judged anew; later, those that were silent a while. */
const SWEEP_DELAYS_MS = [300, 5000];

/** The kernel's memory of connections: what is forbidden now goes from it. The packet filter stops it in any case. */
export class Flows {
  readonly #conntrack = new Conntrack();
  readonly #timers = new Map<number, NodeJS.Timeout>();
  readonly #failed: (error: unknown) => void;
  #waiting = new Set<string>();
  /** The addresses' flows are looked for together, since each look goes through all that the kernel has. */
  #cutting: Promise<void> | undefined;

  /** `failed` hears of failures of what goes on in the background. */
  constructor(failed: (error: unknown) => void) {
    this.#failed = failed;
  }

  /** Deletes, soon and once more later, the flows that the packet filter refused when it judged anew. */
  sweep(): void {
    for (const delay of SWEEP_DELAYS_MS) {
      if (this.#timers.has(delay)) continue;
      const timer = setTimeout(() => {
        this.#timers.delete(delay);
        try {
          this.#conntrack.deleteMarked(REFUSED_MARK);
        } catch (error) {
          this.#failed(error);
        }
      }, delay);
      this.#timers.set(delay, timer.unref());
    }
  }

  /** Deletes the flows from and to these tunnel addresses at once. */
  async cut(addresses: readonly string[]): Promise<number> {
    return this.#conntrack.deleteFlowsOf(numbersOf(addresses));
  }

  /** Like {@link cut}, without anybody who waits. */
  cutInBackground(addresses: readonly string[]): void {
    for (const address of addresses) this.#waiting.add(address);
    if (this.#waiting.size > 0) this.#cutting ??= this.#cutWaiting();
  }

  stop(): void {
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#waiting.clear();
  }

  async #cutWaiting(): Promise<void> {
    while (this.#waiting.size > 0) {
      const addresses = [...this.#waiting];
      this.#waiting.clear();
      await this.cut(addresses).catch(this.#failed);
    }
    this.#cutting = undefined;
  }
}

function numbersOf(addresses: readonly string[]): IpAddress[] {
  return addresses.flatMap((text) => parseAddress(text) ?? []);
}
