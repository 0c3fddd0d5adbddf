import { createPublicKey } from 'node:crypto';

const RSA_BITS = { least: 2048, most: 8192 } as const;
const RSA_EXPONENT = { least: 65_537n, most: 2n ** 32n } as const;
/** OpenSSL's names of P-256 and P-384, and the bytes of a key: with the curve's name, and the point as a whole (RFC 5480). */
const CURVES: Readonly<Record<string, number>> = { prime256v1: 91, secp384r1: 120 };

/**
 * The public key that a certificate is to be issued for, as SPKI in DER; or what is wrong with its text. It is an elliptic
 * curve's that every client knows, Ed25519, or RSA, written in the one way in which DER writes it.
 */
export function readSubjectKey(text: string): { readonly spki: Buffer } | { readonly fault: string } {
  const spki = Buffer.from(text, 'base64');
  if (spki.toString('base64') !== text) return { fault: 'is no base64' };
  let key;
  try {
    key = createPublicKey({ key: spki, format: 'der', type: 'spki' });
    // What stands behind it is in no certificate of ours.
    if (!key.export({ format: 'der', type: 'spki' }).equals(spki))
      return { fault: 'is not the DER of a public key alone' };
  } catch {
    return { fault: 'is no public key (SPKI, DER in base64)' };
  }
  const { namedCurve = '', modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  switch (key.asymmetricKeyType) {
    case 'ed25519':
      return { spki };
    case 'ec':
      return CURVES[namedCurve] === spki.length
        ? { spki }
        : { fault: 'is on another curve than P-256 or P-384, or in another form than the usual one' };
    case 'rsa':
      if (modulusLength < RSA_BITS.least || modulusLength > RSA_BITS.most)
        return { fault: `is RSA of ${modulusLength} bits: ${RSA_BITS.least} to ${RSA_BITS.most} are taken` };
      return publicExponent >= RSA_EXPONENT.least && publicExponent < RSA_EXPONENT.most && publicExponent % 2n === 1n
        ? { spki }
        : { fault: 'is RSA with an exponent other than the usual 65537' };
    default:
      return { fault: 'is neither EC (P-256, P-384) nor Ed25519 nor RSA' };
  }
}
