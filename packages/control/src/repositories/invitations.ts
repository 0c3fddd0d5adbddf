import type { Invitation } from '@sallyport/api';
import type { Kysely, Selectable } from 'kysely';
import type { Database, InvitationTable } from '../store/schema.ts';
import { cursorOf, pageOf } from './pages.ts';
import { afterCursor, holds, type PageRequest } from './search.ts';
import { timeText } from './users.ts';

export type InvitationRow = Selectable<InvitationTable> & { readonly user_name: string };

function invitationQuery(db: Kysely<Database>) {
  return db
    .selectFrom('invitation')
    .innerJoin('user', 'user.id', 'invitation.user_id')
    .selectAll('invitation')
    .select('user.name as user_name');
}

/** Those that can still be accepted, by user and id. */
export async function listInvitations(
  db: Kysely<Database>,
  { limit, after, search }: PageRequest,
  now: number,
): Promise<{ items: InvitationRow[]; next: string | null }> {
  let query = invitationQuery(db).where('invitation.used_at', 'is', null).where('invitation.expires_at', '>', now);
  if (search !== undefined) query = query.where((eb) => holds(eb.ref('user.name'), search));
  const cursor = cursorOf(after);
  if (cursor !== undefined)
    query = query.where((eb) => afterCursor(eb.ref('user.name'), eb.ref('invitation.id'), cursor));
  const rows = await query
    .orderBy('user.name')
    .orderBy('invitation.id')
    .limit(limit + 1)
    .execute();
  return pageOf(
    rows.map((row) => ({ ...row, name: row.user_name })),
    limit,
  );
}

export async function findInvitation(
  db: Kysely<Database>,
  by: { readonly id: string } | { readonly tokenHash: string },
): Promise<InvitationRow | undefined> {
  const query = invitationQuery(db);
  return 'id' in by
    ? query.where('invitation.id', '=', by.id).executeTakeFirst()
    : query.where('invitation.token_hash', '=', by.tokenHash).executeTakeFirst();
}

export function describeInvitation(row: InvitationRow): Invitation {
  return {
    id: row.id,
    userId: row.user_id,
    userName: row.user_name,
    createdBy: row.created_by,
    createdAt: timeText(row.created_at),
    expiresAt: timeText(row.expires_at),
  };
}

/** Takes back a user's open invitations. Answers their ids. */
export async function endInvitations(db: Kysely<Database>, userId: string): Promise<string[]> {
  const open = await db
    .selectFrom('invitation')
    .select('id')
    .where('user_id', '=', userId)
    .where('used_at', 'is', null)
    .execute();
  await db.deleteFrom('invitation').where('user_id', '=', userId).where('used_at', 'is', null).execute();
  return open.map(({ id }) => id);
}
