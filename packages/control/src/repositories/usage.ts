/** Traffic of devices by UTC day, and what a user's devices sent and received in a month. */
import type { UsageDay } from '@sallyport/api';
import { sql, type Kysely, type RawBuilder, type Transaction } from 'kysely';
import type { Database } from '../store/schema.ts';

/** Rows in one statement: five values each, of which a statement can hold some thousands. */
const CHUNK = 500;
const DAY_MS = 86_400_000;
/** A petabyte: no device sends as much in a day. What gateways report is counted up to here. */
export const MAX_DAY_BYTES = 2 ** 50;

export interface Traffic {
  readonly deviceId: string;
  readonly userId: string;
  readonly day: string;
  readonly sentBytes: number;
  readonly receivedBytes: number;
}

/** The UTC day of a time: `2026-01-31`. */
export function dayOf(now: number): string {
  return new Date(now).toISOString().slice(0, 10);
}

/** The first day of the UTC month of a time. */
export function monthOf(now: number): string {
  return `${new Date(now).toISOString().slice(0, 7)}-01`;
}

/**
 * The sum of what was counted in a direction. As floating point, for no sum of integers may go beyond what a database or
 * this program can hold, whatever a gateway has reported: up to 2^53 it is exact. To be read with {@link bytesOf}.
 */
export function sumOf(column: 'sent_bytes' | 'received_bytes'): RawBuilder<number | null> {
  return sql<number | null>`sum(cast(${sql.ref(column)} as double precision))`;
}

export function bytesOf(...sums: readonly (number | null | undefined)[]): number {
  return Math.min(
    sums.reduce<number>((total, sum) => total + (sum ?? 0), 0),
    Number.MAX_SAFE_INTEGER,
  );
}

/** Adds to what is there, up to {@link MAX_DAY_BYTES}. */
export async function addTraffic(db: Transaction<Database>, traffic: readonly Traffic[]): Promise<void> {
  for (let at = 0; at < traffic.length; at += CHUNK) {
    await db
      .insertInto('usage')
      .values(
        traffic.slice(at, at + CHUNK).map(({ deviceId, userId, day, sentBytes, receivedBytes }) => ({
          device_id: deviceId,
          user_id: userId,
          day,
          sent_bytes: Math.min(sentBytes, MAX_DAY_BYTES),
          received_bytes: Math.min(receivedBytes, MAX_DAY_BYTES),
        })),
      )
      .onConflict((conflict) =>
        conflict
          .columns(['device_id', 'day'])
          .doUpdateSet({ sent_bytes: added('sent_bytes'), received_bytes: added('received_bytes') }),
      )
      .execute();
  }
}

function added(column: 'sent_bytes' | 'received_bytes'): RawBuilder<number> {
  const [before, more] = [sql.ref(`usage.${column}`), sql.ref(`excluded.${column}`)];
  const most = sql.lit(MAX_DAY_BYTES);
  return sql<number>`case when ${before} > ${most} - ${more} then ${most} else ${before} + ${more} end`;
}

/** What the devices of each user sent and received since the beginning of the month, for those who had any traffic. */
export async function trafficThisMonth(
  db: Kysely<Database>,
  users: readonly string[],
  now: number,
): Promise<ReadonlyMap<string, number>> {
  const totals = new Map<string, number>();
  for (let at = 0; at < users.length; at += CHUNK) {
    const rows = await db
      .selectFrom('usage')
      .select(['user_id', sumOf('sent_bytes').as('sent'), sumOf('received_bytes').as('received')])
      .where('user_id', 'in', users.slice(at, at + CHUNK))
      .where('day', '>=', monthOf(now))
      .groupBy('user_id')
      .execute();
    for (const row of rows) totals.set(row.user_id, bytesOf(row.sent, row.received));
  }
  return totals;
}

export interface UsageQuery {
  readonly userId?: string;
  readonly deviceId?: string;
  readonly from?: string | undefined;
  readonly to?: string | undefined;
}

/** By day, the oldest first; days without traffic are left out. */
export async function usageByDay(
  db: Kysely<Database>,
  { userId, deviceId, from, to }: UsageQuery,
  now: number,
): Promise<UsageDay[]> {
  let query = db
    .selectFrom('usage')
    .select(['day', sumOf('sent_bytes').as('sent'), sumOf('received_bytes').as('received')])
    .where('day', '>=', from ?? dayOf(now - 30 * DAY_MS))
    .where('day', '<=', to ?? dayOf(now));
  if (userId !== undefined) query = query.where('user_id', '=', userId);
  if (deviceId !== undefined) query = query.where('device_id', '=', deviceId);
  const rows = await query.groupBy('day').orderBy('day').execute();
  return rows.map(({ day, sent, received }) => ({ day, sentBytes: bytesOf(sent), receivedBytes: bytesOf(received) }));
}
