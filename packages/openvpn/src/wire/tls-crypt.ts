import { DropReason } from '@sallyport/core';
import type { OpenVpnCrypto } from '../crypto.ts';
import { concatenate, readU16, readU32, writeU32 } from './bytes.ts';
import { decodeBody, encodeBody, type ControlPacket } from './control-packet.ts';
import { directions, hmacKey, STATIC_KEY_BYTES, type ControlWrap, type WrapOptions } from './control-wrap.ts';
import {
  HEADER_BYTES,
  P_CONTROL_HARD_RESET_CLIENT_V3,
  P_CONTROL_WKC_V1,
  readHeader,
  writeHeader,
  type ControlOpcode,
} from './opcodes.ts';
import { LONG_PACKET_ID_BYTES, PacketIdSource, ReplayWindow } from './packet-ids.ts';

/*
 * tls-crypt: header, packet id, tag, ciphertext. The tag is HMAC-SHA256 over header, packet id and plaintext, and its
 * first 128 bits are the counter block from which AES-256-CTR begins (the SIV construction, so that an id that is used
 * twice gives nothing away).
 */

export const TLS_CRYPT_TAG_BYTES = 32;
const CIPHER_KEY_BYTES = 32;
const HMAC_KEY_BYTES = 32;
const IV_BYTES = 16;
const PLAIN_BYTES = HEADER_BYTES + LONG_PACKET_ID_BYTES;
const CIPHERTEXT_AT = PLAIN_BYTES + TLS_CRYPT_TAG_BYTES;

/** A client with tls-crypt-v2 counts from here, which says that it knows early negotiation. */
export const EARLY_NEGOTIATION_START = 0x0f000000;

export interface TlsCryptOptions extends WrapOptions {
  /** 256 bytes, copied. */
  readonly key: Uint8Array;
}

interface SivKey {
  readonly cipher: Uint8Array;
  readonly hmac: Uint8Array;
}

/** Half a static key, or a server key of tls-crypt-v2. Views. */
export function sivKey(half: Uint8Array): SivKey {
  return { cipher: half.subarray(0, CIPHER_KEY_BYTES), hmac: hmacKey(half, HMAC_KEY_BYTES) };
}

/** Tag and ciphertext. */
export function sivSeal(
  crypto: OpenVpnCrypto,
  key: SivKey,
  associated: Uint8Array,
  plaintext: Uint8Array,
): { readonly tag: Uint8Array; readonly ciphertext: Uint8Array } {
  const tag = crypto.hmac('sha256', key.hmac, [associated, plaintext]);
  return { tag, ciphertext: crypto.aes256ctr(key.cipher, tag.subarray(0, IV_BYTES), plaintext) };
}

/** Undefined where the tag is wrong. */
export function sivOpen(
  crypto: OpenVpnCrypto,
  key: SivKey,
  associated: Uint8Array,
  tag: Uint8Array,
  ciphertext: Uint8Array,
): Uint8Array | undefined {
  const plaintext = crypto.aes256ctr(key.cipher, tag.subarray(0, IV_BYTES), ciphertext);
  return crypto.equal(tag, crypto.hmac('sha256', key.hmac, [associated, plaintext])) ? plaintext : undefined;
}

/** Whether a client's wrapped key is behind packets of this opcode. */
export function hasWrappedKey(opcode: ControlOpcode): boolean {
  return opcode === P_CONTROL_HARD_RESET_CLIENT_V3 || opcode === P_CONTROL_WKC_V1;
}

/** Where the wrapped key behind a packet begins: its last two bytes say how long it is. Undefined where none fits. */
export function wrappedKeyAt(datagram: Uint8Array): number | undefined {
  if (datagram.length < CIPHERTEXT_AT + 2) return undefined;
  const at = datagram.length - readU16(datagram, datagram.length - 2);
  return at < CIPHERTEXT_AT || at > datagram.length - 2 ? undefined : at;
}

