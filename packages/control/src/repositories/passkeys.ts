import type { Passkey } from '@sallyport/api';
import type { Kysely, Selectable } from 'kysely';
import type { Database, PasskeyTable } from '../store/schema.ts';
import { timeText } from './users.ts';

export type PasskeyRow = Selectable<PasskeyTable>;

/** The oldest first. */
export async function listPasskeys(db: Kysely<Database>, userId: string): Promise<PasskeyRow[]> {
  return db
    .selectFrom('passkey')
    .selectAll()
    .where('user_id', '=', userId)
    .orderBy('created_at')
    .orderBy('id')
    .execute();
}

export async function findPasskey(db: Kysely<Database>, userId: string, id: string): Promise<PasskeyRow | undefined> {
  return db.selectFrom('passkey').selectAll().where('id', '=', id).where('user_id', '=', userId).executeTakeFirst();
}

/** By the id that its maker gave it, base64url. */
export async function findCredential(db: Kysely<Database>, credentialId: string): Promise<PasskeyRow | undefined> {
  return db.selectFrom('passkey').selectAll().where('credential_id', '=', credentialId).executeTakeFirst();
}

/**
 * Notes a use within a transaction. Answers false where it counts no more: the passkey was removed, or its counter came
 * this far before. Those that don't count say 0 each time.
 */
export async function notePasskeyUse(
  db: Kysely<Database>,
  id: string,
  use: { readonly signCount: number; readonly synced: boolean; readonly now: number },
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('passkey')
    .set({ sign_count: use.signCount, synced: use.synced ? 1 : 0, last_used_at: use.now })
    .where('id', '=', id)
    .where('sign_count', use.signCount === 0 ? '=' : '<', use.signCount)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export function describePasskey(row: PasskeyRow): Passkey {
  return {
    id: row.id,
    name: row.name,
    createdAt: timeText(row.created_at),
    lastUsedAt: row.last_used_at === null ? null : timeText(row.last_used_at),
    synced: row.synced === 1,
  };
}
