import { MAX_ACKS } from './control-packet.ts';

/** In one packet: some servers drop packets that have more. */
export const MAX_SENT_ACKS = 4;

/** Packet ids to acknowledge. Where a packet has room they go once more: an acknowledgement may be lost too. */
export class AckQueue {
  #waiting: number[] = [];
  /** Those that went last, the newest first. */
  #gone: number[] = [];

  /** Those that were not sent since their packet came. */
  get waiting(): number {
    return this.#waiting.length;
  }

  /** False where as many wait as may; the packet will come again. */
  add(packetId: number): boolean {
    if (this.#waiting.includes(packetId)) return true;
    if (this.#waiting.length >= MAX_ACKS) return false;
    this.#waiting.push(packetId);
    return true;
  }

  /** For one packet. */
  take(): number[] {
    const fresh = this.#waiting.splice(0, MAX_SENT_ACKS);
    const again = this.#gone.filter((id) => !fresh.includes(id));
    const acks = [...fresh, ...again].slice(0, MAX_SENT_ACKS);
    this.#gone = [...fresh, ...again].slice(0, MAX_ACKS);
    return acks;
  }
}
