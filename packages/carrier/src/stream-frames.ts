/*
 * OpenVPN over TCP: each packet with its length before it, 2 bytes, big-endian, as in a message of the tunnel over TLS.
 * Pure.
 */
import { Buffer } from 'node:buffer';
import { LENGTH_BYTES } from './message.ts';

/** A packet of the largest MTU that a gateway has (9000), with what surrounds it. */
export const MAX_PACKET_BYTES = 10_000;
/** A client's first packet: opcode, session id, no acknowledgements, packet id; and its wrapped key (tls-crypt-v2). */
const MIN_RESET_BYTES = 14;
const MAX_RESET_BYTES = 2_048;
/** P_CONTROL_HARD_RESET_CLIENT_V2 and _V3, with key id 0. */
const RESETS: ReadonlySet<number | undefined> = new Set([7 << 3, 10 << 3]);
/** P_DATA_V1 and _V2. */
const DATA: ReadonlySet<number> = new Set([6, 9]);

/** Whether a connection begins as an OpenVPN client does; undefined where more bytes have to come. */
export function beginsWithReset(head: Uint8Array): boolean | undefined {
  if (head.length <= LENGTH_BYTES) return undefined;
  const length = ((head[0] ?? 0) << 8) | (head[1] ?? 0);
  return length >= MIN_RESET_BYTES && length <= MAX_RESET_BYTES && RESETS.has(head[LENGTH_BYTES]);
}

/**
 * Whether there is one of the data channel among packets with their lengths before them: that has keys for those alone who
 * were let in.
 */
export function holdsData(packets: Uint8Array): boolean {
  for (let at = 0; at + LENGTH_BYTES < packets.length;) {
    if (DATA.has((packets[at + LENGTH_BYTES] ?? 0) >> 3)) return true;
    at += LENGTH_BYTES + (((packets[at] ?? 0) << 8) | (packets[at + 1] ?? 0));
  }
  return false;
}

/** Packets of a stream, put together again from the pieces in which it came. */
export class StreamFrames {
  #rest: Buffer | undefined;

  /**
   * The packets that are whole now, with their lengths before them; undefined for none yet. Null where the stream holds
   * something else.
   */
  push(chunk: Buffer): Buffer | null | undefined {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk]);
    let end = 0;
    while (end + LENGTH_BYTES <= bytes.length) {
      const length = bytes.readUInt16BE(end);
      if (length === 0 || length > MAX_PACKET_BYTES) return null;
      if (end + LENGTH_BYTES + length > bytes.length) break;
      end += LENGTH_BYTES + length;
    }
    // A copy: the chunk may be much larger.
    this.#rest = end === bytes.length ? undefined : Buffer.from(bytes.subarray(end));
    return end === 0 ? undefined : bytes.subarray(0, end);
  }
}
