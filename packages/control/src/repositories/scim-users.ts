/** Users that SCIM clients keep. */
import { sql, type Kysely } from 'kysely';
import type { Database } from '../store/schema.ts';
import type { UserRow } from './users.ts';

export interface ScimUserRow extends UserRow {
  readonly user_name: string;
  readonly external_id: string | null;
  readonly attributes: string;
  readonly modified_at: number;
}

/** What narrows a list down before a filter is applied. */
export interface ScimUserFilter {
  readonly clientId: string;
  readonly id?: string | undefined;
  /** In lower case. */
  readonly userName?: string | undefined;
  readonly externalId?: string | undefined;
}

function userQuery(db: Kysely<Database>, { clientId, id, userName, externalId }: ScimUserFilter) {
  let query = db
    .selectFrom('scim_user')
    .innerJoin('user', 'user.id', 'scim_user.user_id')
    .where('scim_user.client_id', '=', clientId);
  if (id !== undefined) query = query.where('scim_user.user_id', '=', id);
  if (userName !== undefined) query = query.where('scim_user.user_name', '=', userName);
  if (externalId !== undefined) query = query.where('scim_user.external_id', '=', externalId);
  return query;
}

/** By id. */
export async function pageOfScimUsers(
  db: Kysely<Database>,
  filter: ScimUserFilter,
  { limit, offset = 0, after }: { readonly limit: number; readonly offset?: number; readonly after?: string },
): Promise<ScimUserRow[]> {
  let query = userQuery(db, filter)
    .selectAll('user')
    .select(['scim_user.user_name', 'scim_user.external_id', 'scim_user.attributes', 'scim_user.modified_at']);
  if (after !== undefined) query = query.where('scim_user.user_id', '>', after);
  return query.orderBy('scim_user.user_id').limit(limit).offset(offset).execute();
}

export async function countScimUsers(db: Kysely<Database>, filter: ScimUserFilter): Promise<number> {
  const { count } = await userQuery(db, filter)
    .select(({ fn }) => fn.countAll().as('count'))
    .executeTakeFirstOrThrow();
  return Number(count);
}

export async function findScimUser(
  db: Kysely<Database>,
  clientId: string,
  id: string,
): Promise<ScimUserRow | undefined> {
  return (await pageOfScimUsers(db, { clientId, id }, { limit: 1 }))[0];
}

/** Users of a client by their ids, with their names; what is none of its users is left out. */
export async function scimUserNames(
  db: Kysely<Database>,
  clientId: string,
  ids: readonly string[],
): Promise<Map<string, string>> {
  const names = new Map<string, string>();
  for (let from = 0; from < ids.length; from += 500) {
    const rows = await userQuery(db, { clientId })
      .select(['user.id', 'user.name'])
      .where('scim_user.user_id', 'in', ids.slice(from, from + 500))
      .execute();
    for (const { id, name } of rows) names.set(id, name);
  }
  return names;
}

/** The groups of a client that each user is in. */
export async function scimGroupsOfUsers(
  db: Kysely<Database>,
  clientId: string,
  userIds: readonly string[],
): Promise<Map<string, { readonly id: string; readonly displayName: string }[]>> {
  const groups = new Map<string, { readonly id: string; readonly displayName: string }[]>();
  if (userIds.length === 0) return groups;
  const rows = await db
    .selectFrom('group_member')
    .innerJoin('scim_group', 'scim_group.group_id', 'group_member.group_id')
    .select(['group_member.user_id', 'scim_group.group_id', 'scim_group.display_name'])
    .where('scim_group.client_id', '=', clientId)
    .where('group_member.user_id', 'in', userIds)
    .orderBy('scim_group.group_id')
    .execute();
  for (const { user_id: user, group_id: id, display_name: displayName } of rows) {
    const known = groups.get(user);
    if (known === undefined) groups.set(user, [{ id, displayName }]);
    else known.push({ id, displayName });
  }
  return groups;
}

/** Versions of users grow by one where a membership of theirs changed. */
export async function raiseUserVersions(db: Kysely<Database>, ids: readonly string[]): Promise<void> {
  for (let from = 0; from < ids.length; from += 500) {
    await db
      .updateTable('user')
      .set({ version: sql<number>`version + 1` })
      .where('id', 'in', ids.slice(from, from + 500))
      .execute();
  }
}
