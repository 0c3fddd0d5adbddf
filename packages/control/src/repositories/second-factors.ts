import { EVERYONE } from '@sallyport/policy';
import { expressionBuilder, type Expression, type Kysely, type Selectable } from 'kysely';
import { hasSecondFactor } from '../auth/login-methods.ts';
import type { Database, TotpTable } from '../store/schema.ts';

export type TotpRow = Selectable<TotpTable>;

/** What a user has besides a password. */
export interface SecondFactorCounts {
  /** The authenticator app that counts. */
  readonly totp: TotpRow | undefined;
  readonly passkeys: number;
  readonly recoveryCodes: number;
}

/** A group of a user that demands a second factor, in a query; null where none does. */
export function demandingGroup(userId: Expression<string>) {
  return expressionBuilder<Database>()
    .selectFrom('group')
    .select('group.id')
    .where('group.require_second_factor', '=', 1)
    .where((eb) =>
      eb.or([
        eb('group.id', '=', EVERYONE),
        eb(
          'group.id',
          'in',
          eb.selectFrom('group_member').select('group_member.group_id').where('group_member.user_id', '=', userId),
        ),
      ]),
    )
    .limit(1);
}

/** Whether a group of the user demands a second factor. */
export async function isSecondFactorDemanded(db: Kysely<Database>, userId: string): Promise<boolean> {
  const row = await db
    .selectFrom('user')
    .select((eb) => demandingGroup(eb.ref('user.id')).as('demanded_by'))
    .where('id', '=', userId)
    .executeTakeFirst();
  return (row?.demanded_by ?? null) !== null;
}

/** Whether a session is yet to show a second factor that a group demands; its provider may ask for one itself. */
export async function lacksSecondFactor(
  db: Kysely<Database>,
  session: { readonly userId: string; readonly methods: readonly string[]; readonly providerId: string | null },
): Promise<boolean> {
  if (hasSecondFactor(session.methods) || !(await isSecondFactorDemanded(db, session.userId))) return false;
  const vouching = await db
    .selectFrom('identity_provider')
    .select('id')
    .where('id', '=', session.providerId ?? '')
    .where('asks_second_factor', '=', 1)
    .executeTakeFirst();
  return vouching === undefined;
}

/** Those of the users that have a confirmed authenticator app or a passkey. */
export async function usersWithSecondFactor(
  db: Kysely<Database>,
  userIds: readonly string[],
): Promise<ReadonlySet<string>> {
  if (userIds.length === 0) return new Set();
  const rows = await db
    .selectFrom('totp')
    .select('user_id')
    .where('confirmed', '=', 1)
    .where('user_id', 'in', userIds)
    .union((eb) => eb.selectFrom('passkey').select('user_id').where('user_id', 'in', userIds))
    .execute();
  return new Set(rows.map(({ user_id: id }) => id));
}

/** A user's authenticator app: the one that counts, or the one that no code was shown of yet. */
export async function findTotp(
  db: Kysely<Database>,
  userId: string,
  which: 'confirmed' | 'pending',
): Promise<TotpRow | undefined> {
  return db
    .selectFrom('totp')
    .selectAll()
    .where('user_id', '=', userId)
    .where('confirmed', '=', which === 'confirmed' ? 1 : 0)
    .executeTakeFirst();
}

export async function countSecondFactors(db: Kysely<Database>, userId: string): Promise<SecondFactorCounts> {
  const totp = await findTotp(db, userId, 'confirmed');
  const { passkeys, codes } = await db
    .selectNoFrom((eb) => [
      eb
        .selectFrom('passkey')
        .select(({ fn }) => fn.countAll().as('n'))
        .where('user_id', '=', userId)
        .as('passkeys'),
      eb
        .selectFrom('recovery_code')
        .select(({ fn }) => fn.countAll().as('n'))
        .where('user_id', '=', userId)
        .as('codes'),
    ])
    .executeTakeFirstOrThrow();
  return {
    totp,
    passkeys: Number(passkeys),
    recoveryCodes: Number(codes),
  };
}

/** Whether a code of this time step counts now, and no more from then on; the same for those before. */
export async function useTotpStep(db: Kysely<Database>, userId: string, step: number): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('totp')
    .set({ last_step: step })
    .where('user_id', '=', userId)
    .where('confirmed', '=', 1)
    .where('last_step', '<', step)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

export async function isRecoveryCode(db: Kysely<Database>, userId: string, hash: string): Promise<boolean> {
  const row = await db
    .selectFrom('recovery_code')
    .select('code_hash')
    .where('user_id', '=', userId)
    .where('code_hash', '=', hash)
    .executeTakeFirst();
  return row !== undefined;
}

/** Uses a recovery code up. Answers whether there was one. */
export async function useRecoveryCode(db: Kysely<Database>, userId: string, hash: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('recovery_code')
    .where('user_id', '=', userId)
    .where('code_hash', '=', hash)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}

/** Keeps the secret of an app until a code of it is shown. Takes the place of one before. */
export async function addPendingTotp(db: Kysely<Database>, userId: string, sealed: string, now: number): Promise<void> {
  await db.deleteFrom('totp').where('user_id', '=', userId).where('confirmed', '=', 0).execute();
  await db
    .insertInto('totp')
    .values({ user_id: userId, sealed_secret: sealed, confirmed: 0, last_step: 0, created_at: now })
    .execute();
}

/** From now on the pending app counts, and the one before no more. Answers false where another is pending by now. */
export async function confirmTotp(db: Kysely<Database>, pending: TotpRow, step: number): Promise<boolean> {
  const { user_id: userId } = pending;
  const { numDeletedRows } = await db
    .deleteFrom('totp')
    .where('user_id', '=', userId)
    .where('confirmed', '=', 0)
    .where('sealed_secret', '=', pending.sealed_secret)
    .executeTakeFirst();
  if (numDeletedRows === 0n) return false;
  await db.deleteFrom('totp').where('user_id', '=', userId).execute();
  await db
    .insertInto('totp')
    .values({ ...pending, confirmed: 1, last_step: step })
    .execute();
  return true;
}

/** Takes the place of the recovery codes before. */
export async function replaceRecoveryCodes(
  db: Kysely<Database>,
  userId: string,
  hashes: readonly string[],
): Promise<void> {
  await removeRecoveryCodes(db, userId);
  await db
    .insertInto('recovery_code')
    .values(hashes.map((hash) => ({ user_id: userId, code_hash: hash })))
    .execute();
}

export async function removeRecoveryCodes(db: Kysely<Database>, userId: string): Promise<void> {
  await db.deleteFrom('recovery_code').where('user_id', '=', userId).execute();
}
