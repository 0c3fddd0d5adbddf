/** Removing users and groups, by hand and by SCIM. */
import type { Writing } from '../store/store.ts';
import { ApiError } from '../http/api-error.ts';
import { releaseNumber } from '../repositories/addresses.ts';
import { describeGroupRow, usersOfGroup, type GroupRow } from '../repositories/groups.ts';
import { describeUserRow, groupsOfUsers, type UserRow } from '../repositories/users.ts';

/** Removes a user with devices, sessions, tokens and what else hangs on them. */
export async function removeUser({ db, now, audit, changed }: Writing, row: UserRow): Promise<void> {
  const groups = (await groupsOfUsers(db, [row.id])).get(row.id) ?? [];
  const devices = await db.selectFrom('device').select(['id', 'name']).where('user_id', '=', row.id).execute();
  const tests = await db.selectFrom('policy_test').select(['id', 'name']).where('user_id', '=', row.id).execute();
  const invitations = await db.selectFrom('invitation').select('id').where('user_id', '=', row.id).execute();
  const tokens = await db.selectFrom('api_token').select('id').where('user_id', '=', row.id).execute();
  for (const { id } of devices) await releaseNumber(db, id, now);
  await db.deleteFrom('user').where('id', '=', row.id).execute();
  await audit(
    'user.delete',
    { kind: 'user', id: row.id, name: row.name },
    {
      ...describeUserRow(row, groups),
      devices: devices.map(({ name }) => name),
      policyTests: tests.map(({ name }) => name),
    },
  );
  for (const { id } of devices) changed('device', id);
  for (const { id } of invitations) changed('invitation', id);
  for (const { id } of tokens) changed('token', id);
  for (const { id } of tests) changed('policyTest', id);
  changed('user', row.id);
}

/** Removes a group; its members stay. Throws the ApiError `stillUsed` where a rule or a gateway names it. */
export async function removeGroup({ db, audit, changed }: Writing, row: GroupRow): Promise<void> {
  const used = await usersOfGroup(db, row.id);
  if (used.length > 0) {
    throw new ApiError('stillUsed', `The group is used by ${used.slice(0, 10).join(', ')}: take it out there first.`);
  }
  const members = await db
    .selectFrom('group_member')
    .select('user_id')
    .where('group_id', '=', row.id)
    .orderBy('user_id')
    .execute();
  await db.deleteFrom('group').where('id', '=', row.id).execute();
  await audit(
    'group.delete',
    { kind: 'group', id: row.id, name: row.name },
    { ...describeGroupRow(row), members: members.map((member) => member.user_id) },
  );
  for (const member of members) changed('user', member.user_id);
  changed('group', row.id);
}
