import type { Login } from '@sallyport/api';
import { ApiError } from '../http/api-error.ts';
import type { Client } from '../http/client-address.ts';
import { lacksSecondFactor } from '../repositories/second-factors.ts';
import { addKnownClient, createSession, KNOWN_CLIENT_SECONDS, renewKnownClient } from '../repositories/sessions.ts';
import { describeUser, timeText, type UserRow } from '../repositories/users.ts';
import type { Services } from '../services.ts';
import type { Origin, Writing } from '../store/store.ts';
import { setCookie } from './cookies.ts';
import type { Identity } from './identity.ts';
import type { LoginMethod } from './login-methods.ts';
import { expiryOf } from './sessions.ts';
import { hashToken } from './tokens.ts';

/** Who logs in, and how they proved that it is them. */
export interface ProvenLogin {
  /** As it was when it was proved. */
  readonly user: UserRow;
  readonly methods: readonly LoginMethod[];
  /** The identity provider that it came by. */
  readonly providerId: string | null;
  readonly providerName?: string | undefined;
  /** What the client calls itself; empty where it doesn't. */
  readonly clientName: string;
  readonly client: Client;
  readonly asCookie: boolean;
  readonly origin: Origin;
  /** The mark of this client, where it was found to have logged in as this user before. */
  readonly knownMark?: string | undefined;
}

/**
 * Starts a session. `inTransaction` comes first in its transaction, for what must be so at the same moment, and may throw.
 * Throws the ApiError `loginFailed` where the user is not active any more.
 */
export async function startSession(
  services: Services,
  { sessions, csrf }: Pick<Identity, 'sessions' | 'csrf'>,
  login: ProvenLogin,
  setHeader: (name: string, value: string) => void,
  inTransaction?: (writing: Writing) => Promise<void>,
): Promise<Login> {
  const { user, methods, providerId, providerName, clientName, client, asCookie, knownMark } = login;
  const by: Origin = {
    ...login.origin,
    via: asCookie ? 'console' : login.origin.via,
    actor: { kind: 'user', id: user.id, name: user.name },
  };
  const now = services.now();
  const expiresAt = expiryOf('login', now, sessions);
  const result = await services.store.write(by, async (writing) => {
    const { db, audit, changed } = writing;
    await inTransaction?.(writing);
    // By the last login devices connect again: where a second factor is demanded, that is when it was shown.
    const isWhole = !(await lacksSecondFactor(db, { userId: user.id, methods, providerId }));
    const { numUpdatedRows } = await db
      .updateTable('user')
      .set((eb) => ({ last_login_at: isWhole ? eb.val(now) : eb.ref('last_login_at') }))
      .where('id', '=', user.id)
      .where('disabled', '=', 0)
      .where((eb) => eb.or([eb('expires_at', 'is', null), eb('expires_at', '>', now)]))
      .executeTakeFirst();
    if (numUpdatedRows === 0n) throw new ApiError('loginFailed', 'The account is not active any more.');
    const session = await createSession(db, {
      kind: 'login',
      userId: user.id,
      client: clientName,
      now,
      expiresAt,
      methods,
      providerId,
    });
    if (knownMark !== undefined) await renewKnownClient(db, hashToken(knownMark), now);
    const mark = knownMark ?? (await addKnownClient(db, user.id, now));
    await audit('login.succeed', { kind: 'user', id: user.id, name: user.name }, undefined, {
      session: session.id,
      client: clientName,
      methods,
      ...(providerId === null ? {} : { provider: { id: providerId, name: providerName ?? '' } }),
    });
    // The devices of who must log in from time to time connect again.
    changed('user', user.id);
    changed('session', user.id);
    const row = await db.selectFrom('user').selectAll().where('id', '=', user.id).executeTakeFirstOrThrow();
    return { session, mark, user: await describeUser(db, services.directory.model, row) };
  });
  if (asCookie) {
    setHeader('set-cookie', setCookie('session', client, result.session.token, sessions.absoluteMs / 1000));
    setHeader('set-cookie', setCookie('knownClient', client, result.mark, KNOWN_CLIENT_SECONDS));
  }
  return {
    token: asCookie ? null : result.session.token,
    knownClient: asCookie ? null : result.mark,
    csrfToken: asCookie ? csrf.of(result.session.id) : null,
    expiresAt: timeText(expiresAt),
    user: result.user,
  };
}
