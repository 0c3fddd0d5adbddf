import { randomBytes, timingSafeEqual } from 'node:crypto';
import { MessageCrypto } from '@sallyport/io';
import type { OpenVpnCrypto } from '@sallyport/openvpn';

const messages = new MessageCrypto();

/** The control channel's cryptography by Node's OpenSSL. */
export const nodeOpenVpnCrypto: OpenVpnCrypto = {
  random: (bytes) => new Uint8Array(randomBytes(bytes)),
  hmac: (hash, key, parts) => messages.hmac(hash, key, parts),
  aes256ctr: (key, iv, data) => messages.aes256ctr(key, iv, data),
  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
};
