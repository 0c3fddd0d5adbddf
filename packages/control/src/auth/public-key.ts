import { createPublicKey, diffieHellman, generateKeyPairSync } from 'node:crypto';

/** The prime of Curve25519: u coordinates are below it (RFC 7748, section 4.1). */
const P = 2n ** 255n - 19n;

/**
 * What is wrong with the text of a WireGuard public key, or undefined. Keys with another encoding of the same point, and
 * points of low order, with which every secret is the same, are refused.
 */
export function publicKeyFault(text: string): string | undefined {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== 32 || bytes.toString('base64') !== text) return 'is not 32 bytes in base64';
  if (BigInt(`0x${Buffer.from(bytes).reverse().toString('hex')}`) >= P) return 'is no point of Curve25519';
  const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'X25519', x: bytes.toString('base64url') } });
  try {
    // OpenSSL refuses a shared secret of zero.
    diffieHellman({ privateKey: generateKeyPairSync('x25519').privateKey, publicKey: key });
  } catch {
    return 'is a point of low order, with which no secret is one';
  }
  return undefined;
}
