/** Which device has which address number of the pools, and who had those that are free. */
import { FIRST_DEVICE_NUMBER, lastDeviceNumber } from '@sallyport/policy';
import type { Kysely } from 'kysely';
import { ApiError } from '../http/api-error.ts';
import type { Database } from '../store/schema.ts';

/**
 * Chooses a number for a device: the one that its key had before, else one that nobody ever had, else the one that is free
 * the longest, so that an address changes hands as late as can be. Throws the ApiError `limitReached` where none is left.
 */
export async function chooseNumber(
  db: Kysely<Database>,
  pools: { readonly pool4: string; readonly pool6: string },
  publicKey: string,
  now: number,
): Promise<number> {
  const last = lastDeviceNumber(pools.pool4, pools.pool6);
  // A user who was removed took the devices along; their addresses count as free from when that is noticed.
  await db
    .updateTable('address')
    .set({ released_at: now })
    .where('device_id', 'is', null)
    .where('released_at', 'is', null)
    .execute();
  const number =
    (await freeNumber(db, last, publicKey)) ?? (await freshNumber(db, last)) ?? (await freeNumber(db, last));
  if (number !== undefined) return number;
  throw new ApiError(
    'limitReached',
    `Every address of the pools ${pools.pool4} and ${pools.pool6} is in use: remove devices that are no longer needed, ` +
      'or set larger pools in the configuration.',
  );
}

/** Notes that a device, which exists, has a number. */
export async function assignNumber(
  db: Kysely<Database>,
  number: number,
  device: { readonly id: string; readonly publicKey: string },
): Promise<void> {
  const row = { device_id: device.id, public_key: device.publicKey, released_at: null };
  await db
    .insertInto('address')
    .values({ number, ...row })
    .onConflict((conflict) => conflict.column('number').doUpdateSet(row))
    .execute();
}

/** Frees the number of a device, before the device is removed. */
export async function releaseNumber(db: Kysely<Database>, deviceId: string, now: number): Promise<void> {
  await db
    .updateTable('address')
    .set({ device_id: null, released_at: now })
    .where('device_id', '=', deviceId)
    .execute();
}

/** The number that a key had, or without a key that is free the longest. */
async function freeNumber(db: Kysely<Database>, last: number, publicKey?: string): Promise<number | undefined> {
  let query = db
    .selectFrom('address')
    .select('number')
    .where('device_id', 'is', null)
    .where('number', '>=', FIRST_DEVICE_NUMBER)
    .where('number', '<=', last);
  if (publicKey !== undefined) query = query.where('public_key', '=', publicKey);
  const row = await query.orderBy('released_at').orderBy('number').limit(1).executeTakeFirst();
  return row?.number;
}

async function freshNumber(db: Kysely<Database>, last: number): Promise<number | undefined> {
  const { highest } = await db
    .selectFrom('address')
    .select(({ fn }) => fn.max('number').as('highest'))
    .executeTakeFirstOrThrow();
  const next = Math.max((highest ?? 0) + 1, FIRST_DEVICE_NUMBER);
  return next <= last ? next : undefined;
}
