/** What gateways said of themselves and of devices, written by the control node that they are connected to. */
import type { Gateway } from '@sallyport/api';
import type { Report } from '@sallyport/link';
import type { Kysely, Selectable, Transaction } from 'kysely';
import type { Database, GatewayStatusTable } from '../store/schema.ts';

const CHUNK = 500;
/** A gateway without a report for this long is unreachable. */
export const REPORT_OVERDUE_MS = 15_000;

export interface GatewayStatus {
  readonly health: Gateway['health'];
  readonly problems: readonly string[];
  readonly load: Gateway['load'];
  readonly latencyMs: number | null;
  readonly lastSeenAt: number | null;
  readonly software: string;
  readonly stateVersion: number;
  readonly appliedVersion: number;
}

/** With what is counted of it. */
export interface CountedStatus extends GatewayStatus {
  /** Handshakes of devices since it joined. */
  readonly handshakes: number;
}

export const NEVER_CONNECTED: GatewayStatus = {
  health: 'neverConnected',
  problems: [],
  load: null,
  latencyMs: null,
  lastSeenAt: null,
  software: '',
  stateVersion: 0,
  appliedVersion: 0,
};

/** How gateways fare now, by id; those that never connected are not in it. */
export async function gatewayStatuses(
  db: Kysely<Database>,
  now: number,
  ids?: readonly string[],
): Promise<ReadonlyMap<string, GatewayStatus>> {
  if (ids?.length === 0) return new Map();
  let query = db.selectFrom('gateway_status').selectAll();
  if (ids !== undefined) query = query.where('gateway_id', 'in', ids);
  return new Map((await query.execute()).map((row) => [row.gateway_id, statusOf(row, now)]));
}

/** {@link gatewayStatuses} of all gateways, with their counters. */
export async function countedStatuses(db: Kysely<Database>, now: number): Promise<ReadonlyMap<string, CountedStatus>> {
  const rows = await db.selectFrom('gateway_status').selectAll().execute();
  return new Map(rows.map((row) => [row.gateway_id, { ...statusOf(row, now), handshakes: row.handshakes }]));
}

function statusOf(row: Selectable<GatewayStatusTable>, now: number): GatewayStatus {
  const reachable = row.connected === 1 && now - row.last_seen_at <= REPORT_OVERDUE_MS;
  return {
    health: reachable ? (row.health as 'healthy' | 'degraded') : 'unreachable',
    problems: JSON.parse(row.problems) as string[],
    load: row.load === null ? null : (JSON.parse(row.load) as Gateway['load']),
    latencyMs: row.latency_ms,
    lastSeenAt: row.last_seen_at,
    software: row.software,
    stateVersion: row.state_version,
    appliedVersion: row.applied_version,
  };
}

/** What was known of a gateway before it connected to this node. */
export type EarlierStatus = Pick<
  GatewayStatusTable,
  'node' | 'state_version' | 'applied_version' | 'applied_digest' | 'report_number' | 'last_seen_at'
>;

/** Makes this node the one that the gateway is connected to, and answers with what was known before. */
export function takeOver(
  db: Kysely<Database>,
  gatewayId: string,
  node: string,
  software: string,
  now: number,
): Promise<EarlierStatus | undefined> {
  return db.transaction().execute(async (transaction) => {
    const fresh = { node, connected: 1, software, last_seen_at: now };
    // First the writing, which locks the row: a node that the gateway leaves may be storing its last report.
    const { numUpdatedRows } = await transaction
      .updateTable('gateway_status')
      .set({ connected: 1, software })
      .where('gateway_id', '=', gatewayId)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) {
      await transaction
        .insertInto('gateway_status')
        .values({
          gateway_id: gatewayId,
          health: 'healthy',
          problems: '[]',
          load: null,
          latency_ms: null,
          state_version: 0,
          applied_version: 0,
          applied_digest: '',
          report_number: 0,
          ...fresh,
        })
        .execute();
      return undefined;
    }
    const earlier = await transaction
      .selectFrom('gateway_status')
      .select(['node', 'state_version', 'applied_version', 'applied_digest', 'report_number', 'last_seen_at'])
      .where('gateway_id', '=', gatewayId)
      .executeTakeFirstOrThrow();
    await transaction.updateTable('gateway_status').set(fresh).where('gateway_id', '=', gatewayId).execute();
    return earlier;
  });
}

