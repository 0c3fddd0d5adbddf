import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';

export interface HostAddressesOptions {
  /** Unix milliseconds. */
  readonly now: () => number;
  /** For tests. Default: the system's. Rejects where there is no such host. */
  readonly resolve?: (host: string) => Promise<readonly string[]>;
}

interface Known {
  /** The last that were found. */
  addresses: readonly string[];
  /** When they were looked up last, found or not. */
  at: number;
  looking: Promise<void> | undefined;
}

/** How long an answer counts; after that it is looked up again, and given on meanwhile. */
const FRESH_MS = 60_000;
/** The system's lookups wait in a thread each, of which there are few. */
const MAX_LOOKUPS = 2;
const MAX_HOSTS = 1000;
const MAX_ADDRESSES = 8;

/** What the names of gateways resolve to here, so that clients need not ask anybody. It answers from memory. */
export class HostAddresses {
  readonly #now: () => number;
  readonly #resolve: (host: string) => Promise<readonly string[]>;
  readonly #hosts = new Map<string, Known>();
  readonly #waiting: (() => void)[] = [];
  #lookups = 0;

  constructor({ now, resolve = systemLookup }: HostAddressesOptions) {
    this.#now = now;
    this.#resolve = resolve;
  }

  /** What is known of each host after `patienceMs` at the latest; an address stands for itself, and an unknown name for none. */
  async of(hosts: readonly string[], patienceMs: number): Promise<ReadonlyMap<string, readonly string[]>> {
    const unknown = [...new Set(hosts)].flatMap((host) => {
      if (isIP(host) !== 0 || host === '') return [];
      const { looking, at } = this.#know(host);
      return looking !== undefined && at === 0 ? [looking] : [];
    });
    if (unknown.length > 0) {
      let timer: NodeJS.Timeout | undefined;
      const patience = new Promise<void>((resolve) => (timer = setTimeout(resolve, patienceMs)));
      await Promise.race([Promise.all(unknown), patience]);
      clearTimeout(timer);
    }
    return new Map(hosts.map((host) => [host, isIP(host) === 0 ? (this.#hosts.get(host)?.addresses ?? []) : [host]]));
  }

  #know(host: string): Known {
    let known = this.#hosts.get(host);
    if (known === undefined) {
      known = { addresses: [], at: 0, looking: undefined };
      // The one that was added first goes: hosts are few, and those in use come back at once.
      if (this.#hosts.size >= MAX_HOSTS) this.#hosts.delete(this.#hosts.keys().next().value ?? '');
      this.#hosts.set(host, known);
    }
    if (known.looking === undefined && this.#now() - known.at >= FRESH_MS) known.looking = this.#look(host, known);
    return known;
  }

  async #look(host: string, known: Known): Promise<void> {
    await this.#turn();
    try {
      const found = (await this.#resolve(host)).filter((address) => isIP(address) !== 0);
      known.addresses = [...new Set(found)].slice(0, MAX_ADDRESSES);
    } catch {
      // What was true a minute ago is a better answer than none.
    } finally {
      known.at = this.#now();
      known.looking = undefined;
      this.#lookups--;
      this.#waiting.shift()?.();
    }
  }

  async #turn(): Promise<void> {
    if (this.#lookups >= MAX_LOOKUPS) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#lookups++;
  }
}

async function systemLookup(host: string): Promise<readonly string[]> {
  // No zone: it would mean nothing elsewhere.
  return (await lookup(host, { all: true })).map(({ address }) => address.replace(/%.*$/, ''));
}
