import { isNowhere } from '@sallyport/policy';
import type { Clock } from './clock.ts';

/** Asks for a name's addresses of both families. Rejects where nobody answers; no address is an answer. */
export type Resolve = (name: string) => Promise<{ readonly addresses: readonly string[]; readonly ttlSeconds: number }>;

export const MAX_NAMES = 1000;
const MAX_ADDRESSES = 64;
const LEAST_MS = 5000;
const MOST_MS = 5 * 60_000;
/** After a failure; the last good answer holds meanwhile. */
const RETRY_MS = 10_000;
const MAX_QUESTIONS = 16;

interface Entry {
  addresses: readonly string[] | undefined;
  cancel: (() => void) | undefined;
}

/** What the names of destinations resolve to, kept up to date. */
export class Names {
  readonly #resolve: Resolve;
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #entries = new Map<string, Entry>();
  readonly #due = new Set<string>();
  #underWay = 0;
  /** Names beyond the bound, which resolve to nothing. */
  ignored = 0;

  constructor(resolve: Resolve, clock: Clock, changed: () => void) {
    this.#resolve = resolve;
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Keeps these names, and asks at once for those that are new. */
  want(names: ReadonlySet<string>): void {
    for (const [name, entry] of this.#entries)
      if (!names.has(name)) {
        entry.cancel?.();
        this.#entries.delete(name);
        this.#due.delete(name);
      }
    this.ignored = 0;
    for (const name of names) {
      if (this.#entries.has(name)) continue;
      if (this.#entries.size >= MAX_NAMES) {
        this.ignored++;
        continue;
      }
      this.#entries.set(name, { addresses: undefined, cancel: undefined });
      this.#due.add(name);
    }
    this.#ask();
  }

  /** The names that have been answered. */
  get addresses(): Record<string, readonly string[]> {
    const found: [string, readonly string[]][] = [];
    for (const [name, { addresses }] of this.#entries) if (addresses !== undefined) found.push([name, addresses]);
    return Object.fromEntries(found);
  }

  stop(): void {
    this.want(new Set());
  }

  #ask(): void {
    for (const name of this.#due) {
      if (this.#underWay >= MAX_QUESTIONS) return;
      this.#due.delete(name);
      const entry = this.#entries.get(name);
      if (entry === undefined) continue;
      this.#underWay++;
      void this.#askFor(name, entry).finally(() => {
        this.#underWay--;
        this.#ask();
      });
    }
  }

  async #askFor(name: string, entry: Entry): Promise<void> {
    let wait = RETRY_MS;
    try {
      const { addresses, ttlSeconds } = await this.#resolve(name);
      wait = Math.min(Math.max(ttlSeconds * 1000, LEAST_MS), MOST_MS);
      // A name server opens no address that a rule could not name: a cloud's metadata service is link-local.
      const reachable = addresses.filter((address) => !isNowhere(address));
      const sorted = [...new Set(reachable)].sort().slice(0, MAX_ADDRESSES);
      const changed = entry.addresses === undefined || entry.addresses.join() !== sorted.join();
      entry.addresses = sorted;
      // Removed meanwhile, it is nobody's concern.
      if (changed && this.#entries.get(name) === entry) this.#changed();
    } catch {
      // The last good answer holds.
    }
    if (this.#entries.get(name) !== entry) return;
    entry.cancel = this.#clock.after(wait, () => {
      this.#due.add(name);
      this.#ask();
    });
  }
}
