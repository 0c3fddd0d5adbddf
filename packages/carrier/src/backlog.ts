/**
 * How much may wait for the network, and how long: what comes while more waits is dropped, as by a router whose queue is
 * full. Senders inside the tunnel slow down by that, where a longer queue would only make everything late.
 */
const MAX_WAITING_BYTES = 1024 * 1024;
const MAX_WAITING_MS = 50;
/** Whatever the time: a train, and what came since. */
const ALLOWED_WAITING_BYTES = 128 * 1024;

/** What a connection was given to send and the kernel has not taken yet. */
export class Backlog {
  /** When what waits was sent, the oldest first. */
  readonly #since: number[] = [];

  /** Whether something to send now has to be dropped, where `waiting` bytes are there already. */
  isLate(now: number, waiting: number): boolean {
    const [oldest = now] = this.#since;
    return waiting > MAX_WAITING_BYTES || (waiting > ALLOWED_WAITING_BYTES && now - oldest > MAX_WAITING_MS);
  }

  add(now: number): void {
    this.#since.push(now);
  }

  /** The kernel has the oldest, or the connection is over. */
  readonly onHandedOver = (): void => {
    this.#since.shift();
  };
}
