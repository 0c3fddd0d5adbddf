import type { WaitingClient } from '@sallyport/api';
import type { Kysely, Selectable } from 'kysely';
import {
  AUTHORIZATION_MS,
  MAX_POLL_SECONDS,
  MAX_WAITING,
  MAX_WAITING_OF_ADDRESS,
  newUserCode,
  POLL_SECONDS,
  showUserCode,
  SLOW_DOWN_SECONDS,
} from '../auth/device-authorization.ts';
import { ApiError } from '../http/api-error.ts';
import { limitKey } from '../http/client-address.ts';
import type { Database, DeviceAuthorizationTable } from '../store/schema.ts';
import { timeText } from './users.ts';

export type DeviceAuthorizationRow = Selectable<DeviceAuthorizationTable>;

/** Within a transaction: a client begins to wait. Takes away those that are over. Throws the ApiError `tooManyRequests`. */
export async function addDeviceAuthorization(
  db: Kysely<Database>,
  client: { readonly deviceCodeHash: string; readonly client: string; readonly address: string },
  now: number,
): Promise<DeviceAuthorizationRow> {
  await db.deleteFrom('device_authorization').where('expires_at', '<=', now).execute();
  const waiting = await db.selectFrom('device_authorization').select(['user_code', 'address']).execute();
  const key = limitKey(client.address);
  const ofAddress = waiting.filter(({ address }) => limitKey(address) === key).length;
  if (waiting.length >= MAX_WAITING || ofAddress >= MAX_WAITING_OF_ADDRESS) {
    throw new ApiError('tooManyRequests', 'Too many clients wait to be let in; finish those, or wait some minutes.', {
      retryAfter: 60,
    });
  }
  const taken = new Set(waiting.map(({ user_code: code }) => code));
  let userCode = newUserCode();
  while (taken.has(userCode)) userCode = newUserCode();
  const row: DeviceAuthorizationRow = {
    device_code_hash: client.deviceCodeHash,
    user_code: userCode,
    client: client.client,
    address: client.address,
    state: 'pending',
    user_id: null,
    session_id: null,
    created_at: now,
    expires_at: now + AUTHORIZATION_MS,
    last_polled_at: null,
    interval_seconds: POLL_SECONDS,
  };
  await db.insertInto('device_authorization').values(row).execute();
  return row;
}

export async function findByDeviceCode(
  db: Kysely<Database>,
  deviceCodeHash: string,
  now: number,
): Promise<DeviceAuthorizationRow | undefined> {
  return db
    .selectFrom('device_authorization')
    .selectAll()
    .where('device_code_hash', '=', deviceCodeHash)
    .where('expires_at', '>', now)
    .executeTakeFirst();
}

/** One that nobody has decided about. */
export async function findWaiting(
  db: Kysely<Database>,
  userCode: string | undefined,
  now: number,
): Promise<DeviceAuthorizationRow | undefined> {
  if (userCode === undefined) return undefined;
  return db
    .selectFrom('device_authorization')
    .selectAll()
    .where('user_code', '=', userCode)
    .where('state', '=', 'pending')
    .where('expires_at', '>', now)
    .executeTakeFirst();
}

/** Notes that a client asked. Answers whether it may: too soon, and it waits longer from now on. */
export async function notePoll(db: Kysely<Database>, row: DeviceAuthorizationRow, now: number): Promise<boolean> {
  // Both nodes of a service may be asked at once: one of them is too soon.
  const { numUpdatedRows } = await db
    .updateTable('device_authorization')
    .set({ last_polled_at: now })
    .where('device_code_hash', '=', row.device_code_hash)
    .where((eb) =>
      eb.or([eb('last_polled_at', 'is', null), eb('last_polled_at', '<=', now - row.interval_seconds * 1000)]),
    )
    .executeTakeFirst();
  if (numUpdatedRows > 0n) return true;
  await db
    .updateTable('device_authorization')
    .set({
      last_polled_at: now,
      interval_seconds: Math.min(MAX_POLL_SECONDS, row.interval_seconds + SLOW_DOWN_SECONDS),
    })
    .where('device_code_hash', '=', row.device_code_hash)
    .execute();
  return false;
}

/** Answers false where somebody decided before, or it was too late. */
export async function decide(
  db: Kysely<Database>,
  deviceCodeHash: string,
  decision: { readonly state: 'approved' | 'denied'; readonly userId: string; readonly sessionId: string },
  now: number,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('device_authorization')
    .set({ state: decision.state, user_id: decision.userId, session_id: decision.sessionId })
    .where('device_code_hash', '=', deviceCodeHash)
    .where('state', '=', 'pending')
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Takes it away, so that it counts once. Answers false where somebody was quicker. */
export async function useUp(db: Kysely<Database>, deviceCodeHash: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('device_authorization')
    .where('device_code_hash', '=', deviceCodeHash)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

export function describeWaiting(row: DeviceAuthorizationRow): WaitingClient {
  return {
    userCode: showUserCode(row.user_code),
    client: row.client,
    address: row.address,
    createdAt: timeText(row.created_at),
    expiresAt: timeText(row.expires_at),
  };
}
