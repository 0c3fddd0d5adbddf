import { randomBytes, randomUUID } from 'node:crypto';
import type { Kysely, Selectable } from 'kysely';
import type { Session } from '@sallyport/api';
import { methodsOf, type LoginMethod } from '../auth/login-methods.ts';
import { endOfSession, type SessionKind, type SessionLifetime } from '../auth/sessions.ts';
import { hashToken, newToken } from '../auth/tokens.ts';
import type { Database, SessionTable } from '../store/schema.ts';
import type { Writing } from '../store/store.ts';
import { demandingGroup } from './second-factors.ts';
import { timeText } from './users.ts';

/** What of a user says whether their credentials count. */
export interface CredentialUser {
  readonly user_id: string;
  readonly user_name: string;
  readonly role: string;
  readonly disabled: number;
  readonly expires_at_of_user: number | null;
}

/** Sessions of each kind that one user can have; the longest unused make room. */
const maxSessions = 50;
const maxKnownClients = 20;
const knownClientMs = 365 * 24 * 60 * 60_000;

export interface FoundSession
  extends
    Pick<
      Selectable<SessionTable>,
      'id' | 'kind' | 'device_id' | 'last_used_at' | 'expires_at' | 'authenticated_at' | 'methods' | 'provider_id'
    >,
    CredentialUser {
  /** A group of the user that demands a second factor. */
  readonly demanded_by: string | null;
  /** The session's identity provider, where it asks for a second factor itself. */
  readonly vouching_provider: string | null;
}

export async function findSession(db: Kysely<Database>, tokenHash: string): Promise<FoundSession | undefined> {
  return db
    .selectFrom('session')
    .innerJoin('user', 'user.id', 'session.user_id')
    .where('session.token_hash', '=', tokenHash)
    .select((eb) => [
      demandingGroup(eb.ref('user.id')).as('demanded_by'),
      eb
        .selectFrom('identity_provider')
        .select('identity_provider.id')
        .whereRef('identity_provider.id', '=', 'session.provider_id')
        .where('identity_provider.asks_second_factor', '=', 1)
        .as('vouching_provider'),
      'session.id',
      'session.kind',
      'session.device_id',
      'session.last_used_at',
      'session.expires_at',
      'session.authenticated_at',
      'session.methods',
      'session.provider_id',
      'user.id as user_id',
      'user.name as user_name',
      'user.role',
      'user.disabled',
      'user.expires_at as expires_at_of_user',
    ])
    .executeTakeFirst();
}

export async function listSessions(db: Kysely<Database>, userId: string): Promise<Selectable<SessionTable>[]> {
  return db
    .selectFrom('session')
    .selectAll()
    .where('user_id', '=', userId)
    .orderBy('last_used_at', 'desc')
    .orderBy('id')
    .execute();
}

export interface NewSession {
  readonly kind: SessionKind;
  readonly userId: string;
  readonly client: string;
  readonly now: number;
  readonly expiresAt: number;
  readonly methods: readonly LoginMethod[];
  readonly providerId: string | null;
  /** When they last proved that it is them, Unix milliseconds. Default: now. */
  readonly authenticatedAt?: number;
}

/** Makes a session and answers its token. Takes away the user's longest unused ones of its kind, and everybody's that are over. */
export async function createSession(
  db: Kysely<Database>,
  { kind, userId, client, now, expiresAt, methods, providerId, authenticatedAt = now }: NewSession,
): Promise<{ readonly id: string; readonly token: string }> {
  const token = newToken('session');
  const id = randomUUID();
  await db.deleteFrom('session').where('expires_at', '<=', now).execute();
  await db
    .insertInto('session')
    .values({
      id,
      kind,
      token_hash: hashToken(token),
      user_id: userId,
      client,
      created_at: now,
      last_used_at: now,
      expires_at: expiresAt,
      authenticated_at: authenticatedAt,
      methods: JSON.stringify(methods),
      provider_id: providerId,
    })
    .execute();
  const others = (await listSessions(db, userId)).filter((session) => session.id !== id && session.kind === kind);
  const surplus = others.slice(maxSessions - 1);
  for (const { id: old } of surplus) await db.deleteFrom('session').where('id', '=', old).execute();
  return { id, token };
}

