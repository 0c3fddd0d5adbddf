import { DropReason } from '@sallyport/core';
import { concatenate, readU32, writeU32 } from './bytes.ts';
import { decodeBody, encodeBody, type ControlPacket } from './control-packet.ts';
import { directions, hmacKey, STATIC_KEY_BYTES, type ControlWrap, type WrapOptions } from './control-wrap.ts';
import { HEADER_BYTES, readHeader, writeHeader } from './opcodes.ts';
import { LONG_PACKET_ID_BYTES, PacketIdSource, ReplayWindow } from './packet-ids.ts';
import { dynamicWrap } from './tls-crypt.ts';

/*
 * tls-auth: header, HMAC, packet id, body. The HMAC is over packet id, header and body, in this order.
 */

export type TlsAuthHash = 'md5' | 'sha1' | 'sha256' | 'sha512';
const HASH_BYTES = { md5: 16, sha1: 20, sha256: 32, sha512: 64 } as const;

/** `--key-direction`: 0 and 1 at the two ends, or neither says one and both directions use the same key. */
export type KeyDirection = 0 | 1 | undefined;

export interface TlsAuthOptions extends WrapOptions {
  /** 256 bytes, copied. */
  readonly key: Uint8Array;
  /** That of `--auth`. */
  readonly hash: TlsAuthHash;
  readonly direction: KeyDirection;
}

class TlsAuthWrap implements ControlWrap {
  readonly overhead: number;
  readonly #options: TlsAuthOptions;
  readonly #key: Uint8Array;
  readonly #sendKey: Uint8Array;
  readonly #receiveKey: Uint8Array;
  readonly #ids: PacketIdSource;
  readonly #window = new ReplayWindow();

  constructor(options: TlsAuthOptions) {
    const bytes = HASH_BYTES[options.hash];
    this.overhead = LONG_PACKET_ID_BYTES + bytes;
    this.#options = options;
    this.#key = new Uint8Array(options.key.subarray(0, STATIC_KEY_BYTES));
    const { send, receive } = directions(this.#key, options.direction !== 1);
    this.#sendKey = hmacKey(send, bytes);
    this.#receiveKey = hmacKey(options.direction === undefined ? send : receive, bytes);
    this.#ids = new PacketIdSource(options.unixTime, options.firstPacketId ?? 1);
  }

  wrap(packet: ControlPacket): Uint8Array | undefined {
    const { crypto, hash } = this.#options;
    const id = this.#ids.next();
    if (id === undefined) return undefined;
    const header = new Uint8Array(HEADER_BYTES);
    writeHeader(header, packet);
    const longId = new Uint8Array(LONG_PACKET_ID_BYTES);
    writeU32(longId, 0, id);
    writeU32(longId, 4, this.#ids.time);
    const body = encodeBody(packet);
    return concatenate([header, crypto.hmac(hash, this.#sendKey, [longId, header, body]), longId, body]);
  }

  unwrap(datagram: Uint8Array): ControlPacket | number {
    const { crypto, hash } = this.#options;
    const header = readHeader(datagram);
    if (typeof header === 'number') return header;
    const idAt = HEADER_BYTES + HASH_BYTES[hash];
    const bodyAt = idAt + LONG_PACKET_ID_BYTES;
    if (datagram.length < bodyAt) return DropReason.malformedDatagram;
    const longId = datagram.subarray(idAt, bodyAt);
    const body = datagram.subarray(bodyAt);
    const expected = crypto.hmac(hash, this.#receiveKey, [longId, datagram.subarray(0, HEADER_BYTES), body]);
    if (!crypto.equal(datagram.subarray(HEADER_BYTES, idAt), expected)) return DropReason.authenticationFailed;
    if (!this.#window.accept(readU32(longId, 4), readU32(longId, 0))) return DropReason.replayed;
    return decodeBody(header, body);
  }

  dynamic(material: Uint8Array): ControlWrap {
    return dynamicWrap(this.#options, material, this.#key);
  }

  erase(): void {
    this.#key.fill(0);
  }
}

export function tlsAuthWrap(options: TlsAuthOptions): ControlWrap {
  return new TlsAuthWrap(options);
}
