/** What is dangerous asks a session for a proof that is not old; API tokens have nobody behind them who could give one. */
import type { Kysely } from 'kysely';
import { ApiError } from '../http/api-error.ts';
import type { Caller } from '../http/caller.ts';
import { lacksSecondFactor } from '../repositories/second-factors.ts';
import type { Database } from '../store/schema.ts';
import { methodsOf, type LoginMethod } from './login-methods.ts';

/** How long a proof counts. */
export const STEP_UP_MS = 600_000;

/** Throws unless a session's user proved within the last ten minutes that it is them. */
export function requireStepUp(caller: Caller, now: number): void {
  if (caller.session === undefined || now - caller.session.authenticatedAt < STEP_UP_MS) return;
  throw new ApiError(
    'stepUpRequired',
    'This needs a proof that it is you, not older than ten minutes: give one at POST /api/v1/me/step-up (its /options say ' +
      'which), or log in again; then send this again.',
  );
}

/** Notes within a transaction that a session's user proved that it is them, and how. Answers false where it has ended. */
export async function markSteppedUp(
  db: Kysely<Database>,
  sessionId: string,
  now: number,
  methods: readonly LoginMethod[],
): Promise<boolean> {
  if (!(await addMethods(db, sessionId, now, methods))) return false;
  await db.updateTable('session').set({ authenticated_at: now }).where('id', '=', sessionId).execute();
  return true;
}

/**
 * Notes within a transaction that a session's user has shown these, too; with the second factor that was still to be
 * shown, the login is whole. Answers false where the session has ended.
 */
export async function addMethods(
  db: Kysely<Database>,
  sessionId: string,
  now: number,
  methods: readonly LoginMethod[],
): Promise<boolean> {
  const row = await db
    .selectFrom('session')
    .select(['user_id', 'provider_id', 'methods'])
    .where('id', '=', sessionId)
    .executeTakeFirst();
  if (row === undefined) return false;
  const before = methodsOf(row);
  const all = [...new Set([...before, ...methods])];
  const session = { userId: row.user_id, providerId: row.provider_id };
  const didLack = await lacksSecondFactor(db, { ...session, methods: before });
  if (didLack && !(await lacksSecondFactor(db, { ...session, methods: all }))) {
    await db.updateTable('user').set({ last_login_at: now }).where('id', '=', row.user_id).execute();
  }
  await db
    .updateTable('session')
    .set({ methods: JSON.stringify(all) })
    .where('id', '=', sessionId)
    .execute();
  return true;
}
