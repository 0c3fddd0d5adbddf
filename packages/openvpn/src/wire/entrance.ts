import { DropReason } from '@sallyport/core';
import type { OpenVpnCrypto } from '../crypto.ts';
import { readU32 } from './bytes.ts';
import { EARLY_NEGOTIATION_RESEND_KEY, type ControlPacket } from './control-packet.ts';
import type { ControlWrap, WrapOptions } from './control-wrap.ts';
import {
  HEADER_BYTES,
  isHardReset,
  P_CONTROL_HARD_RESET_CLIENT_V2,
  P_CONTROL_HARD_RESET_CLIENT_V3,
  P_CONTROL_HARD_RESET_SERVER_V2,
  P_CONTROL_SOFT_RESET_V1,
  readHeader,
} from './opcodes.ts';
import { plainWrap } from './plain-wrap.ts';
import { tlsAuthWrap, type KeyDirection, type TlsAuthHash } from './tls-auth.ts';
import { EARLY_NEGOTIATION_START, hasWrappedKey, tlsCryptWrap, wrappedKeyAt } from './tls-crypt.ts';
import { unwrapClientKey } from './tls-crypt-v2.ts';

/** How a server protects its control channel. The keys are of 256 bytes, that of tls-crypt-v2 of 128. */
export type EntranceKey =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'tls-auth';
      readonly key: Uint8Array;
      readonly hash: TlsAuthHash;
      readonly direction: KeyDirection;
    }
  | { readonly kind: 'tls-crypt'; readonly key: Uint8Array }
  | { readonly kind: 'tls-crypt-v2'; readonly serverKey: Uint8Array };

/** A packet of a client that has no session, authentic by the key of its profile, its source unproved. */
export interface Arrival {
  readonly packet: ControlPacket;
  /** For this client alone: for the answer, or for its session. */
  readonly wrap: ControlWrap;
  /** What its tls-crypt-v2 key says, the type first. */
  readonly metadata: Uint8Array | undefined;
  /**
   * A P_CONTROL_HARD_RESET_CLIENT_V3 of a client that can send its wrapped key once more: nothing need be kept of it.
   * Others with tls-crypt-v2 (2.5) can't; their session is made at once or not at all.
   */
  readonly resendsKey: boolean;
}

const NO_PAYLOAD = new Uint8Array(0);

/** Where packets come in that belong to no session. Keeps nothing of any of them. */
export class Entrance {
  readonly #crypto: OpenVpnCrypto;
  readonly #key: EntranceKey;
  readonly #unixTime: number;

  /**
   * `unixTime`, in seconds since 1970, is that of every packet id that is sent. It is the same for answer and session,
   * as a client over TCP wants packet ids without a gap, and a new time to begin with 1.
   */
  constructor(crypto: OpenVpnCrypto, key: EntranceKey, unixTime: number) {
    this.#crypto = crypto;
    this.#key = key;
    this.#unixTime = unixTime;
  }

  /** Otherwise the `DropReason`. */
  open(datagram: Uint8Array): Arrival | number {
    const header = readHeader(datagram);
    if (typeof header === 'number') return header;
    const { opcode, keyId } = header;
    if (keyId !== 0 || opcode === P_CONTROL_SOFT_RESET_V1 || opcode === P_CONTROL_HARD_RESET_SERVER_V2)
      return DropReason.unknownReceiver;
    // A client has seen packet id 1 in the answer to its reset.
    const options: WrapOptions = {
      crypto: this.#crypto,
      server: true,
      unixTime: this.#unixTime,
      firstPacketId: isHardReset(opcode) ? 1 : 2,
    };
    if (this.#key.kind === 'tls-crypt-v2') return this.#openWithWrappedKey(datagram, this.#key.serverKey, options);
    if (hasWrappedKey(opcode)) return DropReason.unknownMessageType;
    const wrap = this.#wrapOf(this.#key, options);
    const packet = wrap.unwrap(datagram);
    return typeof packet === 'number' ? packet : { packet, wrap, metadata: undefined, resendsKey: false };
  }

  #wrapOf(key: Exclude<EntranceKey, { kind: 'tls-crypt-v2' }>, options: WrapOptions): ControlWrap {
    switch (key.kind) {
      case 'none':
        return plainWrap(options);
      case 'tls-auth':
        return tlsAuthWrap({ ...options, key: key.key, hash: key.hash, direction: key.direction });
      case 'tls-crypt':
        return tlsCryptWrap({ ...options, key: key.key });
    }
  }

  #openWithWrappedKey(datagram: Uint8Array, serverKey: Uint8Array, options: WrapOptions): Arrival | number {
    const header = readHeader(datagram);
    if (typeof header === 'number') return header;
    if (header.opcode === P_CONTROL_HARD_RESET_CLIENT_V2) return DropReason.authenticationFailed;
    // Without a key of its own it can only be of a session that there is no more.
    if (!hasWrappedKey(header.opcode)) return DropReason.unknownReceiver;
    const at = wrappedKeyAt(datagram);
    if (at === undefined) return DropReason.malformedDatagram;
    const client = unwrapClientKey(this.#crypto, serverKey, datagram.subarray(at));
    if (typeof client === 'number') return client;
    const wrap = tlsCryptWrap({ ...options, key: client.key });
    client.key.fill(0);
    const packet = wrap.unwrap(datagram);
    if (typeof packet === 'number') {
      wrap.erase();
      return packet;
    }
    const resendsKey =
      header.opcode === P_CONTROL_HARD_RESET_CLIENT_V3 &&
      (readU32(datagram, HEADER_BYTES) & EARLY_NEGOTIATION_START) === EARLY_NEGOTIATION_START;
    return { packet, wrap, metadata: client.metadata, resendsKey };
  }

  /** The answer to a reset, for which nothing is kept: `sessionId` is a cookie. Whoever calls erases `arrival.wrap`. */
  static answer(arrival: Arrival, sessionId: Uint8Array): Uint8Array {
    const answer = arrival.wrap.wrap({
      opcode: P_CONTROL_HARD_RESET_SERVER_V2,
      keyId: 0,
      sessionId,
      acks: [0],
      remoteSessionId: arrival.packet.sessionId,
      packetId: 0,
      payload: arrival.resendsKey ? EARLY_NEGOTIATION_RESEND_KEY : NO_PAYLOAD,
    });
    return answer ?? NO_PAYLOAD;
  }
}
