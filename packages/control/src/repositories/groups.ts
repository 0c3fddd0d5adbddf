import type { Group } from '@sallyport/api';
import { EVERYONE } from '@sallyport/policy';
import type { Kysely, Selectable } from 'kysely';
import { ApiError } from '../http/api-error.ts';
import type { Database, GroupTable } from '../store/schema.ts';
import { cursorOf, pageOf } from './pages.ts';
import { afterCursor, holds, type PageRequest } from './search.ts';

export type GroupRow = Selectable<GroupTable>;

/** By name. */
export async function listGroups(
  db: Kysely<Database>,
  { limit, after, search }: PageRequest,
): Promise<{ items: GroupRow[]; next: string | null }> {
  let query = db.selectFrom('group').selectAll();
  if (search !== undefined) {
    query = query.where((eb) => eb.or([holds(eb.ref('name'), search), holds(eb.ref('description'), search)]));
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
export async function getGroup(db: Kysely<Database>, reference: string): Promise<GroupRow> {
  const row =
    (await db.selectFrom('group').selectAll().where('id', '=', reference).executeTakeFirst()) ??
    (await db.selectFrom('group').selectAll().where('name', '=', reference).executeTakeFirst());
  if (row === undefined) throw new ApiError('notFound', 'There is no such group.');
  return row;
}

/** The ids of groups that are given by id or name; {@link EVERYONE} is refused. Throws an ApiError that names all faults. */
export async function resolveGroups(
  db: Kysely<Database>,
  references: readonly string[],
  at: string,
): Promise<string[]> {
  const faults: { at: string; message: string }[] = [];
  const ids: string[] = [];
  for (const [index, reference] of references.entries()) {
    const fault = (message: string): unknown => faults.push({ at: `${at}/${index}`, message });
    try {
      const { id } = await getGroup(db, reference);
      if (id === EVERYONE) fault('everybody is in the group "everyone" already; leave it out');
      else ids.push(id);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      fault('there is no such group');
    }
  }
  if (faults.length === 0) return ids;
  throw new ApiError('invalidRequest', `The request is faulty: ${faults[0].at}: ${faults[0].message}.`, {
    faults: faults.slice(0, 50),
  });
}

/** Groups as the API answers them. */
export async function describeGroups(db: Kysely<Database>, rows: readonly GroupRow[]): Promise<Group[]> {
  if (rows.length === 0) return [];
  const counts = await db
    .selectFrom('group_member')
    .select(['group_id', ({ fn }) => fn.countAll().as('members')])
    .where(
      'group_id',
      'in',
      rows.map(({ id }) => id),
    )
    .groupBy('group_id')
    .execute();
  const members = new Map(counts.map((row) => [row.group_id, Number(row.members)]));
  if (rows.some(({ id }) => id === EVERYONE)) members.set(EVERYONE, await countUsers(db));
  const kept = await db
    .selectFrom('scim_group')
    .innerJoin('scim_client', 'scim_client.id', 'scim_group.client_id')
    .select(['scim_group.group_id', 'scim_client.name'])
    .where(
      'scim_group.group_id',
      'in',
      rows.map(({ id }) => id),
    )
    .execute();
  const keepers = new Map(kept.map((row) => [row.group_id, row.name]));
  return rows.map((row) => ({
    ...describeGroupRow(row),
    memberCount: members.get(row.id) ?? 0,
    managedBy: keepers.get(row.id) ?? null,
  }));
}

export async function describeGroup(db: Kysely<Database>, row: GroupRow): Promise<Group> {
  return (await describeGroups(db, [row]))[0];
}

/** What of a group administrators set: for the audit log. */
export function describeGroupRow(row: GroupRow) {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    requireDeviceApproval: row.require_device_approval === 1,
    requireSecondFactor: row.require_second_factor === 1,
    requireKillSwitch: row.require_kill_switch === 1,
    requireRegionId: row.require_region_id,
    requireGatewayId: row.require_gateway_id,
    sessionLifetimeSeconds: row.session_lifetime_seconds,
    devicesPerUser: row.devices_per_user,
    bitsPerSecond: row.bits_per_second,
    trafficBytesPerMonth: row.traffic_bytes_per_month,
    version: row.version,
  };
}

/** The names of the rules and gateways that use a group. */
export async function usersOfGroup(db: Kysely<Database>, groupId: string): Promise<string[]> {
  const rules = await db.selectFrom('rule').select(['name', 'groups']).execute();
  const gateways = await db.selectFrom('gateway').select(['name', 'egress']).execute();
  return [
    ...rules
      .filter(({ groups }) => (JSON.parse(groups) as string[]).includes(groupId))
      .map(({ name }) => `the rule ${name}`),
    ...gateways
      .filter(({ egress }) => (JSON.parse(egress) as { groupId: string | null }[]).some((e) => e.groupId === groupId))
      .map(({ name }) => `the gateway ${name}`),
  ];
}

/** Refuses to remove what a group requires: without it its members would connect nowhere, or anywhere. */
export async function refuseRequired(
  db: Kysely<Database>,
  column: 'require_region_id' | 'require_gateway_id',
  id: string,
): Promise<void> {
  const groups = await db.selectFrom('group').select('name').where(column, '=', id).orderBy('name').execute();
  if (groups.length === 0) return;
  const names = groups.slice(0, 10).map(({ name }) => name);
  throw new ApiError(
    'stillUsed',
    `It is required by the group${groups.length === 1 ? '' : 's'} ${names.join(', ')}: let them require something else first.`,
  );
}

async function countUsers(db: Kysely<Database>): Promise<number> {
  const { count } = await db
    .selectFrom('user')
    .select(({ fn }) => fn.countAll().as('count'))
    .executeTakeFirstOrThrow();
  return Number(count);
}
