import { createHash, randomBytes } from 'node:crypto';

/** What tokens of a kind begin with, so that people and programs that search for leaked secrets recognise them. */
export const TOKEN_PREFIX = {
  session: 'sps_',
  api: 'spt_',
  invitation: 'spi_',
  setup: 'spf_',
  knownClient: 'spk_',
  scim: 'spm_',
  deviceCode: 'spd_',
} as const;

export type TokenKind = keyof typeof TOKEN_PREFIX;

/** A new token: 32 random bytes behind its prefix. */
export function newToken(kind: TokenKind): string {
  return TOKEN_PREFIX[kind] + randomBytes(32).toString('base64url');
}

/**
 * What is kept of a token. It is looked up by this, not compared byte by byte: to find one, somebody would need the
 * preimage of a hash, and a plain hash is enough for what has 256 random bits.
 */
export function hashToken(token: string): string {
  return createHash('sha256').update(token).digest('hex');
}
