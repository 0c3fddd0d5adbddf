import type { Kysely } from 'kysely';
import type { Services } from '../services.ts';
import type { Database } from '../store/schema.ts';
import { SYSTEM } from '../store/store.ts';
import { hashToken, newToken } from './tokens.ts';

/** A row among the service's keys; what it holds is a hash, so there is nothing to seal. */
const name = 'setup-token-sha256';

/**
 * The one-time link by which the first administrator is created, or undefined where there is an administrator. Each call
 * makes a new one, which takes the place of the one before.
 */
export async function createSetupToken(
  services: Pick<Services, 'store' | 'publicUrl'>,
): Promise<{ readonly token: string; readonly url: string } | undefined> {
  if (!(await isSetupNeeded(services.store.db))) return undefined;
  const token = newToken('setup');
  const needed = await services.store.write(SYSTEM, async ({ db }) => {
    if (!(await isSetupNeeded(db))) return false;
    await db
      .insertInto('secret')
      .values({ name, sealed: hashToken(token) })
      .onConflict((conflict) => conflict.column('name').doUpdateSet({ sealed: hashToken(token) }))
      .execute();
    return true;
  });
  return needed ? { token, url: `${services.publicUrl()}/setup#${token}` } : undefined;
}

/** Whether no user is an administrator. */
export async function isSetupNeeded(db: Kysely<Database>): Promise<boolean> {
  const row = await db.selectFrom('user').select('id').where('role', '=', 'administrator').limit(1).executeTakeFirst();
  return row === undefined;
}

/** Whether the token is the one. Only {@link useSetupToken} decides; this is for what should not be done for others. */
export async function isSetupToken(db: Kysely<Database>, token: string): Promise<boolean> {
  const row = await db
    .selectFrom('secret')
    .select('name')
    .where('name', '=', name)
    .where('sealed', '=', hashToken(token))
    .executeTakeFirst();
  return row !== undefined;
}

/** Uses the token up. Answers whether it was the one. */
export async function useSetupToken(db: Kysely<Database>, token: string): Promise<boolean> {
  const { numDeletedRows } = await db
    .deleteFrom('secret')
    .where('name', '=', name)
    .where('sealed', '=', hashToken(token))
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
