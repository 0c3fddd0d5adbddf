/*
 * Packet ids of tls-auth and tls-crypt, in their long form: a number that counts up and the time at which the counting
 * began. They are of the protection alone; those of the reliable layer are another thing.
 */

export const LONG_PACKET_ID_BYTES = 8;

const LAST_PACKET_ID = 0xffffffff;

/** As OpenVPN's `--replay-window`. */
const WINDOW = 64;

export class PacketIdSource {
  /** Seconds since 1970 at which the counting began. */
  readonly time: number;
  #next: number;

  /** `first` is at least 1. */
  constructor(time: number, first: number) {
    this.time = time;
    this.#next = first;
  }

  /** Undefined once they are used up. */
  next(): number | undefined {
    return this.#next > LAST_PACKET_ID ? undefined : this.#next++;
  }
}

/** Takes each packet id once. A later time begins anew, an earlier one is refused. */
export class ReplayWindow {
  #time = 0;
  #highest = 0;
  /** The packet id that was last seen in each place. */
  readonly #seen = new Uint32Array(WINDOW);

  /** Call it for what was authenticated alone. */
  accept(time: number, id: number): boolean {
    if (id === 0 || time < this.#time) return false;
    if (time > this.#time) {
      this.#time = time;
      this.#highest = 0;
      this.#seen.fill(0);
    }
    if (id + WINDOW <= this.#highest || this.#seen[id % WINDOW] === id) return false;
    this.#seen[id % WINDOW] = id;
    if (id > this.#highest) this.#highest = id;
    return true;
  }
}