export interface StatusUpdate {
  readonly gatewayId: string;
  readonly connected: boolean;
  readonly report: Pick<Report, 'health' | 'problems' | 'load'> | undefined;
  readonly latencyMs: number | undefined;
  /** Undefined where nothing came since the last update. */
  readonly lastSeenAt: number | undefined;
  readonly stateVersion: number;
  readonly appliedVersion: number;
  /** Where the state that it has was digested since the last update. */
  readonly digested: { readonly version: number; readonly digest: string } | undefined;
  readonly reportNumber: number | undefined;
}

/** The number of the last report of a gateway that is stored, which stays so until the transaction ends; 0 for none. */
export async function storedReport(db: Transaction<Database>, gatewayId: string): Promise<number> {
  // The writing locks the row: a commit that nobody heard of may still be under way.
  const row = await db
    .updateTable('gateway_status')
    .set((eb) => ({ report_number: eb.ref('report_number') }))
    .where('gateway_id', '=', gatewayId)
    .returning('report_number')
    .executeTakeFirst();
  return row?.report_number ?? 0;
}

/** False where the gateway is connected to another node by now, or gone. */
export async function updateStatus(db: Transaction<Database>, node: string, update: StatusUpdate): Promise<boolean> {
  const { report, latencyMs, digested, reportNumber } = update;
  const { numUpdatedRows } = await db
    .updateTable('gateway_status')
    .set({
      connected: update.connected ? 1 : 0,
      ...(update.lastSeenAt === undefined ? {} : { last_seen_at: update.lastSeenAt }),
      state_version: update.stateVersion,
      applied_version: update.appliedVersion,
      ...(digested === undefined ? {} : { applied_digest: `${digested.version}:${digested.digest}` }),
      ...(report === undefined
        ? {}
        : { health: report.health, problems: JSON.stringify(report.problems), load: JSON.stringify(report.load) }),
      ...(latencyMs === undefined ? {} : { latency_ms: Math.round(latencyMs * 100) / 100 }),
      ...(reportNumber === undefined ? {} : { report_number: reportNumber }),
    })
    .where('gateway_id', '=', update.gatewayId)
    .where('node', '=', node)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export interface Handshake {
  readonly deviceId: string;
  readonly gatewayId: string;
  readonly at: number;
}

/** Keeps the latest of each device, and counts those that are new at each gateway of this node. */
export async function updateHandshakes(
  db: Transaction<Database>,
  node: string,
  handshakes: readonly Handshake[],
): Promise<void> {
  const counts = new Map<string, number>();
  for (let at = 0; at < handshakes.length; at += CHUNK) {
    const rows = await db
      .insertInto('device_status')
      .values(
        handshakes
          .slice(at, at + CHUNK)
          .map((one) => ({ device_id: one.deviceId, gateway_id: one.gatewayId, last_handshake_at: one.at })),
      )
      .onConflict((conflict) =>
        conflict
          .column('device_id')
          .doUpdateSet((eb) => ({
            gateway_id: eb.ref('excluded.gateway_id'),
            last_handshake_at: eb.ref('excluded.last_handshake_at'),
          }))
          .whereRef('device_status.last_handshake_at', '<', 'excluded.last_handshake_at'),
      )
      .returning('gateway_id')
      .execute();
    for (const { gateway_id: id } of rows) counts.set(id, (counts.get(id) ?? 0) + 1);
  }
  for (const [gatewayId, count] of [...counts].sort(([a], [b]) => (a < b ? -1 : 1))) {
    await db
      .updateTable('gateway_status')
      .set((eb) => ({ handshakes: eb('handshakes', '+', count) }))
      .where('gateway_id', '=', gatewayId)
      .where('node', '=', node)
      .execute();
  }
}

/** The devices whose last handshake was at this gateway, since a time. */
export async function devicesSeenAt(
  db: Kysely<Database>,
  gatewayId: string,
  since: number,
): Promise<readonly { readonly deviceId: string; readonly at: number }[]> {
  const rows = await db
    .selectFrom('device_status')
    .select(['device_id', 'last_handshake_at'])
    .where('gateway_id', '=', gatewayId)
    .where('last_handshake_at', '>', since)
    .execute();
  return rows.map((row) => ({ deviceId: row.device_id, at: row.last_handshake_at }));
}

/** How many devices had a handshake since a time. */
export async function countDevicesSeen(db: Kysely<Database>, since: number): Promise<number> {
  const row = await db
    .selectFrom('device_status')
    .select(({ fn }) => fn.countAll().as('count'))
    .where('last_handshake_at', '>', since)
    .executeTakeFirst();
  return Number(row?.count ?? 0);
}
