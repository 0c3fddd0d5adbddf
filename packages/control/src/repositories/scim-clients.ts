import type { ScimClient } from '@sallyport/api';
import type { Kysely, Selectable } from 'kysely';
import { LAST_USE_EVERY_MS } from '../auth/sessions.ts';
import type { Database, ScimClientTable } from '../store/schema.ts';
import { timeText } from './users.ts';

export type ScimClientRow = Selectable<ScimClientTable>;

/** All of them, there being few. */
export async function listScimClients(db: Kysely<Database>): Promise<ScimClient[]> {
  const rows = await db.selectFrom('scim_client').selectAll().execute();
  const users = await countByClient(db, 'scim_user');
  const groups = await countByClient(db, 'scim_group');
  return rows.map((row) => describeScimClient(row, users.get(row.id) ?? 0, groups.get(row.id) ?? 0));
}

export function describeScimClient(row: ScimClientRow, userCount: number, groupCount: number): ScimClient {
  return {
    id: row.id,
    name: row.name,
    createdAt: timeText(row.created_at),
    lastUsedAt: row.last_used_at === null ? null : timeText(row.last_used_at),
    userCount,
    groupCount,
  };
}

export async function findScimClient(
  db: Kysely<Database>,
  by: { readonly id: string } | { readonly tokenHash: string },
): Promise<ScimClientRow | undefined> {
  const query = db.selectFrom('scim_client').selectAll();
  return 'id' in by
    ? query.where('id', '=', by.id).executeTakeFirst()
    : query.where('token_hash', '=', by.tokenHash).executeTakeFirst();
}

/** Notes that a client was there, once a minute at most. */
export async function noteScimClientUse(db: Kysely<Database>, client: ScimClientRow, now: number): Promise<void> {
  if (client.last_used_at !== null && now - client.last_used_at < LAST_USE_EVERY_MS) return;
  await db.updateTable('scim_client').set({ last_used_at: now }).where('id', '=', client.id).execute();
}

async function countByClient(db: Kysely<Database>, table: 'scim_user' | 'scim_group'): Promise<Map<string, number>> {
  const rows = await db
    .selectFrom(table)
    .select(['client_id', ({ fn }) => fn.countAll().as('count')])
    .groupBy('client_id')
    .execute();
  return new Map(rows.map((row) => [row.client_id, Number(row.count)]));
}
