import type { Device } from '@sallyport/api';
import { standingOf, type AccessModel, type Standing } from '@sallyport/policy';
import type { Expression, ExpressionBuilder, Kysely, Selectable, SqlBool } from 'kysely';
import { deviceModel, networksOf } from '../directory/rows.ts';
import { openVpnDevice } from '../openvpn/stored.ts';
import type { Database, DeviceTable } from '../store/schema.ts';
import { cursorOf, pageOf, type Cursor } from './pages.ts';
import { afterCursor, begins, holds, type PageRequest } from './search.ts';
import { bytesOf, sumOf } from './usage.ts';

/** A device's own row, and what else there is to know of it. */
export interface DeviceRow extends Selectable<DeviceTable> {
  readonly user_name: string;
  readonly gateway_id: string | null;
  readonly last_handshake_at: number | null;
}

export interface DeviceFilter extends PageRequest {
  readonly userId?: string | undefined;
  readonly approved?: boolean | undefined;
  /** Those with networks behind them, or with such as wait for approval. */
  readonly networks?: 'waiting' | 'any' | undefined;
  /** Of the last handshake. */
  readonly gatewayId?: string | undefined;
}

/** Rows that are read at once to find those of a standing, which no table holds. */
const CHUNK = 1000;
/** In the JSON of a device's networks. */
const WAITING_NETWORK = '%"approved":false%';
/** Shorter parts of a key are in too many. */
const MIN_KEY_PART = 6;

function deviceQuery(db: Kysely<Database>) {
  return db
    .selectFrom('device')
    .innerJoin('user', 'user.id', 'device.user_id')
    .leftJoin('device_status', 'device_status.device_id', 'device.id')
    .selectAll('device')
    .select(['user.name as user_name', 'device_status.gateway_id', 'device_status.last_handshake_at']);
}

/** By name. */
export async function listDevices(
  db: Kysely<Database>,
  filter: DeviceFilter,
): Promise<{ items: DeviceRow[]; next: string | null }> {
  return pageOf(await devicesAfter(db, filter, cursorOf(filter.after), filter.limit + 1), filter.limit);
}

/** {@link listDevices} of those that have a standing now. */
export async function listDevicesOfStanding(
  db: Kysely<Database>,
  filter: DeviceFilter,
  standing: Standing,
  model: AccessModel,
  now: number,
): Promise<{ items: DeviceRow[]; next: string | null }> {
  const found: DeviceRow[] = [];
  for (let cursor = cursorOf(filter.after); found.length <= filter.limit;) {
    const rows = await devicesAfter(db, filter, cursor, CHUNK);
    found.push(...rows.filter((row) => standingOf(model, deviceModel(row), now).standing === standing));
    cursor = rows.at(-1);
    if (rows.length < CHUNK) break;
  }
  return pageOf(found, filter.limit);
}

async function devicesAfter(
  db: Kysely<Database>,
  { search, userId, approved, networks, gatewayId }: DeviceFilter,
  cursor: Cursor | undefined,
  limit: number,
): Promise<DeviceRow[]> {
  // No text holds a NUL, which PostgreSQL doesn't take.
  if (search?.includes('\0') === true) return [];
  let query = deviceQuery(db);
  if (userId !== undefined) query = query.where('device.user_id', '=', userId);
  if (approved !== undefined) query = query.where('device.approved', '=', approved ? 1 : 0);
  if (networks === 'any') query = query.where('device.networks', '<>', '[]');
  if (networks === 'waiting') query = query.where('device.networks', 'like', WAITING_NETWORK);
  if (gatewayId !== undefined) query = query.where('device_status.gateway_id', '=', gatewayId);
  if (search !== undefined) query = query.where((eb) => eb.or(searched(eb, search)));
  if (cursor !== undefined) {
    query = query.where((eb) => afterCursor(eb.ref('device.name'), eb.ref('device.id'), cursor));
  }
  return await query.orderBy('device.name').orderBy('device.id').limit(limit).execute();
}

/** Names and what looks like an address in part, and how a key begins. */
function searched(eb: ExpressionBuilder<Database, 'device' | 'user'>, search: string): Expression<SqlBool>[] {
  const found = [holds(eb.ref('device.name'), search), holds(eb.ref('user.name'), search)];
  if (/^[\da-f]*[.:][\da-f.:]*$/i.test(search)) {
    found.push(holds(eb.ref('device.ipv4'), search), holds(eb.ref('device.ipv6'), search));
  }
  if (search.length >= MIN_KEY_PART) found.push(begins(eb.ref('device.public_key'), search));
  return found;
}

