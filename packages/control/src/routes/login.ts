import { routes } from '@sallyport/api';
import { readCookie, setCookie } from '../auth/cookies.ts';
import type { Identity } from '../auth/identity.ts';
import { requireSameOrigin } from '../auth/same-origin.ts';
import { hashToken } from '../auth/tokens.ts';
import { ApiError } from '../http/api-error.ts';
import type { Client } from '../http/client-address.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import {
  addKnownClient,
  createSession,
  isKnownClient,
  KNOWN_CLIENT_SECONDS,
  renewKnownClient,
} from '../repositories/sessions.ts';
import { describeUser, findUserByName, timeText } from '../repositories/users.ts';

/** One answer for every reason: it tells nobody whether there is such a user. */
const failed = (): ApiError =>
  new ApiError('loginFailed', 'The name or the password is wrong, or the account is not active.');

export function loginRoutes({ passwords, limits, failures, sessions }: Identity): RouteImplementation[] {
  return [
    implement(routes.logIn, async ({ body, services, origin, client, header, setHeader }) => {
      const asCookie = body.cookie === true;
      if (asCookie) requireSameOrigin({ method: 'POST', client, header }, services.publicUrl());
      const { db } = services.store;
      const now = services.now();
      const name = body.name.trim().toLowerCase();
      const mark = body.knownClient ?? readCookie(header('cookie'), 'knownClient', client);
      const markHash = mark === undefined ? undefined : hashToken(mark);
      const user = await findUserByName(db, name);
      // Looked up for nobody, too: the same work for every name.
      const known = markHash !== undefined && (await isKnownClient(db, user?.id ?? '', markHash, now));
      const giveBack = limits.take({ address: client.address, name, knownClient: known ? markHash : undefined }, now);
      const right = await passwords.verify(body.password, user?.password_hash ?? null, known);
      const usable = user?.disabled === 0 && (user.expires_at === null || user.expires_at > now);
      if (user === undefined || !right || !usable) {
        const why = user === undefined ? 'unknown' : right ? 'disabled' : 'password';
        failures.add({ user, why, origin });
        throw failed();
      }
      giveBack();
      const hash = passwords.isOutdated(user.password_hash!) ? await passwords.hash(body.password) : user.password_hash;
      const by = {
        ...origin,
        via: asCookie ? 'console' : origin.via,
        actor: { kind: 'user', id: user.id, name },
      } as const;
      const expiresAt = now + sessions.absoluteMs;
      const result = await services.store.write(by, async ({ db: writing, audit, changed }) => {
        // Meanwhile they may have been disabled, or chosen another password.
        const { numUpdatedRows } = await writing
          .updateTable('user')
          .set({ last_login_at: now, password_hash: hash })
          .where('id', '=', user.id)
          .where('password_hash', '=', user.password_hash)
          .where('disabled', '=', 0)
          .executeTakeFirst();
        if (numUpdatedRows === 0n) throw failed();
        const session = await createSession(writing, user.id, body.client ?? '', now, expiresAt);
        let knownClient = known ? (mark as string) : undefined;
        if (knownClient === undefined) knownClient = await addKnownClient(writing, user.id, now);
        else await renewKnownClient(writing, hashToken(knownClient), now);
        await audit('login.succeed', { kind: 'user', id: user.id, name: user.name }, undefined, {
          session: session.id,
          client: body.client ?? '',
        });
        // The devices of who must log in from time to time connect again.
        changed('user', user.id);
        const row = { ...user, last_login_at: now };
        return { session, knownClient, user: await describeUser(writing, services.directory.model, row) };
      });
      if (asCookie) {
        setHeader('set-cookie', setCookie('session', client, result.session.token, sessions.absoluteMs / 1000));
        setHeader('set-cookie', setCookie('knownClient', client, result.knownClient, KNOWN_CLIENT_SECONDS));
      }
      return {
        token: asCookie ? null : result.session.token,
        knownClient: asCookie ? null : result.knownClient,
        expiresAt: timeText(expiresAt),
        user: result.user,
      };
    }),
    implement(routes.logOut, async ({ caller, services, origin, client, setHeader }) => {
      if (caller.kind !== 'session') {
        throw new ApiError('conflict', 'An API token has no session that could end; revoke the token instead.');
      }
      await services.store.write(origin, async ({ db, audit }) => {
        const { numDeletedRows } = await db
          .deleteFrom('session')
          .where('id', '=', caller.credentialId)
          .executeTakeFirst();
        if (numDeletedRows === 0n) return;
        await audit(
          'logout',
          { kind: 'user', id: caller.userId, name: caller.userName },
          { session: caller.credentialId },
        );
      });
      if (origin.via === 'console' && mayHaveCookies(client))
        setHeader('set-cookie', setCookie('session', client, '', 0));
    }),
  ];
}

function mayHaveCookies({ secure, loopback }: Client): boolean {
  return secure || loopback;
}
