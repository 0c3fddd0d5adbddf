/** What the gateway's end takes from the network at most. Durations in milliseconds. */
export interface CarrierLimits {
  /** Connections, those that are no tunnel yet included. */
  readonly connections: number;
  /** From one IPv4 address, or one IPv6 /64. A house or an office shares one. */
  readonly connectionsPerAddress: number;
  /** Until TLS is set up, and once more until the request is there. */
  readonly handshakeMs: number;
  /** From a tunnel's first datagram until WireGuard has answered: it answers nobody that it does not know. */
  readonly answerMs: number;
  /** Without a datagram in either direction. */
  readonly idleMs: number;
  /** Between pings, for proxies that close what is silent; who has not answered the last one is gone. */
  readonly pingMs: number;
}

export const CARRIER_LIMITS: CarrierLimits = {
  connections: 2_000,
  connectionsPerAddress: 64,
  handshakeMs: 10_000,
  answerMs: 10_000,
  idleMs: 300_000,
  pingMs: 25_000,
};

/** Counts connections by where they come from. */
export class AddressCounts {
  readonly #counts = new Map<string, number>();

  /** False where there are `limit` already. */
  enter(key: string, limit: number): boolean {
    const count = this.#counts.get(key) ?? 0;
    if (count >= limit) return false;
    this.#counts.set(key, count + 1);
    return true;
  }

  leave(key: string): void {
    const count = this.#counts.get(key) ?? 0;
    if (count > 1) this.#counts.set(key, count - 1);
    else this.#counts.delete(key);
  }

  get size(): number {
    return this.#counts.size;
  }
}
