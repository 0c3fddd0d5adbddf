import type { ApiToken, TokenScope } from '@sallyport/api';
import type { Kysely, Selectable } from 'kysely';
import type { ApiTokenTable, Database } from '../store/schema.ts';
import { cursorOf, pageOf } from './pages.ts';
import { afterCursor, holds, type PageRequest } from './search.ts';
import type { CredentialUser } from './sessions.ts';
import { timeText } from './users.ts';

export interface FoundApiToken extends CredentialUser {
  readonly id: string;
  readonly permissions: string;
  readonly last_used_at: number | null;
  readonly token_expires_at: number | null;
}

export type ApiTokenRow = Selectable<ApiTokenTable> & { readonly user_name: string };

export async function findApiToken(db: Kysely<Database>, tokenHash: string): Promise<FoundApiToken | undefined> {
  return db
    .selectFrom('api_token')
    .innerJoin('user', 'user.id', 'api_token.user_id')
    .where('api_token.token_hash', '=', tokenHash)
    .select([
      'api_token.id',
      'api_token.permissions',
      'api_token.last_used_at',
      'api_token.expires_at as token_expires_at',
      'user.id as user_id',
      'user.name as user_name',
      'user.role',
      'user.disabled',
      'user.expires_at as expires_at_of_user',
    ])
    .executeTakeFirst();
}

function tokenQuery(db: Kysely<Database>) {
  return db
    .selectFrom('api_token')
    .innerJoin('user', 'user.id', 'api_token.user_id')
    .selectAll('api_token')
    .select('user.name as user_name');
}

/** By name and id. */
export async function listApiTokens(
  db: Kysely<Database>,
  { limit, after, search }: PageRequest,
): Promise<{ items: ApiTokenRow[]; next: string | null }> {
  let query = tokenQuery(db);
  if (search !== undefined) {
    query = query.where((eb) => eb.or([holds(eb.ref('api_token.name'), search), holds(eb.ref('user.name'), search)]));
  }
  const cursor = cursorOf(after);
  if (cursor !== undefined)
    query = query.where((eb) => afterCursor(eb.ref('api_token.name'), eb.ref('api_token.id'), cursor));
  const rows = await query
    .orderBy('api_token.name')
    .orderBy('api_token.id')
    .limit(limit + 1)
    .execute();
  return pageOf(rows, limit);
}

export async function findApiTokenById(db: Kysely<Database>, id: string): Promise<ApiTokenRow | undefined> {
  return tokenQuery(db).where('api_token.id', '=', id).executeTakeFirst();
}

export function describeApiToken(row: ApiTokenRow): ApiToken {
  return {
    id: row.id,
    name: row.name,
    userId: row.user_id,
    userName: row.user_name,
    permissions: JSON.parse(row.permissions) as TokenScope[],
    createdAt: timeText(row.created_at),
    expiresAt: row.expires_at === null ? null : timeText(row.expires_at),
    lastUsedAt: row.last_used_at === null ? null : timeText(row.last_used_at),
  };
}
