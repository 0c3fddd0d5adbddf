import { EVERYONE } from '@sallyport/policy';
import { expressionBuilder, type Expression, type Kysely, type Selectable } from 'kysely';
import type { Database, TotpTable } from '../store/schema.ts';

export type TotpRow = Selectable<TotpTable>;

/** What a user has besides a password. */
export interface SecondFactorCounts {
  /** The authenticator app, where it is confirmed. */
  readonly totp: TotpRow | undefined;
  readonly passkeys: number;
  readonly recoveryCodes: number;
}

/** A group of a user that demands a second factor, in a query; null where none does. */
export function demandingGroup(userId: Expression<string>) {
  return expressionBuilder<Database, never>()
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
