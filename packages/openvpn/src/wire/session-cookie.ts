import type { Instant } from '@sallyport/core';
import type { OpenVpnCrypto } from '../crypto.ts';
import { writeU32 } from './bytes.ts';
import type { ControlPacket } from './control-packet.ts';
import { SESSION_ID_BYTES } from './opcodes.ts';

const HAND_WINDOW_MS = 60_000;
/** Of the handshake of three packets, in either direction: the reset and what follows it. */
const LAST_PACKET_ID = 1;

/**
 * Session ids of a server that are proofs: an HMAC over the client's session id, its address and the time. Who
 * acknowledges one has received what was sent to that address, and the server had nothing to remember.
 */
export class SessionCookies {
  readonly #crypto: OpenVpnCrypto;
  readonly #key: Uint8Array;
  readonly #slotMs: number;

  /** `key` is 32 random bytes, for this process alone. */
  constructor(crypto: OpenVpnCrypto, key: Uint8Array, handWindowMs: number = HAND_WINDOW_MS) {
    this.#crypto = crypto;
    this.#key = new Uint8Array(key);
    this.#slotMs = handWindowMs / 2;
  }

  /** The session id with which to answer a reset. `address` is whatever tells one source from another, port included. */
  issue(clientSessionId: Uint8Array, address: Uint8Array, now: Instant): Uint8Array {
    return this.#cookie(clientSessionId, address, Math.floor(now / this.#slotMs));
  }

  /** Whether the packet acknowledges a session id that was issued to this source within the hand window or so. */
  proves(packet: ControlPacket, address: Uint8Array, now: Instant): boolean {
    const { remoteSessionId, acks, packetId } = packet;
    if (remoteSessionId === undefined || acks.some((id) => id > LAST_PACKET_ID)) return false;
    if (packetId !== undefined && packetId > LAST_PACKET_ID) return false;
    const slot = Math.floor(now / this.#slotMs);
    for (let age = 0; age <= 2; age++)
      if (this.#crypto.equal(this.#cookie(packet.sessionId, address, slot - age), remoteSessionId)) return true;
    return false;
  }

  #cookie(clientSessionId: Uint8Array, address: Uint8Array, slot: number): Uint8Array {
    const time = new Uint8Array(8);
    writeU32(time, 0, Math.floor(slot / 2 ** 32));
    writeU32(time, 4, slot >>> 0);
    const cookie = this.#crypto.hmac('sha256', this.#key, [time, clientSessionId, address]).slice(0, SESSION_ID_BYTES);
    // All zero is no session id.
    if (cookie.every((byte) => byte === 0)) cookie[0] = 1;
    return cookie;
  }
}
