import { createPrivateKey, createPublicKey, generateKeyPairSync, type KeyObject } from 'node:crypto';
import { Secret } from '@sallyport/core';
import { readIfThere, storeFile } from '../store-file.ts';

export interface OpenVpnKey {
  /** PEM (PKCS #8). */
  readonly privateKey: Secret<string>;
  /** SPKI, DER, base64: what the control plane issues a certificate for. */
  readonly publicKey: string;
}

/** The gateway's key for TLS in the file at `path` (EC P-256, PEM), or a new one that is stored there, for its owner alone. */
export function loadOpenVpnKey(path: string): OpenVpnKey {
  let text = readIfThere(path);
  if (text === undefined) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    text = privateKey.export({ format: 'pem', type: 'pkcs8' });
    storeFile(path, text);
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(text);
  } catch {
    throw new Error(`${path} does not hold a private key: restore it, or remove it for a new one`);
  }
  const publicKey = createPublicKey(key).export({ format: 'der', type: 'spki' }).toString('base64');
  return { privateKey: new Secret(text), publicKey };
}
