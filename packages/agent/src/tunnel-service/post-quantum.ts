/** The gateway's half of the agreement on a preshared key. docs/protocols/post-quantum.md */
import { createPublicKey, encapsulate, hkdfSync, type KeyObject } from 'node:crypto';
import { Secret } from '@sallyport/core';
import { CIPHERTEXT_BYTES, ENCAPSULATION_KEY_BYTES, PRESHARED_KEY_BYTES } from '@sallyport/tunnel-service';

/** What a bare ML-KEM-768 key has before it as a SubjectPublicKeyInfo (RFC 9935, section 4). */
const SPKI_PREFIX = Buffer.from('308204b2300b0609608648016503040402038204a100', 'hex');
const INFO = 'sallyport psk v1';

export interface Agreement {
  readonly ciphertext: Uint8Array;
  readonly presharedKey: Secret<Uint8Array>;
}

/**
 * Agrees a preshared key with whoever has the decapsulation key of `encapsulationKey`. Both public keys are WireGuard's,
 * base64. Undefined where it is no key (FIPS 203, section 7.2).
 */
export function agree(encapsulationKey: Uint8Array, gatewayKey: string, deviceKey: string): Agreement | undefined {
  if (encapsulationKey.length !== ENCAPSULATION_KEY_BYTES) return undefined;
  let key: KeyObject;
  let sharedKey: Uint8Array;
  let ciphertext: Uint8Array;
  try {
    key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, encapsulationKey]), format: 'der', type: 'spki' });
    ({ sharedKey, ciphertext } = encapsulate(key));
  } catch {
    return undefined;
  }
  try {
    if (ciphertext.length !== CIPHERTEXT_BYTES) return undefined;
    return { ciphertext, presharedKey: derivePresharedKey(sharedKey, gatewayKey, deviceKey) };
  } finally {
    sharedKey.fill(0);
  }
}

/** HKDF-SHA-256 (RFC 5869) of the shared secret, without salt, bound to the two ends of the tunnel. */
export function derivePresharedKey(sharedKey: Uint8Array, gatewayKey: string, deviceKey: string): Secret<Uint8Array> {
  const ends = [gatewayKey, deviceKey].map((key) => Buffer.from(key, 'base64'));
  const info = Buffer.concat([Buffer.from(INFO), ...ends]);
  return new Secret(new Uint8Array(hkdfSync('sha256', sharedKey, new Uint8Array(0), info, PRESHARED_KEY_BYTES)));
}
