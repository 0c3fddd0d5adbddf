import type { EgressAddress, Gateway, JoinToken } from '@sallyport/api';
import { EVERYONE } from '@sallyport/policy';
import type { Kysely, Selectable } from 'kysely';
import type { Database, GatewayTable, JoinTokenTable } from '../store/schema.ts';
import type { Writing } from '../store/store.ts';
import { pageOfAll, type ListQuery } from './small-list.ts';
import { gatewayStatuses, NEVER_CONNECTED, type GatewayStatus } from './status.ts';

/** What can be changed of a gateway. */
export type GatewayValue = Pick<
  Gateway,
  | 'name'
  | 'regionId'
  | 'country'
  | 'city'
  | 'latitude'
  | 'longitude'
  | 'endpointHost'
  | 'endpointPort'
  | 'egress'
  | 'draining'
>;

function gatewayOf(row: Selectable<GatewayTable>, status: GatewayStatus = NEVER_CONNECTED): Gateway {
  return {
    id: row.id,
    ...valueOf(row),
    wireguardPublicKey: row.wireguard_public_key,
    addresses: JSON.parse(row.addresses) as string[],
    transports: transportsOf(row),
    ...status,
    problems: [...status.problems],
    lastSeenAt: status.lastSeenAt === null ? null : new Date(status.lastSeenAt).toISOString(),
    version: row.version,
  };
}

/** Where the gateway names no host for its tunnel over TLS, that of its endpoint counts. */
function transportsOf(row: Selectable<GatewayTable>): Gateway['transports'] {
  // A row from before OpenVPN lacks that.
  const stored = JSON.parse(row.transports) as Omit<Gateway['transports'], 'openvpn'> & Partial<Gateway['transports']>;
  const { amneziawg, tls, openvpn = null } = stored;
  const host = tls === null || tls.host !== '' ? tls?.host : row.endpoint_host;
  return { amneziawg, tls: tls === null || host === undefined || host === '' ? null : { ...tls, host }, openvpn };
}

function valueOf(row: Selectable<GatewayTable>): GatewayValue {
  return {
    name: row.name,
    regionId: row.region_id,
    country: row.country,
    city: row.city,
    latitude: row.latitude,
    longitude: row.longitude,
    endpointHost: row.endpoint_host,
    endpointPort: row.endpoint_port,
    egress: JSON.parse(row.egress) as Gateway['egress'],
    draining: row.draining === 1,
  };
}

/** By name. */
export async function listGateways(
  db: Kysely<Database>,
  { regionId, ...list }: ListQuery & { readonly regionId?: string | undefined },
  now: number,
): Promise<{ items: Gateway[]; next: string | null }> {
  let query = db.selectFrom('gateway').selectAll();
  if (regionId !== undefined) query = query.where('region_id', '=', regionId);
  const { items, next } = pageOfAll(
    await query.execute(),
    list,
    ({ name }) => name,
    (row) => [row.name, row.city, row.endpoint_host, row.region_id],
  );
  const statuses = await gatewayStatuses(
    db,
    now,
    items.map(({ id }) => id),
  );
  return { items: items.map((row) => gatewayOf(row, statuses.get(row.id))), next };
}

export async function allGateways(db: Kysely<Database>, now: number): Promise<Gateway[]> {
  const rows = await db.selectFrom('gateway').selectAll().orderBy('name').execute();
  const statuses = await gatewayStatuses(db, now);
  return rows.map((row) => gatewayOf(row, statuses.get(row.id)));
}

/** By id or name. */
export async function findGateway(db: Kysely<Database>, reference: string, now: number): Promise<Gateway | undefined> {
  const row =
    (await db.selectFrom('gateway').selectAll().where('id', '=', reference).executeTakeFirst()) ??
    (await db.selectFrom('gateway').selectAll().where('name', '=', reference).executeTakeFirst());
  return row && gatewayOf(row, (await gatewayStatuses(db, now, [row.id])).get(row.id));
}

export function gatewayValue({
  name,
  regionId,
  country,
  city,
  latitude,
  longitude,
  endpointHost,
  endpointPort,
  egress,
  draining,
}: Gateway): GatewayValue {
  return { name, regionId, country, city, latitude, longitude, endpointHost, endpointPort, egress, draining };
}