/** By id; of a certain user's, also by name. */
export async function findDevice(
  db: Kysely<Database>,
  reference: string,
  userId?: string,
): Promise<DeviceRow | undefined> {
  const query = deviceQuery(db);
  if (userId === undefined) return await query.where('device.id', '=', reference).executeTakeFirst();
  const own = query.where('device.user_id', '=', userId);
  return (
    (await own.where('device.id', '=', reference).executeTakeFirst()) ??
    (await own.where('device.name', '=', reference).executeTakeFirst())
  );
}

export async function countDevices(db: Kysely<Database>, userId: string): Promise<number> {
  const { count } = await db
    .selectFrom('device')
    .select(({ fn }) => fn.countAll().as('count'))
    .where('user_id', '=', userId)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** How many devices offer a network that no administrator has approved. */
export async function countDevicesWithWaitingNetworks(db: Kysely<Database>): Promise<number> {
  const { count } = await db
    .selectFrom('device')
    .select(({ fn }) => fn.countAll().as('count'))
    .where('networks', 'like', WAITING_NETWORK)
    .executeTakeFirstOrThrow();
  return Number(count);
}

/** Whether a key is a device's or a gateway's already. */
export async function isKeyUsed(db: Kysely<Database>, publicKey: string): Promise<boolean> {
  const [device, gateway] = [
    await db.selectFrom('device').select('id').where('public_key', '=', publicKey).executeTakeFirst(),
    await db.selectFrom('gateway').select('id').where('wireguard_public_key', '=', publicKey).executeTakeFirst(),
  ];
  return device !== undefined || gateway !== undefined;
}

/** What devices sent and received since the first of the month (UTC), in bytes. */
export async function trafficThisMonth(
  db: Kysely<Database>,
  deviceIds: readonly string[],
  now: number,
): Promise<ReadonlyMap<string, number>> {
  if (deviceIds.length === 0) return new Map();
  const rows = await db
    .selectFrom('usage')
    .select(['device_id', sumOf('sent_bytes').as('sent'), sumOf('received_bytes').as('received')])
    .where('device_id', 'in', deviceIds)
    .where('day', '>=', `${new Date(now).toISOString().slice(0, 7)}-01`)
    .groupBy('device_id')
    .execute();
  return new Map(rows.map((row) => [row.device_id, bytesOf(row.sent, row.received)]));
}

/** Devices as the API answers them. */
export async function describeDevices(
  db: Kysely<Database>,
  model: AccessModel,
  rows: readonly DeviceRow[],
  now: number,
): Promise<Device[]> {
  const traffic = await trafficThisMonth(
    db,
    rows.map(({ id }) => id),
    now,
  );
  return rows.map((row) => {
    const { standing, validUntil } = standingOf(model, deviceModel(row), now);
    return {
      ...describeRow(row),
      userName: row.user_name,
      standing,
      message: messageOf(standing, validUntil),
      lastHandshakeAt: row.last_handshake_at === null ? null : timeText(row.last_handshake_at),
      gatewayId: row.gateway_id,
      trafficBytesThisMonth: traffic.get(row.id) ?? 0,
    };
  });
}

/** What of a device is stored by those who change it: for the audit log. */
export function describeRow(row: Selectable<DeviceTable>) {
  const openvpn = openVpnDevice(row);
  const certificate = openvpn?.certificate ?? null;
  return {
    id: row.id,
    userId: row.user_id,
    name: row.name,
    protocol: openvpn === null ? ('wireguard' as const) : ('openvpn' as const),
    publicKey: openvpn === null ? row.public_key : null,
    openvpn:
      openvpn === null
        ? null
        : {
            login: openvpn.login,
            certificateExpiresAt: certificate === null ? null : timeText(certificate.expiresAt),
          },
    ipv4: row.ipv4,
    ipv6: row.ipv6,
    approved: row.approved === 1,
    expiresAt: row.expires_at === null ? null : timeText(row.expires_at),
    bitsPerSecond: row.bits_per_second,
    networks: networksOf(row),
    createdAt: timeText(row.created_at),
    version: row.version,
  };
}

const MESSAGES: Record<Exclude<Standing, 'active'>, string> = {
  awaitingApproval: 'An administrator must approve this device before it can connect.',
  userDisabled: 'The account is disabled: ask an administrator.',
  userExpired: 'The account has expired: ask an administrator to extend it.',
  deviceExpired: 'The device has expired: ask an administrator to extend it.',
  certificateExpired: "The device's certificate has expired: make a new one, and take the new profile.",
  loginRequired: 'The login is too old: log in again, and the device connects by itself.',
  trafficUsedUp:
    "This month's traffic is used up: the device connects again on the first of the next month (UTC), or when an administrator raises the limit.",
};

export function messageOf(standing: Standing, validUntil: number | undefined): string {
  if (standing !== 'active') return MESSAGES[standing];
  return validUntil === undefined ? 'May connect.' : `May connect until ${timeText(validUntil)}.`;
}

function timeText(time: number): string {
  return new Date(time).toISOString();
}
