/** A name with a password, and the code that goes with it: how they are proved, whatever they are to open. */
import type { Transaction } from 'kysely';
import { ApiError } from '../http/api-error.ts';
import { countSecondFactors } from '../repositories/second-factors.ts';
import type { UserRow } from '../repositories/users.ts';
import type { Services } from '../services.ts';
import type { Database } from '../store/schema.ts';
import type { Origin } from '../store/store.ts';
import { checkCode, useCode, type RightCode } from './codes.ts';
import type { Identity } from './identity.ts';
import type { CodeOrigin } from './login-limits.ts';
import type { LoginMethod } from './login-methods.ts';
import { offeredMethods, secondFactorRequired } from './second-factors.ts';

/** One answer for every reason: it tells nobody whether there is such a user. */
const failed = (): ApiError =>
  new ApiError('loginFailed', 'The name or the password is wrong, or the account is not active.');

const wrongCode = (): ApiError =>
  new ApiError('loginFailed', 'The code is wrong, too old or used already: wait for the next one of your app.');

export interface PasswordAttempt {
  readonly name: string;
  readonly password: string;
  /** Who has that name; undefined where nobody does, or nobody who counts here. */
  readonly user: UserRow | undefined;
  readonly address: string;
  /** By what the limits know a client that logged in as this user before. */
  readonly knownClient: string | undefined;
  readonly origin: Origin;
}

export interface ProvenPassword {
  readonly user: UserRow;
  /** Gives the try back that it took. */
  readonly giveBack: () => void;
  /** In the transaction of the login: throws where the password is another one by now. */
  readonly use: (db: Transaction<Database>) => Promise<void>;
}

/** Throws the ApiErrors `loginFailed`, `tooManyRequests` and `unavailable`. */
export async function provePassword(
  services: Services,
  { passwords, limits, failures }: Pick<Identity, 'passwords' | 'limits' | 'failures'>,
  { name, password, user, address, knownClient, origin }: PasswordAttempt,
): Promise<ProvenPassword> {
  const now = services.now();
  const giveBack = limits.take({ address, name, knownClient }, now);
  const right = await passwords.verify(password, user?.password_hash ?? null, knownClient !== undefined);
  const usable = user?.disabled === 0 && (user.expires_at === null || user.expires_at > now);
  if (user === undefined || !right || !usable) {
    const why = user === undefined ? 'unknown' : right ? 'disabled' : 'password';
    failures.add({ user, why, origin });
    throw failed();
  }
  const before = user.password_hash!;
  const hash = passwords.isOutdated(before) ? await passwords.hash(password) : before;
  const use = async (db: Transaction<Database>): Promise<void> => {
    const { numUpdatedRows } = await db
      .updateTable('user')
      .set({ password_hash: hash })
      .where('id', '=', user.id)
      .where('password_hash', '=', before)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) throw failed();
  };
  return { user, giveBack, use };
}

export interface ProvenCode {
  readonly methods: readonly LoginMethod[];
  readonly giveBack: () => void;
  /** In the transaction of the login: throws where the code was used, or a second factor set up, meanwhile. */
  readonly use: (db: Transaction<Database>) => Promise<void>;
  /** For what that transaction threw. */
  readonly failed: (error: unknown) => never;
}

/**
 * Looks at the code of a user whose password was right; where they have no second factor, it is not looked at. Throws the
 * ApiErrors `secondFactorRequired`, where there is none to look at, `loginFailed` and `tooManyRequests`.
 */
export async function proveCode(
  services: Services,
  { limits, failures }: Pick<Identity, 'limits' | 'failures'>,
  attempt: {
    readonly user: UserRow;
    readonly code: string | undefined;
    readonly from: CodeOrigin;
    readonly origin: Origin;
  },
): Promise<ProvenCode> {
  const { user, from, origin } = attempt;
  const { store } = services;
  const now = services.now();
  const factors = await countSecondFactors(store.db, user.id);
  const offered = offeredMethods(factors);
  const spent = wrongCode();
  let code: RightCode | undefined;
  let giveBack = (): void => undefined;
  if (offered.length > 0) {
    if (attempt.code === undefined) throw secondFactorRequired(offered);
    giveBack = limits.takeCode({ userId: user.id, from }, now);
    code = await checkCode(store, user.id, factors, attempt.code, now);
    if (code === undefined) {
      failures.add({ user, why: 'code', origin });
      throw wrongCode();
    }
  }
  return {
    methods: code === undefined ? [] : [code.method],
    giveBack,
    use: async (db) => {
      if (code === undefined) {
        const meanwhile = offeredMethods(await countSecondFactors(db, user.id));
        if (meanwhile.length > 0) throw secondFactorRequired(meanwhile);
      } else if (!(await useCode(db, user.id, code))) throw spent;
    },
    failed: (error) => {
      if (error === spent) failures.add({ user, why: 'code', origin });
      throw error;
    },
  };
}
