/**
 * Client keys of tls-crypt-v2 (OpenVPN's doc/tls-crypt-v2.txt): each profile has a key of its own, and the same key wrapped
 * for gateways, which a client shows with its first packet. So who has no profile learns nothing and makes no gateway work,
 * and gateways keep no list of keys.
 */
import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import type { Secret } from '@sallyport/core';

/** One key of OpenVPN's: 64 bytes for a cipher, then 64 for an HMAC, of which AES-256 and SHA-256 take the first 32. */
export const SERVER_KEY_BYTES = 128;
const CIPHER_KEY = { from: 0, to: 32 } as const;
const HMAC_KEY = { from: 64, to: 96 } as const;
/** Kc: two such keys, one for each direction. */
const CLIENT_KEY_BYTES = 256;
/** What the metadata is: 0, the user's; here the device's id. */
const METADATA_USER = 0;
const LENGTH_BYTES = 2;
const TAG_BYTES = 32;
const IV_BYTES = 16;
const PEM_LINE = 64;

/** A fresh key for a device's profile, as a block for `<tls-crypt-v2>`: Kc, then WKc. It is a secret. */
export function newClientKey(serverKey: Secret<Buffer>, deviceId: string): string {
  const clientKey = randomBytes(CLIENT_KEY_BYTES);
  const text = Buffer.concat([clientKey, wrapClientKey(serverKey, clientKey, deviceId)]).toString('base64');
  const lines = text.match(new RegExp(`.{1,${PEM_LINE}}`, 'g')) ?? [];
  const name = 'OpenVPN tls-crypt-v2 client key';
  return [`-----BEGIN ${name}-----`, ...lines, `-----END ${name}-----`, ''].join('\n');
}

/** WKc = T ‖ AES-256-CTR(Ke, IV, Kc ‖ metadata) ‖ length, where T = HMAC-SHA256(Ka, length ‖ Kc ‖ metadata) and IV its first half. */
export function wrapClientKey(serverKey: Secret<Buffer>, clientKey: Buffer, deviceId: string): Buffer {
  const key = serverKey.reveal();
  const plain = Buffer.concat([clientKey, Buffer.from([METADATA_USER]), Buffer.from(deviceId)]);
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt16BE(TAG_BYTES + plain.length + LENGTH_BYTES);
  const tag = createHmac('sha256', key.subarray(HMAC_KEY.from, HMAC_KEY.to)).update(length).update(plain).digest();
  const cipher = createCipheriv('aes-256-ctr', key.subarray(CIPHER_KEY.from, CIPHER_KEY.to), tag.subarray(0, IV_BYTES));
  return Buffer.concat([tag, cipher.update(plain), cipher.final(), length]);
}
