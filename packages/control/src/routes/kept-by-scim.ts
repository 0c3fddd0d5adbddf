/** What a SCIM client keeps is not changed by hand: the client would change it back, or never know. */
import type { Kysely } from 'kysely';
import { ApiError } from '../http/api-error.ts';
import type { UserRow } from '../repositories/users.ts';
import type { Database } from '../store/schema.ts';

const keptFields = [
  ['name', 'name'],
  ['display_name', 'displayName'],
  ['email', 'email'],
] as const;

/** Throws the ApiError `conflict` where a change by hand would change what a SCIM client keeps of the user. */
export async function refuseKeptUser(db: Kysely<Database>, before: UserRow, after: UserRow): Promise<void> {
  const keeper = await db
    .selectFrom('scim_user')
    .innerJoin('scim_client', 'scim_client.id', 'scim_user.client_id')
    .select(['scim_client.name', 'scim_user.attributes'])
    .where('scim_user.user_id', '=', before.id)
    .executeTakeFirst();
  if (keeper === undefined) return;
  for (const [column, field] of keptFields) {
    if (after[column] !== before[column]) {
      throw new ApiError('conflict', `${field} of ${before.name} is kept by ${keeper.name} (SCIM): change it there.`);
    }
  }
  // To disable somebody is always possible.
  const { active } = JSON.parse(keeper.attributes) as { active: boolean };
  if (before.disabled === 1 && after.disabled === 0 && !active) {
    throw new ApiError('conflict', `${before.name} is kept by ${keeper.name} (SCIM), and not active there.`);
  }
}

/** Throws the ApiError `conflict` where one of these groups, which get another name or other members, is a SCIM client's. */
export async function refuseKeptGroups(db: Kysely<Database>, groupIds: readonly string[]): Promise<void> {
  if (groupIds.length === 0) return;
  const kept = await db
    .selectFrom('scim_group')
    .innerJoin('scim_client', 'scim_client.id', 'scim_group.client_id')
    .innerJoin('group', 'group.id', 'scim_group.group_id')
    .select(['scim_client.name', 'group.name as group_name'])
    .where('scim_group.group_id', 'in', groupIds)
    .limit(1)
    .executeTakeFirst();
  if (kept === undefined) return;
  throw new ApiError(
    'conflict',
    `The group ${kept.group_name} is kept by ${kept.name} (SCIM): change its name and members there.`,
  );
}
