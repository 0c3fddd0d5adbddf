import { EVERYONE } from '@sallyport/policy';
import type { Kysely } from 'kysely';
import { appendAudit } from '../audit/audit-log.ts';
import { valueOf, type IdentityProviderRow } from '../repositories/identity-providers.ts';
import { describeUserRow, getUser, groupsOfUsers } from '../repositories/users.ts';
import type { Database } from '../store/schema.ts';
import type { Origin, Writing } from '../store/store.ts';

/**
 * Puts a user into the groups that a provider's claims say, and takes them out of those that it said before and says no
 * more. Memberships that somebody gave by hand, or another provider by its claims, stay as they are. Answers whether the
 * user is in a group that they were not in.
 * @param mayJoin false: nobody is put into a group
 */
export async function followClaims(
  { db, now, changed }: Writing,
  provider: IdentityProviderRow,
  userId: string,
  claimed: ReadonlySet<string>,
  by: Origin,
  mayJoin: boolean,
): Promise<boolean> {
  const claims = await db.selectFrom('claimed_membership').selectAll().where('user_id', '=', userId).execute();
  const before = (await groupsOfUsers(db, [userId])).get(userId) ?? [];
  const groups = new Set(before);
  const claimedBy = (groupId: string, own: boolean): boolean =>
    claims.some((row) => row.group_id === groupId && (row.provider_id === provider.id) === own);

  const scimGroups = await db.selectFrom('scim_group').select('group_id').execute();
  const keptByScim = new Set(scimGroups.map((row) => row.group_id));
  const found = await groupsFor(db, provider, claimed, keptByScim);
  const wanted = mayJoin ? found : new Set([...found].filter((id) => groups.has(id)));

  for (const groupId of before) {
    if (wanted.has(groupId) || !claimedBy(groupId, true)) continue;
    if (claimedBy(groupId, false) || keptByScim.has(groupId)) continue;
    groups.delete(groupId);
    await db.deleteFrom('group_member').where('group_id', '=', groupId).where('user_id', '=', userId).execute();
  }
  const added: string[] = [];
  for (const groupId of wanted) {
    if (groups.has(groupId)) {
      // What was there before is not this provider's to take away, unless it came by another's claims as well.
      if (!claimedBy(groupId, true) && claimedBy(groupId, false)) added.push(groupId);
      continue;
    }
    groups.add(groupId);
    added.push(groupId);
    await db.insertInto('group_member').values({ group_id: groupId, user_id: userId }).execute();
  }
  for (const { group_id: groupId, provider_id: providerId } of claims) {
    // That somebody took them out by hand, or the provider doesn't say it any more, ends the claim.
    if (providerId !== provider.id || (wanted.has(groupId) && before.includes(groupId))) continue;
    await db
      .deleteFrom('claimed_membership')
      .where('provider_id', '=', provider.id)
      .where('user_id', '=', userId)
      .where('group_id', '=', groupId)
      .execute();
  }
  if (added.length > 0) {
    await db
      .insertInto('claimed_membership')
      .values(added.map((groupId) => ({ provider_id: provider.id, user_id: userId, group_id: groupId })))
      .execute();
  }
  if (groups.size === before.length && before.every((id) => groups.has(id))) return false;
  const user = await getUser(db, userId);
  const changedUser = { ...user, version: user.version + 1 };
  await db.updateTable('user').set({ version: changedUser.version }).where('id', '=', userId).execute();
  await appendAudit(
    db,
    now,
    by,
    'user.update',
    { kind: 'user', id: userId, name: user.name },
    describeUserRow(user, before),
    describeUserRow(changedUser, [...groups].sort()),
  );
  changed('user', userId);
  return [...groups].some((id) => !before.includes(id));
}

/** The ids of the groups that these claims stand for; not the one that everybody is in, and none that SCIM keeps. */
async function groupsFor(
  db: Kysely<Database>,
  provider: IdentityProviderRow,
  claimed: ReadonlySet<string>,
  keptByScim: ReadonlySet<string>,
): Promise<ReadonlySet<string>> {
  const { groupMapping, groupsByName } = valueOf(provider);
  const mapped = groupMapping.filter(({ claim }) => claimed.has(claim)).map(({ groupId }) => groupId);
  const names = groupsByName ? [...claimed] : [];
  if (mapped.length === 0 && names.length === 0) return new Set();
  const rows = await db
    .selectFrom('group')
    .select('id')
    .where((eb) =>
      eb.or([
        ...(mapped.length === 0 ? [] : [eb('id', 'in', mapped)]),
        ...(names.length === 0 ? [] : [eb('name', 'in', names)]),
      ]),
    )
    .execute();
  return new Set(rows.map(({ id }) => id).filter((id) => id !== EVERYONE && !keptByScim.has(id)));
}
