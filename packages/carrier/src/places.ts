import type { EventEmitter } from 'node:events';
import { networkKey } from './address-key.ts';

/** Who can have a place, and be ended. */
export interface Occupant {
  destroy(): unknown;
}

/** One that says when it is over, as a socket does. */
export type Guest = Occupant & Pick<EventEmitter, 'once'>;

export interface PlaceLimits {
  readonly connections: number;
  readonly connectionsPerAddress: number;
  readonly connectionsPerNetwork: number;
}

interface Place {
  occupant: Occupant;
  readonly key: string;
  readonly network: string;
}

/**
 * The places of a server: so many in all, from one address and from one network. Who has not been let in by what is behind
 * keeps a place only while there are others: where none is left, the one that waits longest gives way. So junk can't keep
 * anybody out, however many addresses it comes from.
 */
export class Places {
  readonly #limits: PlaceLimits;
  readonly #taken = new Map<Occupant, Place>();
  /** Those that were not let in, the oldest first. */
  readonly #waiting = new Set<Place>();
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
  enter(guest: Guest, key: string): boolean {
    const { connections, connectionsPerAddress, connectionsPerNetwork } = this.#limits;
    const network = networkKey(key);
    const fits =
      countOf(this.#addresses, key) < connectionsPerAddress && countOf(this.#networks, network) < connectionsPerNetwork;
    if (fits && this.#taken.size >= connections) this.#makeRoom();
    if (!fits || this.#taken.size >= connections) {
      this.refuse(guest);
      return false;
    }
    add(this.#addresses, key, 1);
    add(this.#networks, network, 1);
    const place = { occupant: guest, key, network };
    this.#taken.set(guest, place);
    this.#waiting.add(place);
    guest.once('close', () => {
      this.leave(guest);
    });
    return true;
  }

  /** The place of `from` is that of `to` now. */
  pass(from: Occupant, to: Occupant): void {
    const place = this.#taken.get(from);
    if (place === undefined) return;
    this.#taken.delete(from);
    this.#taken.set(to, place);
    place.occupant = to;
  }

  /** Who has none, leaves none. */
  leave(occupant: Occupant): void {
    const place = this.#taken.get(occupant);
    if (place === undefined) return;
    this.#taken.delete(occupant);
    this.#waiting.delete(place);
    add(this.#addresses, place.key, -1);
    add(this.#networks, place.network, -1);
  }

  /** It was let in: its place is its own. */
  keep(occupant: Occupant): void {
    const place = this.#taken.get(occupant);
    if (place !== undefined) this.#waiting.delete(place);
  }

  refuse(occupant: Occupant): void {
    this.#refused++;
    occupant.destroy();
  }

  /** One was refused elsewhere. */
  countRefused(): void {
    this.#refused++;
  }

  closeAll(): void {
    for (const occupant of this.#taken.keys()) occupant.destroy();
  }

  #makeRoom(): void {
    for (const { occupant } of this.#waiting) {
      // Not when it is closed at last: many may come before that.
      this.leave(occupant);
      this.refuse(occupant);
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
