import { createHash, createPrivateKey, createPublicKey, generateKeyPairSync, X509Certificate, type KeyObject } from 'node:crypto'; // prettier-ignore
import { Secret } from '@sallyport/core';
import { selfSign } from './certificate.ts';

/** A key of the link with its self-signed certificate. Who it is, is its key's hash and nothing else. */
export interface LinkIdentity {
  readonly certificatePem: string;
  /** PKCS #8. */
  readonly privateKeyPem: Secret<string>;
  /** SHA-256 of the public key (SubjectPublicKeyInfo), lower-case hex. */
  readonly keyHash: string;
}

/** A new Ed25519 key and its certificate; the name (64 characters at most) is for people who look at it. */
export function createLinkIdentity(commonName: string): LinkIdentity {
  const { privateKey } = generateKeyPairSync('ed25519');
  return loadLinkIdentity({
    certificatePem: selfSign(commonName.slice(0, 64), privateKey),
    privateKeyPem: new Secret(privateKey.export({ type: 'pkcs8', format: 'pem' })),
  });
}

/** An identity from its stored parts. Throws an Error where they can't be read or don't belong together. */
export function loadLinkIdentity(pems: {
  readonly certificatePem: string;
  readonly privateKeyPem: Secret<string>;
}): LinkIdentity {
  const { certificatePem, privateKeyPem } = pems;
  const { publicKey } = new X509Certificate(certificatePem);
  if (!createPublicKey(createPrivateKey(privateKeyPem.reveal())).equals(publicKey))
    throw new Error("the link's certificate and its private key don't belong together");
  return { certificatePem, privateKeyPem, keyHash: hashPublicKey(publicKey) };
}

/** SHA-256 of a public key's SubjectPublicKeyInfo, lower-case hex. */
export function hashPublicKey(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex');
}
