import { BlockList, isIPv6 } from 'node:net';

export interface ClientLimits {
  /** Questions a second, and how many at once before that counts. */
  readonly perSecond: number;
  readonly burst: number;
  /** Questions of one client that wait for others' answers. */
  readonly pending: number;
}

export interface Client {
  tokens: number;
  refilledAtMs: number;
  pending: number;
}

const MAX_CLIENTS = 16_384;

/** Who may ask, and how much. Nothing about anybody is kept but how many questions are left. */
export class Clients {
  readonly #limits: ClientLimits;
  readonly #clients = new Map<string, Client>();
  #allowed: BlockList | undefined;

  constructor(limits: ClientLimits) {
    this.#limits = limits;
  }

  /** Prefixes; undefined: everybody. */
  allow(prefixes: readonly string[] | undefined): void {
    const allowed = new BlockList();
    for (const prefix of prefixes ?? []) {
      const [network = '', length = ''] = prefix.split('/');
      allowed.addSubnet(network, Number(length), isIPv6(network) ? 'ipv6' : 'ipv4');
    }
    this.#allowed = prefixes === undefined ? undefined : allowed;
    this.#clients.clear();
  }

  mayAsk(address: string): boolean {
    return this.#allowed?.check(address, isIPv6(address) ? 'ipv6' : 'ipv4') !== false;
  }

  /** The client, with one question less; undefined where it may not ask (now). */
  admit(address: string, nowMs: number): Client | undefined {
    const client = this.#clients.get(address) ?? this.#create(address, nowMs);
    if (client === undefined) return undefined;
    const { perSecond, burst, pending } = this.#limits;
    client.tokens = Math.min(burst, client.tokens + ((nowMs - client.refilledAtMs) * perSecond) / 1000);
    client.refilledAtMs = nowMs;
    if (client.tokens < 1 || client.pending >= pending) return undefined;
    client.tokens -= 1;
    return client;
  }

  #create(address: string, nowMs: number): Client | undefined {
    if (!this.mayAsk(address)) return undefined;
    if (this.#clients.size >= MAX_CLIENTS) {
      const [oldest] = this.#clients.keys();
      if (oldest !== undefined) this.#clients.delete(oldest);
    }
    const client: Client = { tokens: this.#limits.burst, refilledAtMs: nowMs, pending: 0 };
    this.#clients.set(address, client);
    return client;
  }
}
