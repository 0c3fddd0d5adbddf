/**
 * How entries of the audit log hang together.
 *
 * An entry's digest is the SHA-256 of its content as canonical JSON; its hash the SHA-256 of the hash before it, its number,
 * its time, whether it expires, and the digest. So an entry can't be changed, removed, added or moved without breaking
 * the chain from there on. Only removing the newest entries goes unnoticed: who wants to notice that too keeps the newest
 * number and hash elsewhere.
 *
 * Entries about connections expire. Removing such an entry's content leaves its digest, and the chain holds. The content
 * has a random salt, which goes with it, so that nobody can find out by trying what a digest was of. That an entry
 * expires is part of its hash: the content of others can't be removed under this pretext.
 */
import { createHash, randomBytes } from 'node:crypto';
import type { AuditTable } from '../store/schema.ts';

/** What the first entry follows. */
export const FIRST_HASH = '0'.repeat(64);

/** Bytes of one entry's `before` and `after`. */
const contentLimit = 4 << 20;

/** The actions whose entries are kept for the time that the settings say; all others stay. */
export function expires(action: string): boolean {
  return action.startsWith('connection.');
}

/** What stands in the place of content that was removed. */
export const EXPIRED = {
  actor: '{"id":null,"kind":"system","name":"expired"}',
  origin: '{"address":null,"via":"system"}',
  action: 'connection.expired',
  target: '{"id":null,"kind":"expired","name":""}',
  before: 'null',
  after: 'null',
  salt: null,
} as const satisfies Partial<AuditTable>;

type Content = Pick<AuditTable, 'action' | 'actor' | 'after' | 'before' | 'origin' | 'salt' | 'target'>;

/** All but `action` and `salt` are canonical JSON already, and the names stand in order. */
export function digestOf({ action, actor, after, before, origin, salt, target }: Content): string {
  const json =
    `{"action":${JSON.stringify(action)},"actor":${actor},"after":${after},"before":${before},"origin":${origin},` +
    `"salt":${JSON.stringify(salt)},"target":${target}}`;
  return sha256(json);
}

export function hashOf(
  previous: string,
  { number, at, expires: expiring, digest }: Pick<AuditTable, 'number' | 'at' | 'expires'> & { digest: string },
): string {
  return sha256([previous, number, at, expiring, digest].join('\n'));
}

/** The entry that follows the one of `previous`. The texts are canonical JSON. */
export function chain(
  previous: { readonly number: number; readonly hash: string },
  at: number,
  content: Omit<Content, 'salt'>,
): AuditTable {
  if (content.before.length + content.after.length > contentLimit) {
    throw new RangeError('The change is too large for the audit log');
  }
  const expiring = expires(content.action) ? 1 : 0;
  const salt = expiring === 1 ? randomBytes(16).toString('base64url') : null;
  const entry = { ...content, number: previous.number + 1, at, expires: expiring, salt, digest: null };
  return { ...entry, hash: hashOf(previous.hash, { ...entry, digest: digestOf(entry) }) };
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('hex');
}
