import type { SeededRandom } from './seeded-random.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** What happens to datagrams on their way. Probabilities are from 0 to 1. */
export interface NetworkConditions {
  readonly loss: number;
  readonly duplication: number;
  /** Some bits flip, or the end is cut off. */
  readonly corruption: number;
  readonly delayMs: number;
  /** A datagram takes up to this much longer, so that one sent later may come earlier. */
  readonly jitterMs: number;
}

export const PERFECT_NETWORK: NetworkConditions = { loss: 0, duplication: 0, corruption: 0, delayMs: 20, jitterMs: 0 };

/** Takes a datagram, which is its own to change, and the address that it came from. */
export type Receiver = (datagram: Uint8Array, from: string) => void;

/** A network of datagrams in virtual time. An address is any string. */
export class SimulatedNetwork {
  /** The conditions between two addresses: it may answer differently at any time. */
  conditions: (from: string, to: string) => NetworkConditions = () => PERFECT_NETWORK;
  /** Sees every datagram as it is sent. */
  onSent: (datagram: Uint8Array, from: string, to: string) => void = () => undefined;
  readonly counts = { sent: 0, lost: 0, duplicated: 0, corrupted: 0, delivered: 0, unreachable: 0 };
  readonly #clock: VirtualClock;
  readonly #random: SeededRandom;
  readonly #receivers = new Map<string, Receiver>();

  constructor(clock: VirtualClock, random: SeededRandom) {
    this.#clock = clock;
    this.#random = random;
  }

  attach(address: string, receiver: Receiver): void {
    this.#receivers.set(address, receiver);
  }

  detach(address: string): void {
    this.#receivers.delete(address);
  }

  /** Sends a copy of a datagram. */
  send(from: string, to: string, datagram: Uint8Array): void {
    const random = this.#random;
    const conditions = this.conditions(from, to);
    this.counts.sent++;
    this.onSent(datagram, from, to);
    if (random.chance(conditions.loss)) {
      this.counts.lost++;
      return;
    }
    this.#deliverLater(from, to, datagram.slice(), conditions);
    if (random.chance(conditions.duplication)) {
      this.counts.duplicated++;
      this.#deliverLater(from, to, datagram.slice(), conditions);
    }
  }

  #deliverLater(from: string, to: string, copy: Uint8Array, conditions: NetworkConditions): void {
    const random = this.#random;
    let datagram = copy;
    if (random.chance(conditions.corruption)) {
      this.counts.corrupted++;
      datagram = corrupt(datagram, random);
    }
    const delay = conditions.delayMs + conditions.jitterMs * random.fraction();
    this.#clock.after(delay, () => {
      const receiver = this.#receivers.get(to);
      if (receiver === undefined) {
        this.counts.unreachable++;
        return;
      }
      this.counts.delivered++;
      receiver(datagram, from);
    });
  }
}

/** Flips one to eight bits, or one time in five cuts the end off. */
export function corrupt(datagram: Uint8Array, random: SeededRandom): Uint8Array {
  if (datagram.length === 0) return datagram;
  if (random.chance(0.2)) return datagram.slice(0, random.below(datagram.length));
  const result = datagram.slice();
  for (let flips = 1 + random.below(8); flips > 0; flips--) result[random.below(result.length)] ^= 1 << random.below(8);
  return result;
}
