/** Traffic of devices by UTC day, and what a user's devices sent and received in a month. */
import type { UsageDay } from '@sallyport/api';
import type { Kysely, Transaction } from 'kysely';
import type { Database } from '../store/schema.ts';

/** Rows in one statement: five values each, of which a statement can hold some thousands. */
const CHUNK = 500;
const DAY_MS = 86_400_000;

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

/** Adds to what is there. */
export async function addTraffic(db: Transaction<Database>, traffic: readonly Traffic[]): Promise<void> {
  for (let at = 0; at < traffic.length; at += CHUNK) {
    await db
      .insertInto('usage')
      .values(
        traffic.slice(at, at + CHUNK).map(({ deviceId, userId, day, sentBytes, receivedBytes }) => ({
          device_id: deviceId,
          user_id: userId,
          day,
          sent_bytes: sentBytes,
          received_bytes: receivedBytes,
        })),
      )
      .onConflict((conflict) =>
        conflict.columns(['device_id', 'day']).doUpdateSet((eb) => ({
          sent_bytes: eb('usage.sent_bytes', '+', eb.ref('excluded.sent_bytes')),
          received_bytes: eb('usage.received_bytes', '+', eb.ref('excluded.received_bytes')),
        })),
      )
      .execute();
  }
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
      .select([
        'user_id',
        ({ fn }) => fn.sum('sent_bytes').as('sent'),
        ({ fn }) => fn.sum('received_bytes').as('received'),
      ])
      .where('user_id', 'in', users.slice(at, at + CHUNK))
      .where('day', '>=', monthOf(now))
      .groupBy('user_id')
      .execute();
    for (const row of rows) totals.set(row.user_id, Number(row.sent) + Number(row.received));
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
    .select(['day', ({ fn }) => fn.sum('sent_bytes').as('sent'), ({ fn }) => fn.sum('received_bytes').as('received')])
    .where('day', '>=', from ?? dayOf(now - 30 * DAY_MS))
    .where('day', '<=', to ?? dayOf(now));
  if (userId !== undefined) query = query.where('user_id', '=', userId);
  if (deviceId !== undefined) query = query.where('device_id', '=', deviceId);
  const rows = await query.groupBy('day').orderBy('day').execute();
  return rows.map(({ day, sent, received }) => ({ day, sentBytes: Number(sent), receivedBytes: Number(received) }));
}

/** Forgets days before the retention. Answers with the number of rows. */
export async function trimUsage(db: Kysely<Database>, retentionDays: number, now: number): Promise<number> {
  const { numDeletedRows } = await db
    .deleteFrom('usage')
    .where('day', '<', dayOf(now - retentionDays * DAY_MS))
    .executeTakeFirst();
  return Number(numDeletedRows);
}
