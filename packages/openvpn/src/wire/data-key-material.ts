import type { OpenVpnCrypto } from '../crypto.ts';
import { concatenate } from './bytes.ts';
import type { ClientKeySource, KeySource } from './key-method.ts';
import { utf8Encode } from './text.ts';

/** The label by which TLS exports the data channel's keys, where both ends can (`key-derivation tls-ekm`). */
export const DATA_KEYS_LABEL = 'EXPORTER-OpenVPN-datakeys';
export const KEY_MATERIAL_BYTES = 256;

const MASTER_BYTES = 48;
const MASTER_LABEL = utf8Encode('OpenVPN master secret');
const EXPANSION_LABEL = utf8Encode('OpenVPN key expansion');

/** The data channel's keys as of old, by TLS 1.0's pseudo-random function from what both ends said: 256 bytes. */
export function keyMaterialByPrf(
  crypto: OpenVpnCrypto,
  sources: {
    readonly client: ClientKeySource;
    readonly server: KeySource;
    readonly clientSessionId: Uint8Array;
    readonly serverSessionId: Uint8Array;
  },
): Uint8Array {
  const { client, server, clientSessionId, serverSessionId } = sources;
  const master = tls1Prf(crypto, client.preMaster, [MASTER_LABEL, client.random1, server.random1], MASTER_BYTES);
  const seed = [EXPANSION_LABEL, client.random2, server.random2, clientSessionId, serverSessionId];
  const material = tls1Prf(crypto, master, seed, KEY_MATERIAL_BYTES);
  master.fill(0);
  return material;
}

/** RFC 2246, section 5: P_MD5 of the secret's first half, P_SHA-1 of its second. The label is the first part of the seed. */
export function tls1Prf(
  crypto: OpenVpnCrypto,
  secret: Uint8Array,
  seed: readonly Uint8Array[],
  bytes: number,
): Uint8Array {
  const half = Math.ceil(secret.length / 2);
  const whole = concatenate(seed);
  const output = expand(crypto, 'md5', secret.subarray(0, half), whole, bytes);
  const other = expand(crypto, 'sha1', secret.subarray(secret.length - half), whole, bytes);
  for (let i = 0; i < bytes; i++) output[i] ^= other[i];
  other.fill(0);
  return output;
}

function expand(
  crypto: OpenVpnCrypto,
  hash: 'md5' | 'sha1',
  secret: Uint8Array,
  seed: Uint8Array,
  bytes: number,
): Uint8Array {
  const output = new Uint8Array(bytes);
  let a = seed;
  for (let at = 0; at < bytes;) {
    a = crypto.hmac(hash, secret, [a]);
    const block = crypto.hmac(hash, secret, [a, seed]);
    output.set(block.subarray(0, bytes - at), at);
    at += block.length;
  }
  return output;
}