export async function updateGateway(writing: Writing, before: Gateway, value: GatewayValue): Promise<Gateway> {
  await writing.db
    .updateTable('gateway')
    .set({
      name: value.name,
      region_id: value.regionId,
      country: value.country,
      city: value.city,
      latitude: value.latitude,
      longitude: value.longitude,
      endpoint_host: value.endpointHost,
      endpoint_port: value.endpointPort,
      egress: JSON.stringify(value.egress),
      draining: value.draining ? 1 : 0,
      version: before.version + 1,
    })
    .where('id', '=', before.id)
    .execute();
  await writing.audit('gateway.update', targetOf(before), gatewayValue(before), value);
  writing.changed('gateway', before.id);
  return { ...before, ...value, version: before.version + 1 };
}

export async function deleteGateway(writing: Writing, gateway: Gateway): Promise<void> {
  await writing.db.deleteFrom('gateway').where('id', '=', gateway.id).execute();
  await writing.audit('gateway.delete', targetOf(gateway), gatewayValue(gateway));
  writing.changed('gateway', gateway.id);
}

function targetOf({ id, name }: Gateway) {
  return { kind: 'gateway', id, name };
}

function joinTokenOf(row: Selectable<JoinTokenTable>): JoinToken {
  return {
    id: row.id,
    regionId: row.region_id,
    createdAt: new Date(row.created_at).toISOString(),
    expiresAt: new Date(row.expires_at).toISOString(),
    usedAt: row.used_at === null ? null : new Date(row.used_at).toISOString(),
  };
}

/** The latest first. */
export async function listJoinTokens(db: Kysely<Database>, query: ListQuery) {
  const rows = await db.selectFrom('join_token').selectAll().execute();
  // Times of sixteen digits, taken from the greatest, stand in the opposite order.
  const keyOf = (row: JoinTokenTable): string => `${String(10 ** 15 - row.created_at)} ${row.id}`;
  const { items, next } = pageOfAll(rows, query, keyOf, ({ id, region_id }) => [id, region_id]);
  return { items: items.map(joinTokenOf), next };
}

export async function insertJoinToken(writing: Writing, row: Omit<JoinTokenTable, 'used_at'>): Promise<JoinToken> {
  const token = { ...row, used_at: null };
  await writing.db.insertInto('join_token').values(token).execute();
  const { id, regionId, expiresAt } = joinTokenOf(token);
  await writing.audit('joinToken.create', { kind: 'joinToken', id, name: '' }, undefined, { regionId, expiresAt });
  return joinTokenOf(token);
}

/** False where there is none. */
export async function deleteJoinToken(writing: Writing, id: string): Promise<boolean> {
  const { numDeletedRows } = await writing.db.deleteFrom('join_token').where('id', '=', id).executeTakeFirst();
  if (numDeletedRows === 0n) return false;
  await writing.audit('joinToken.revoke', { kind: 'joinToken', id, name: '' });
  return true;
}

export interface EgressFilter {
  /** The id of a group: only what its members leave with. */
  readonly groupId?: string | undefined;
  readonly gatewayId?: string | undefined;
}

/** The addresses that traffic leaves the gateways with, by gateway and in the order in which they are chosen from. */
export async function egressAddresses(
  db: Kysely<Database>,
  { groupId, gatewayId }: EgressFilter,
): Promise<EgressAddress[]> {
  let query = db.selectFrom('gateway').select(['id', 'name', 'region_id', 'egress']).orderBy('name');
  if (gatewayId !== undefined) query = query.where('id', '=', gatewayId);
  const groups = new Map(
    (await db.selectFrom('group').select(['id', 'name']).execute()).map(({ id, name }) => [id, name]),
  );
  const addresses: EgressAddress[] = [];
  for (const row of await query.execute()) {
    const entries = JSON.parse(row.egress) as Gateway['egress'];
    const end = entries.findIndex(({ groupId: group }) => group === null || group === EVERYONE);
    // What comes after the entry for everybody is never chosen; where there is none, the system picks for the rest.
    const chosen = end >= 0 ? entries.slice(0, end + 1) : [...entries, { groupId: null, ipv4: null, ipv6: null }];
    const wanted =
      groupId === undefined ? chosen : [chosen.find(({ groupId: group }) => group === groupId) ?? chosen.at(-1)!];
    for (const { groupId: group, ipv4, ipv6 } of wanted) {
      addresses.push({
        gatewayId: row.id,
        gatewayName: row.name,
        regionId: row.region_id,
        groupId: group,
        groupName: group === null ? null : (groups.get(group) ?? null),
        ipv4,
        ipv6,
      });
    }
  }
  return addresses;
}

/** The addresses alone, each once. */
export function plainAddresses(addresses: readonly EgressAddress[]): string[] {
  return [...new Set(addresses.flatMap(({ ipv4, ipv6 }) => [ipv4, ipv6]).filter((address) => address !== null))].sort();
}