/** Those that have not ended, as the API answers them. */
export function describeSessions(
  rows: readonly Selectable<SessionTable>[],
  lifetime: SessionLifetime,
  now: number,
  currentId: string,
): Session[] {
  return rows
    .map((row) => ({ row, end: endOfSession(row, lifetime) }))
    .filter(({ end }) => end > now)
    .map(({ row, end }) => ({
      id: row.id,
      kind: row.kind,
      client: row.client,
      createdAt: timeText(row.created_at),
      lastUsedAt: timeText(row.last_used_at),
      expiresAt: timeText(end),
      methods: methodsOf(row),
      authenticatedAt: timeText(row.authenticated_at),
      current: row.id === currentId,
    }));
}

/**
 * Ends a user's sessions, all or but one, and with them the tunnels of devices that came in by a login and their tokens.
 * Answers how many sessions ended.
 */
export async function endSessions(
  { db, changed }: Pick<Writing, 'db' | 'changed'>,
  userId: string,
  except?: string,
): Promise<number> {
  let query = db.deleteFrom('session').where('user_id', '=', userId);
  if (except !== undefined) query = query.where('id', '!=', except);
  const { numDeletedRows } = await query.executeTakeFirst();
  await db.updateTable('user').set({ login_epoch: newLoginEpoch() }).where('id', '=', userId).execute();
  changed('user', userId);
  changed('session', userId);
  return Number(numDeletedRows);
}

/** For {@link Database.user}: nothing follows from it, and a database that was restored does not come back to it. */
export function newLoginEpoch(): string {
  return randomBytes(16).toString('base64url');
}

/** Notes that a client's session made a device. Answers false where it has made one, or has ended. */
export async function bindToDevice(db: Kysely<Database>, sessionId: string, deviceId: string): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('session')
    .set({ device_id: deviceId })
    .where('id', '=', sessionId)
    .where('device_id', 'is', null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Ends the session of the client that made a device. Answers how many ended. */
export async function endSessionsOfDevice(db: Kysely<Database>, deviceId: string): Promise<number> {
  return Number((await db.deleteFrom('session').where('device_id', '=', deviceId).executeTakeFirst()).numDeletedRows);
}

export async function isKnownClient(
  db: Kysely<Database>,
  userId: string,
  tokenHash: string,
  now: number,
): Promise<boolean> {
  const row = await db
    .selectFrom('known_client')
    .select('user_id')
    .where('token_hash', '=', tokenHash)
    .where('user_id', '=', userId)
    .where('expires_at', '>', now)
    .executeTakeFirst();
  return row !== undefined;
}

/** Marks a client as one that logged in as this user; answers the mark. The oldest make room. */
export async function addKnownClient(db: Kysely<Database>, userId: string, now: number): Promise<string> {
  const token = newToken('knownClient');
  await db.deleteFrom('known_client').where('expires_at', '<=', now).execute();
  await db
    .insertInto('known_client')
    .values({ token_hash: hashToken(token), user_id: userId, expires_at: now + knownClientMs })
    .execute();
  const all = await db
    .selectFrom('known_client')
    .select('token_hash')
    .where('user_id', '=', userId)
    .orderBy('expires_at', 'desc')
    .execute();
  for (const { token_hash: old } of all.slice(maxKnownClients)) {
    if (old !== hashToken(token)) await db.deleteFrom('known_client').where('token_hash', '=', old).execute();
  }
  return token;
}

/** The mark is good for another year. */
export async function renewKnownClient(db: Kysely<Database>, tokenHash: string, now: number): Promise<void> {
  await db
    .updateTable('known_client')
    .set({ expires_at: now + knownClientMs })
    .where('token_hash', '=', tokenHash)
    .execute();
}

export const KNOWN_CLIENT_SECONDS = knownClientMs / 1000;
