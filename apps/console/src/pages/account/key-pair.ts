/** Both in base64, as WireGuard writes keys. */
export interface KeyPair {
  readonly privateKey: string;
  readonly publicKey: string;
}

/**
 * Makes a key pair of X25519 (RFC 7748) by WebCrypto. Undefined where there is none: in browsers of before 2025, and in
 * pages that came without TLS.
 */
export async function makeKeyPair(): Promise<KeyPair | undefined> {
  // Without TLS there is no `subtle`, whatever the types say.
  const subtle = crypto.subtle as typeof crypto.subtle | undefined;
  if (subtle === undefined) return undefined;
  try {
    const pair = await subtle.generateKey('X25519', true, ['deriveBits']);
    if (!('privateKey' in pair)) return undefined;
    const { d, x } = await subtle.exportKey('jwk', pair.privateKey);
    return d === undefined || x === undefined ? undefined : { privateKey: toBase64(d), publicKey: toBase64(x) };
  } catch (error) {
    if (error instanceof Error && error.name === 'NotSupportedError') return undefined;
    throw error;
  }
}

/** Base64 with padding, of the base64url without that JSON Web Keys have (RFC 8037). */
export function toBase64(base64url: string): string {
  const padding = '='.repeat((4 - (base64url.length % 4)) % 4);
  return base64url.replaceAll('-', '+').replaceAll('_', '/') + padding;
}
