import { createCipheriv, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { OpenVpnCrypto } from '@sallyport/openvpn';

/** The control channel's cryptography by `node:crypto`. */
export const nodeOpenVpnCrypto: OpenVpnCrypto = {
  random: (bytes) => new Uint8Array(randomBytes(bytes)),
  hmac(hash, key, parts) {
    const hmac = createHmac(hash, key);
    for (const part of parts) hmac.update(part);
    return new Uint8Array(hmac.digest());
  },
  aes256ctr(key, iv, data) {
    // A stream cipher: `final` has nothing more to say.
    return new Uint8Array(createCipheriv('aes-256-ctr', key, iv).update(data));
  },
  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
};
