import type { Duplex } from 'node:stream';
import { networkKey } from './address-key.ts';

export interface PlaceLimits {
  readonly connections: number;
  readonly connectionsPerAddress: number;
  readonly connectionsPerNetwork: number;
}

/**
 * The places of a server: so many in all, from one address and from one network. Who has not been let in by what is behind
 * keeps a place only while there are others: where none is left, the one that waits longest gives way. So junk can't keep
 * anybody out, however many addresses it comes from.
 */
export class Places {
  readonly #limits: PlaceLimits;
  /** With how to give the place back. */
  readonly #taken = new Map<Duplex, () => void>();
  /** Those that were not let in, the oldest first. */
  readonly #waiting = new Set<Duplex>();
  readonly #addresses = new Map<string, number>();
  readonly #networks = new Map<string, number>();
  #refused = 0;

  constructor(limits: PlaceLimits) {
    this.#limits = limits;
  }

  /** Those that were turned away, or gave way. */
  get refused(): number {
    return this.#refused;
  }

  /** `key` is an addressKey. False, and the connection is gone, where there are too many from there. */
  enter(socket: Duplex, key: string): boolean {
    const { connections, connectionsPerAddress, connectionsPerNetwork } = this.#limits;
    const network = networkKey(key);
    const fits =
      countOf(this.#addresses, key) < connectionsPerAddress && countOf(this.#networks, network) < connectionsPerNetwork;
    if (fits && this.#taken.size >= connections) this.#makeRoom();
    if (!fits || this.#taken.size >= connections) {
      this.refuse(socket);
      return false;
    }
    add(this.#addresses, key, 1);
    add(this.#networks, network, 1);
    const leave = (): void => {
      if (!this.#taken.delete(socket)) return;
      this.#waiting.delete(socket);
      add(this.#addresses, key, -1);
      add(this.#networks, network, -1);
    };
    this.#taken.set(socket, leave);
    this.#waiting.add(socket);
    socket.once('close', leave);
    return true;
  }

  /** It was let in: its place is its own. */
  keep(socket: Duplex): void {
    this.#waiting.delete(socket);
  }

  refuse(socket: Duplex): void {
    this.#refused++;
    socket.destroy();
  }

  /** One was refused elsewhere. */
  countRefused(): void {
    this.#refused++;
  }

  closeAll(): void {
    for (const socket of this.#taken.keys()) socket.destroy();
  }

  #makeRoom(): void {
    for (const socket of this.#waiting) {
      // Not when it is closed at last: many may come before that.
      this.#taken.get(socket)?.();
      this.refuse(socket);
      return;
    }
  }
}

function countOf(counts: ReadonlyMap<string, number>, key: string): number {
  return counts.get(key) ?? 0;
}

function add(counts: Map<string, number>, key: string, change: number): void {
  const count = countOf(counts, key) + change;
  if (count > 0) counts.set(key, count);
  else counts.delete(key);
}
