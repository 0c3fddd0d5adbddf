import { createCipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { OpenVpnCrypto } from '../../packages/openvpn/src/crypto.ts';

/** The control channel's cryptography by `node:crypto`. */
export const crypto: OpenVpnCrypto = {
  random: (bytes) => new Uint8Array(randomBytes(bytes)),
  hmac(hash, key, parts) {
    const hmac = createHmac(hash, key);
    for (const part of parts) hmac.update(part);
    return new Uint8Array(hmac.digest());
  },
  aes256ctr: (key, iv, data) => new Uint8Array(createCipheriv('aes-256-ctr', key, iv).update(data)),
  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
};

export function bytes(hex: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hex, 'hex'));
}

export function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}
