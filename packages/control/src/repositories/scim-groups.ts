/** Groups that SCIM clients keep. */
import type { Kysely } from 'kysely';
import type { Database } from '../store/schema.ts';
import type { GroupRow } from './groups.ts';

export interface ScimGroupRow extends GroupRow {
  readonly display_name: string;
  readonly external_id: string | null;
  readonly modified_at: number;
}

export interface ScimGroupFilter {
  readonly clientId: string;
  readonly id?: string | undefined;
  readonly externalId?: string | undefined;
}

function groupQuery(db: Kysely<Database>, { clientId, id, externalId }: ScimGroupFilter) {
  let query = db
    .selectFrom('scim_group')
    .innerJoin('group', 'group.id', 'scim_group.group_id')
    .where('scim_group.client_id', '=', clientId);
  if (id !== undefined) query = query.where('scim_group.group_id', '=', id);
  if (externalId !== undefined) query = query.where('scim_group.external_id', '=', externalId);
  return query;
}

/** By id. */
export async function pageOfScimGroups(
  db: Kysely<Database>,
  filter: ScimGroupFilter,
  { limit, offset = 0, after }: { readonly limit: number; readonly offset?: number; readonly after?: string },
): Promise<ScimGroupRow[]> {
  let query = groupQuery(db, filter)
    .selectAll('group')
    .select(['scim_group.display_name', 'scim_group.external_id', 'scim_group.modified_at']);
  if (after !== undefined) query = query.where('scim_group.group_id', '>', after);
  return query.orderBy('scim_group.group_id').limit(limit).offset(offset).execute();
}

export async function countScimGroups(db: Kysely<Database>, filter: ScimGroupFilter): Promise<number> {
  const { count } = await groupQuery(db, filter)
    .select(({ fn }) => fn.countAll().as('count'))
    .executeTakeFirstOrThrow();
  return Number(count);
}

export async function findScimGroup(
  db: Kysely<Database>,
  clientId: string,
  id: string,
): Promise<ScimGroupRow | undefined> {
  return (await pageOfScimGroups(db, { clientId, id }, { limit: 1 }))[0];
}

export interface ScimMember {
  readonly id: string;
  /** The short name here. */
  readonly name: string;
  readonly displayName: string;
}

/** The members of groups that the client keeps, `limit` in all; others may be in them as well, by a provider's claims. */
export async function scimMembers(
  db: Kysely<Database>,
  clientId: string,
  groupIds: readonly string[],
  limit?: number,
): Promise<Map<string, ScimMember[]>> {
  const members = new Map<string, ScimMember[]>(groupIds.map((id) => [id, []]));
  if (groupIds.length === 0) return members;
  let query = db
    .selectFrom('group_member')
    .innerJoin('scim_user', 'scim_user.user_id', 'group_member.user_id')
    .innerJoin('user', 'user.id', 'group_member.user_id')
    .select(['group_member.group_id', 'user.id', 'user.name', 'user.display_name'])
    .where('scim_user.client_id', '=', clientId)
    .where('group_member.group_id', 'in', groupIds)
    .orderBy('user.id');
  if (limit !== undefined) query = query.limit(limit);
  const rows = await query.execute();
  for (const row of rows) {
    members.get(row.group_id)?.push({ id: row.id, name: row.name, displayName: row.display_name });
  }
  return members;
}

export async function addMembers(db: Kysely<Database>, groupId: string, userIds: readonly string[]): Promise<void> {
  for (let from = 0; from < userIds.length; from += 500) {
    await db
      .insertInto('group_member')
      .values(userIds.slice(from, from + 500).map((userId) => ({ group_id: groupId, user_id: userId })))
      .execute();
  }
}

export async function removeMembers(db: Kysely<Database>, groupId: string, userIds: readonly string[]): Promise<void> {
  for (let from = 0; from < userIds.length; from += 500) {
    await db
      .deleteFrom('group_member')
      .where('group_id', '=', groupId)
      .where('user_id', 'in', userIds.slice(from, from + 500))
      .execute();
  }
}
