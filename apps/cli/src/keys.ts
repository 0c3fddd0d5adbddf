import { createPrivateKey, createPublicKey, randomBytes } from 'node:crypto';
import { Secret } from '@sallyport/core';

/** How a bare X25519 private key is wrapped for Node: PKCS #8 (RFC 8410 section 7). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');
const KEY_BYTES = 32;

/** A new private key, clamped (RFC 7748 section 5). */
export function generatePrivateKey(): Secret<Uint8Array> {
  const key = new Uint8Array(randomBytes(KEY_BYTES));
  key[0] = (key[0] ?? 0) & 248;
  key[31] = ((key[31] ?? 0) & 127) | 64;
  return new Secret(key);
}

/** A new preshared key: 32 random bytes. */
export function generatePresharedKey(): Secret<Uint8Array> {
  return new Secret(new Uint8Array(randomBytes(KEY_BYTES)));
}

/** The public key that belongs to a private key. */
export function publicKeyOf(privateKey: Secret<Uint8Array>): Uint8Array {
  const wrapped = Buffer.concat([PKCS8_PREFIX, privateKey.reveal()]);
  const key = createPublicKey(createPrivateKey({ key: wrapped, format: 'der', type: 'pkcs8' }));
  wrapped.fill(0);
  return new Uint8Array(key.export({ format: 'der', type: 'spki' }).subarray(-KEY_BYTES));
}
