import { createHash } from 'node:crypto';

/** Random bytes of a join token. */
export const JOIN_SECRET_BYTES = 24;

/** Hex digits of the control plane's key hash that a token carries: 128 bits, as hard to hit as the key to break. */
const KEY_HASH_PREFIX_LENGTH = 32;

const FORM = /^(spj_[A-Za-z0-9_-]{32})\.([0-9a-f]{32})$/;

/**
 * The token that lets one gateway join, once: a secret, and enough of the hash of the control plane's key for the
 * gateway to know whom it gives the secret to. `secret` is {@link JOIN_SECRET_BYTES} long, the hash hex.
 */
export function createJoinToken(secret: Uint8Array, controlKeyHash: string): string {
  if (secret.length !== JOIN_SECRET_BYTES) throw new RangeError(`a join token's secret has ${JOIN_SECRET_BYTES} bytes`);
  if (!/^[0-9a-f]{64}$/.test(controlKeyHash)) throw new RangeError('the key hash is not 64 hex digits');
  return `spj_${Buffer.from(secret).toString('base64url')}.${controlKeyHash.slice(0, KEY_HASH_PREFIX_LENGTH)}`;
}

/** The parts of a token, or undefined where it is none. */
export function parseJoinToken(text: string): { secret: string; keyHashPrefix: string } | undefined {
  const parts = FORM.exec(text.trim());
  return parts === null ? undefined : { secret: parts[1] ?? '', keyHashPrefix: parts[2] ?? '' };
}

/** What is stored of a token: SHA-256 of its text, hex. It has 192 random bits, so nothing slower is needed. */
export function hashToken(token: string): string {
  return createHash('sha256').update(token.trim(), 'utf8').digest('hex');
}
