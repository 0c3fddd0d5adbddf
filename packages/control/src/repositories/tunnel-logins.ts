/** Devices that wait, in their tunnel's beginning, for their user to log in by a browser. */
import type { TunnelLogin } from '@sallyport/api';
import type { Kysely, Selectable } from 'kysely';
import { MAX_WAITING, newUserCode, showUserCode } from '../auth/device-authorization.ts';
import { ApiError } from '../http/api-error.ts';
import type { Database, TunnelLoginTable } from '../store/schema.ts';
import { timeText } from './users.ts';

export type TunnelLoginRow = Selectable<TunnelLoginTable>;

/** How long a device waits. OpenVPN's clients give up after this at the latest. */
export const TUNNEL_LOGIN_MS = 300_000;
/** Of one device: its program may have been started anew. */
const MAX_WAITING_OF_DEVICE = 5;
/** Of one gateway: one that was taken over does not take all places. */
const MAX_WAITING_OF_GATEWAY = 500;

/** Within a transaction: a device begins to wait. Takes away those that are over. Throws the ApiError `tooManyRequests`. */
export async function addTunnelLogin(
  db: Kysely<Database>,
  asking: Pick<TunnelLoginRow, 'device_id' | 'user_id' | 'gateway_id' | 'client' | 'address'>,
  now: number,
): Promise<TunnelLoginRow> {
  await db.deleteFrom('tunnel_login').where('expires_at', '<=', now).execute();
  const waiting = await db.selectFrom('tunnel_login').select(['code', 'device_id', 'gateway_id']).execute();
  const ofDevice = waiting.filter(({ device_id: id }) => id === asking.device_id).length;
  const ofGateway = waiting.filter(({ gateway_id: id }) => id === asking.gateway_id).length;
  if (waiting.length >= MAX_WAITING || ofDevice >= MAX_WAITING_OF_DEVICE || ofGateway >= MAX_WAITING_OF_GATEWAY) {
    throw new ApiError('tooManyRequests', 'Too many logins are waiting; finish those, or wait some minutes.', {
      retryAfter: 60,
    });
  }
  const taken = new Set(waiting.map(({ code }) => code));
  let code = newUserCode();
  while (taken.has(code)) code = newUserCode();
  const row: TunnelLoginRow = {
    code,
    ...asking,
    state: 'pending',
    created_at: now,
    expires_at: now + TUNNEL_LOGIN_MS,
  };
  await db.insertInto('tunnel_login').values(row).execute();
  return row;
}

/** One of a user's that nobody has decided about, with the names of device and gateway. */
export async function findTunnelLogin(db: Kysely<Database>, code: string | undefined, userId: string, now: number) {
  if (code === undefined) return undefined;
  return db
    .selectFrom('tunnel_login')
    .innerJoin('device', 'device.id', 'tunnel_login.device_id')
    .innerJoin('gateway', 'gateway.id', 'tunnel_login.gateway_id')
    .selectAll('tunnel_login')
    .select(['device.name as device_name', 'gateway.name as gateway_name'])
    .where('code', '=', code)
    .where('tunnel_login.user_id', '=', userId)
    .where('state', '=', 'pending')
    .where('tunnel_login.expires_at', '>', now)
    .executeTakeFirst();
}

/** Answers false where somebody decided before, or it was too late. */
export async function decideTunnelLogin(
  db: Kysely<Database>,
  code: string,
  state: 'approved' | 'denied',
  now: number,
): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('tunnel_login')
    .set({ state })
    .where('code', '=', code)
    .where('state', '=', 'pending')
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Takes those of these codes away that were decided about, so that each counts once: how it was decided, by code. */
export async function takeDecided(
  db: Kysely<Database>,
  codes: readonly string[],
): Promise<ReadonlyMap<string, 'approved' | 'denied'>> {
  const rows = await db
    .deleteFrom('tunnel_login')
    .where('code', 'in', codes)
    .where('state', '<>', 'pending')
    .returning(['code', 'state'])
    .execute();
  return new Map(rows.map(({ code, state }) => [code, state as 'approved' | 'denied']));
}

/** Nobody waits for it any more. */
export async function dropTunnelLogins(db: Kysely<Database>, codes: readonly string[]): Promise<void> {
  if (codes.length > 0) await db.deleteFrom('tunnel_login').where('code', 'in', codes).execute();
}

export function describeTunnelLogin(row: NonNullable<Awaited<ReturnType<typeof findTunnelLogin>>>): TunnelLogin {
  return {
    code: showUserCode(row.code),
    deviceId: row.device_id,
    deviceName: row.device_name,
    gatewayName: row.gateway_name,
    client: row.client,
    address: row.address,
    createdAt: timeText(row.created_at),
    expiresAt: timeText(row.expires_at),
  };
}
