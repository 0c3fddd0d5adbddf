import type { User } from '@sallyport/api';
import type { AccessModel } from '@sallyport/policy';
import { randomUUID } from 'node:crypto';
import type { Kysely, Selectable } from 'kysely';
import { ApiError } from '../http/api-error.ts';
import type { Database, UserTable } from '../store/schema.ts';
import { cursorOf, pageOf } from './pages.ts';
import { afterCursor, holds, type PageRequest } from './search.ts';
import { usersWithSecondFactor } from './second-factors.ts';

export type UserRow = Selectable<UserTable>;

/** The row of a user who is new: active, with the role `user`, no password and no limits, as far as nothing else is said. */
export function newUserRow(
  now: number,
  said: Pick<UserRow, 'name'> & Partial<Omit<UserRow, 'id' | 'version'>>,
): UserRow {
  return {
    id: randomUUID(),
    display_name: '',
    email: null,
    role: 'user',
    password_hash: null,
    disabled: 0,
    expires_at: null,
    devices_per_user: null,
    bits_per_second: null,
    traffic_bytes_per_month: null,
    created_at: now,
    last_login_at: null,
    login_epoch: '',
    ...said,
    version: 1,
  };
}

export interface UserFilter extends PageRequest {
  readonly groupId?: string | undefined;
  readonly role?: string | undefined;
  readonly disabled?: boolean | undefined;
}

/** By name. */
export async function listUsers(
  db: Kysely<Database>,
  { limit, after, search, groupId, role, disabled }: UserFilter,
): Promise<{ items: UserRow[]; next: string | null }> {
  let query = db.selectFrom('user').selectAll();
  if (role !== undefined) query = query.where('role', '=', role);
  if (disabled !== undefined) query = query.where('disabled', '=', disabled ? 1 : 0);
  if (groupId !== undefined && groupId !== 'everyone') {
    query = query.where((eb) =>
      eb.exists(
        eb
          .selectFrom('group_member')
          .select('user_id')
          .where('group_id', '=', groupId)
          .whereRef('group_member.user_id', '=', 'user.id'),
      ),
    );
  }
  if (search !== undefined) {
    query = query.where((eb) =>
      eb.or([holds(eb.ref('name'), search), holds(eb.ref('display_name'), search), holds(eb.ref('email'), search)]),
    );
  }
  const cursor = cursorOf(after);
  if (cursor !== undefined) query = query.where((eb) => afterCursor(eb.ref('name'), eb.ref('id'), cursor));
  const rows = await query
    .orderBy('name')
    .orderBy('id')
    .limit(limit + 1)
    .execute();
  return pageOf(rows, limit);
}

/** By id, else by name. Throws the ApiError `notFound`. */
export async function getUser(db: Kysely<Database>, reference: string): Promise<UserRow> {
  const row =
    (await db.selectFrom('user').selectAll().where('id', '=', reference).executeTakeFirst()) ??
    (await findUserByName(db, reference));
  if (row === undefined) throw new ApiError('notFound', 'There is no such user.');
  return row;
}

export async function findUserByName(db: Kysely<Database>, name: string): Promise<UserRow | undefined> {
  return db.selectFrom('user').selectAll().where('name', '=', name).executeTakeFirst();
}

/** The groups of each user, `everyone` not among them. */
export async function groupsOfUsers(
  db: Kysely<Database>,
  userIds: readonly string[],
): Promise<ReadonlyMap<string, string[]>> {
  const groups = new Map<string, string[]>(userIds.map((id) => [id, []]));
  if (userIds.length === 0) return groups;
  const rows = await db
    .selectFrom('group_member')
    .selectAll()
    .where('user_id', 'in', userIds)
    .orderBy('group_id')
    .execute();
  for (const row of rows) groups.get(row.user_id)?.push(row.group_id);
  return groups;
}

/** The names of the SCIM clients that keep users, by the users' ids. */
async function keepersOfUsers(db: Kysely<Database>, userIds: readonly string[]): Promise<ReadonlyMap<string, string>> {
  if (userIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('scim_user')
    .innerJoin('scim_client', 'scim_client.id', 'scim_user.client_id')
    .select(['scim_user.user_id', 'scim_client.name'])
    .where('scim_user.user_id', 'in', userIds)
    .execute();
  return new Map(rows.map((row) => [row.user_id, row.name]));
}

/** Users as the API answers them. */
export async function describeUsers(
  db: Kysely<Database>,
  model: AccessModel,
  rows: readonly UserRow[],
): Promise<User[]> {
  const ids = rows.map(({ id }) => id);
  const groups = await groupsOfUsers(db, ids);
  const secured = await usersWithSecondFactor(db, ids);
  const keepers = await keepersOfUsers(db, ids);
  return rows.map((row) => ({
    ...describeUserRow(row, groups.get(row.id) ?? []),
    hasSecondFactor: secured.has(row.id),
    managedBy: keepers.get(row.id) ?? null,
    trafficBytesThisMonth: model.users.get(row.id)?.trafficBytesThisMonth ?? 0,
    createdAt: timeText(row.created_at),
    lastLoginAt: row.last_login_at === null ? null : timeText(row.last_login_at),
  }));
}

export async function describeUser(db: Kysely<Database>, model: AccessModel, row: UserRow): Promise<User> {
  return (await describeUsers(db, model, [row]))[0];
}

/** What of a user administrators set: for the audit log. */
export function describeUserRow(row: UserRow, groups: readonly string[]) {
  return {
    id: row.id,
    name: row.name,
    displayName: row.display_name,
    email: row.email,
    role: row.role as User['role'],
    disabled: row.disabled === 1,
    expiresAt: row.expires_at === null ? null : timeText(row.expires_at),
    groups: [...groups],
    devicesPerUser: row.devices_per_user,
    bitsPerSecond: row.bits_per_second,
    trafficBytesPerMonth: row.traffic_bytes_per_month,
    version: row.version,
  };
}

/** Whether somebody is left who can administer the service at any time: enabled, with a password, without an end. */
export async function hasAdministrator(db: Kysely<Database>): Promise<boolean> {
  const row = await db
    .selectFrom('user')
    .select('id')
    .where('role', '=', 'administrator')
    .where('disabled', '=', 0)
    .where('password_hash', 'is not', null)
    .where('expires_at', 'is', null)
    .limit(1)
    .executeTakeFirst();
  return row !== undefined;
}

/** Puts a user into exactly these groups. */
export async function setGroups(db: Kysely<Database>, userId: string, groupIds: readonly string[]): Promise<void> {
  await db.deleteFrom('group_member').where('user_id', '=', userId).execute();
  // Who was taken out and comes back later did not come back by a provider's claims.
  let claims = db.deleteFrom('claimed_membership').where('user_id', '=', userId);
  if (groupIds.length > 0) claims = claims.where('group_id', 'not in', groupIds);
  await claims.execute();
  const rows = [...new Set(groupIds)].map((groupId) => ({ group_id: groupId, user_id: userId }));
  if (rows.length > 0) await db.insertInto('group_member').values(rows).execute();
}

export function timeText(time: number): string {
  return new Date(time).toISOString();
}
