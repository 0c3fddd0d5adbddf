import { randomBytes, timingSafeEqual } from 'node:crypto';
import { MessageCrypto } from '@sallyport/io';
import type { OpenVpnCrypto } from '@sallyport/openvpn';

/** Made when it is first needed: not every gateway speaks OpenVPN. */
let messages: MessageCrypto | undefined;

function messageCrypto(): MessageCrypto {
  return (messages ??= new MessageCrypto());
}

/** The control channel's cryptography by Node's OpenSSL. */
export const nodeOpenVpnCrypto: OpenVpnCrypto = {
  random: (bytes) => new Uint8Array(randomBytes(bytes)),
  hmac: (hash, key, parts) => messageCrypto().hmac(hash, key, parts),
  aes256ctr: (key, iv, data) => messageCrypto().aes256ctr(key, iv, data),
  equal: (a, b) => a.length === b.length && timingSafeEqual(a, b),
};
