/*
 * OpenVPN over TCP: each packet with its length before it, 2 bytes, big-endian, as in a message of the tunnel over TLS.
 * Pure.
 */
import { LENGTH_BYTES, MAX_TRAIN_BYTES, MAX_TRAIN_DATAGRAMS } from './message.ts';

/** A packet of the largest MTU that a gateway has (9000), with what surrounds it. */
export const MAX_PACKET_BYTES = 10_000;
/** A client's first packet: opcode, session id, no acknowledgements, packet id; and its wrapped key (tls-crypt-v2). */
const MIN_RESET_BYTES = 14;
const MAX_RESET_BYTES = 2_048;
/** P_CONTROL_HARD_RESET_CLIENT_V2 and _V3, with key id 0. */
const RESETS: ReadonlySet<number | undefined> = new Set([7 << 3, 10 << 3]);
const DATA_V1 = 6;
const DATA_V2 = 9;

/** Whether a connection begins as an OpenVPN client does; undefined where more bytes have to come. */
export function beginsWithReset(head: Uint8Array): boolean | undefined {
  if (head.length <= LENGTH_BYTES) return undefined;
  const length = ((head[0] ?? 0) << 8) | (head[1] ?? 0);
  return length >= MIN_RESET_BYTES && length <= MAX_RESET_BYTES && RESETS.has(head[LENGTH_BYTES]);
}

/** Whether a packet that begins so is of the data channel: that has keys for those alone who were let in. */
export function isData(firstByte: number): boolean {
  const opcode = firstByte >> 3;
  return opcode === DATA_V2 || opcode === DATA_V1;
}

/** The next packets of a stream that can be sent together: of one size, but the last, which may be shorter. */
export class StreamTrain {
  packets = 0;
  /** Of each but the last. */
  size = 0;
  lastSize = 0;
  /** Behind them: where more has to come, or the next ones begin. */
  next = 0;
  /** Whether something else than a packet begins there. */
  wrong = false;

  /** Looks from `from` to `end`, the first packet's length being there; false where there is no whole packet. */
  find(bytes: Uint8Array, from: number, end: number): boolean {
    let at = from;
    let packets = 0;
    let size = 0;
    let total = 0;
    this.wrong = false;
    while (packets < MAX_TRAIN_DATAGRAMS && at + LENGTH_BYTES <= end) {
      const length = ((bytes[at] ?? 0) << 8) | (bytes[at + 1] ?? 0);
      if (length === 0 || length > MAX_PACKET_BYTES) {
        this.wrong = true;
        break;
      }
      if (at + LENGTH_BYTES + length > end) break;
      if (packets === 0) size = length;
      else if (length > size || total + length > MAX_TRAIN_BYTES) break;
      at += LENGTH_BYTES + length;
      total += length;
      packets++;
      this.lastSize = length;
      if (length < size) break;
    }
    this.packets = packets;
    this.size = size;
    this.next = at;
    return packets > 0;
  }
}