class TlsCryptWrap implements ControlWrap {
  readonly overhead = LONG_PACKET_ID_BYTES + TLS_CRYPT_TAG_BYTES;
  readonly #options: WrapOptions;
  readonly #key: Uint8Array;
  readonly #send: SivKey;
  readonly #receive: SivKey;
  readonly #ids: PacketIdSource;
  readonly #window = new ReplayWindow();
  readonly #wrappedKey: Uint8Array;

  constructor(options: TlsCryptOptions, wrappedKey: Uint8Array) {
    this.#options = options;
    this.#key = new Uint8Array(options.key.subarray(0, STATIC_KEY_BYTES));
    const { send, receive } = directions(this.#key, options.server);
    this.#send = sivKey(send);
    this.#receive = sivKey(receive);
    this.#ids = new PacketIdSource(options.unixTime, options.firstPacketId ?? 1);
    this.#wrappedKey = wrappedKey;
  }

  wrap(packet: ControlPacket): Uint8Array | undefined {
    const id = this.#ids.next();
    if (id === undefined) return undefined;
    const plain = new Uint8Array(PLAIN_BYTES);
    writeHeader(plain, packet);
    writeU32(plain, HEADER_BYTES, id);
    writeU32(plain, HEADER_BYTES + 4, this.#ids.time);
    const { tag, ciphertext } = sivSeal(this.#options.crypto, this.#send, plain, encodeBody(packet));
    return concatenate(
      hasWrappedKey(packet.opcode) ? [plain, tag, ciphertext, this.#wrappedKey] : [plain, tag, ciphertext],
    );
  }

  unwrap(datagram: Uint8Array): ControlPacket | number {
    const header = readHeader(datagram);
    if (typeof header === 'number') return header;
    // The wrapped key is not under this tag. It is the one that this was made by, or a wrong tag says so.
    const end = hasWrappedKey(header.opcode) ? wrappedKeyAt(datagram) : datagram.length;
    if (end === undefined || end < CIPHERTEXT_AT) return DropReason.malformedDatagram;
    const plain = datagram.subarray(0, PLAIN_BYTES);
    const tag = datagram.subarray(PLAIN_BYTES, CIPHERTEXT_AT);
    const body = sivOpen(this.#options.crypto, this.#receive, plain, tag, datagram.subarray(CIPHERTEXT_AT, end));
    if (body === undefined) return DropReason.authenticationFailed;
    if (!this.#window.accept(readU32(plain, HEADER_BYTES + 4), readU32(plain, HEADER_BYTES)))
      return DropReason.replayed;
    return decodeBody(header, body);
  }

  dynamic(material: Uint8Array): ControlWrap {
    return dynamicWrap(this.#options, material, this.#key);
  }

  erase(): void {
    this.#key.fill(0);
  }
}

/** `original` is the static key of what protected the session so far, if any: it stays needed. */
export function dynamicWrap(options: WrapOptions, material: Uint8Array, original: Uint8Array | undefined): ControlWrap {
  const key = new Uint8Array(material.subarray(0, STATIC_KEY_BYTES));
  if (original !== undefined) for (let i = 0; i < key.length; i++) key[i] ^= original[i];
  const { crypto, server, unixTime } = options;
  const wrap = new TlsCryptWrap({ crypto, server, unixTime, key }, new Uint8Array(0));
  key.fill(0);
  return wrap;
}

/** tls-crypt by a key that both ends have, and the server's end of tls-crypt-v2 once the client's key is known. */
export function tlsCryptWrap(options: TlsCryptOptions): ControlWrap {
  return new TlsCryptWrap(options, new Uint8Array(0));
}

/** The client's end of tls-crypt-v2: sends the wrapped key where it belongs. */
export function tlsCryptV2ClientWrap(options: TlsCryptOptions & { readonly wrappedKey: Uint8Array }): ControlWrap {
  const firstPacketId = options.firstPacketId ?? EARLY_NEGOTIATION_START + 1;
  return new TlsCryptWrap({ ...options, firstPacketId }, new Uint8Array(options.wrappedKey));
}
