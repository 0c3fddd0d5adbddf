import { DropReason } from '@sallyport/core';
import type { OpenVpnCrypto } from '../crypto.ts';
import { concatenate, readU16, writeU16 } from './bytes.ts';
import { STATIC_KEY_BYTES } from './control-wrap.ts';
import { sivKey, sivOpen, sivSeal, TLS_CRYPT_TAG_BYTES } from './tls-crypt.ts';

/*
 * tls-crypt-v2, "Client-specific key": WKc = T || AES-256-CTR(Ke, IV, Kc || metadata) || len, where
 * T = HMAC-SHA256(Ka, len || Kc || metadata), IV is T's first 128 bits and len the length of the whole of WKc.
 */

/** A server's key: one for a cipher, one for an HMAC, in the form of half a static key. */
export const SERVER_KEY_BYTES = 128;
export const MAX_WRAPPED_KEY_BYTES = 1024;
const LENGTH_BYTES = 2;
export const MAX_METADATA_BYTES = MAX_WRAPPED_KEY_BYTES - TLS_CRYPT_TAG_BYTES - STATIC_KEY_BYTES - LENGTH_BYTES;

/** The first byte of metadata: what the rest is. */
export const METADATA_USER = 0;
/** Eight bytes: the seconds since 1970 at which the key was made. */
export const METADATA_TIMESTAMP = 1;

export interface ClientKey {
  /** 256 bytes: Kc. */
  readonly key: Uint8Array;
  /** Its type first; may be empty. */
  readonly metadata: Uint8Array;
}

/**
 * WKc: what a client sends for the server to learn its key from. `clientKey` is 256 bytes, `metadata` at most
 * {@link MAX_METADATA_BYTES}; throws a RangeError where they are not.
 */
export function wrapClientKey(
  crypto: OpenVpnCrypto,
  serverKey: Uint8Array,
  clientKey: Uint8Array,
  metadata: Uint8Array,
): Uint8Array {
  if (clientKey.length !== STATIC_KEY_BYTES) throw new RangeError('A tls-crypt-v2 client key has 256 bytes.');
  if (metadata.length > MAX_METADATA_BYTES)
    throw new RangeError(`The metadata of a tls-crypt-v2 key has at most ${String(MAX_METADATA_BYTES)} bytes.`);
  const length = new Uint8Array(LENGTH_BYTES);
  writeU16(length, 0, TLS_CRYPT_TAG_BYTES + clientKey.length + metadata.length + LENGTH_BYTES);
  const { tag, ciphertext } = sivSeal(crypto, sivKey(serverKey), length, concatenate([clientKey, metadata]));
  return concatenate([tag, ciphertext, length]);
}

/** What a server learns from WKc, in memory of its own; otherwise the `DropReason`. */
export function unwrapClientKey(crypto: OpenVpnCrypto, serverKey: Uint8Array, wrapped: Uint8Array): ClientKey | number {
  const { length } = wrapped;
  if (length < TLS_CRYPT_TAG_BYTES + STATIC_KEY_BYTES + LENGTH_BYTES || length > MAX_WRAPPED_KEY_BYTES)
    return DropReason.malformedDatagram;
  const lengthAt = length - LENGTH_BYTES;
  if (readU16(wrapped, lengthAt) !== length) return DropReason.malformedDatagram;
  const tag = wrapped.subarray(0, TLS_CRYPT_TAG_BYTES);
  const ciphertext = wrapped.subarray(TLS_CRYPT_TAG_BYTES, lengthAt);
  const plaintext = sivOpen(crypto, sivKey(serverKey), wrapped.subarray(lengthAt), tag, ciphertext);
  if (plaintext === undefined) return DropReason.authenticationFailed;
  return { key: plaintext.subarray(0, STATIC_KEY_BYTES), metadata: plaintext.subarray(STATIC_KEY_BYTES) };
}
