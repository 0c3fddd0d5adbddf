import { createPrivateKey, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { Secret } from '@sallyport/core';
import { decodeBase64Key, encodeBase64Key } from '@sallyport/wireguard';
import { readIfThere, storeFile } from '../store-file.ts';

/** A bare X25519 private key in PKCS #8 (RFC 8410 section 7) has this before its 32 bytes. */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b656e04220420', 'hex');
const KEY_BYTES = 32;

export interface WireGuardKey {
  readonly privateKey: Secret<Uint8Array>;
  /** Base64. */
  readonly publicKey: string;
}

/** The key in the file at `path` (base64, as `wg genkey` writes it), or a new one that is stored there, for its owner alone. */
export function loadWireGuardKey(path: string): WireGuardKey {
  let text = readIfThere(path)?.trim();
  if (text === undefined) {
    text = newKey();
    storeFile(path, `${text}\n`);
  }
  const bytes = decodeBase64Key(text);
  if (bytes === undefined)
    throw new Error(`${path} does not hold a WireGuard key: restore it, or remove it for a new one`);
  const wrapped = Buffer.concat([PKCS8_PREFIX, bytes]);
  const spki = createPublicKey(createPrivateKey({ key: wrapped, format: 'der', type: 'pkcs8' })).export({
    format: 'der',
    type: 'spki',
  });
  wrapped.fill(0);
  return { privateKey: new Secret(bytes), publicKey: encodeBase64Key(spki.subarray(-KEY_BYTES)) };
}

function newKey(): string {
  const { privateKey } = generateKeyPairSync('x25519');
  const key = new Uint8Array(privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-KEY_BYTES));
  // RFC 7748 section 5.
  key[0] = (key[0] ?? 0) & 248;
  key[31] = ((key[31] ?? 0) & 127) | 64;
  return encodeBase64Key(key);
}
