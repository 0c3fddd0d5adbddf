import { routes } from '@sallyport/api';
import { checkCode, useCode, type RightCode } from '../auth/codes.ts';
import { readCookie, setCookie } from '../auth/cookies.ts';
import type { Identity } from '../auth/identity.ts';
import { relyingPartyOf } from '../auth/passkeys.ts';
import { requireSameOrigin } from '../auth/same-origin.ts';
import { offeredMethods, secondFactorRequired } from '../auth/second-factors.ts';
import { isSetupNeeded } from '../auth/setup-token.ts';
import { startSession } from '../auth/start-session.ts';
import { hashToken } from '../auth/tokens.ts';
import { ApiError } from '../http/api-error.ts';
import type { Client } from '../http/client-address.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { countSecondFactors } from '../repositories/second-factors.ts';
import { isKnownClient } from '../repositories/sessions.ts';
import { findUserByName } from '../repositories/users.ts';

/** One answer for every reason: it tells nobody whether there is such a user. */
const failed = (): ApiError =>
  new ApiError('loginFailed', 'The name or the password is wrong, or the account is not active.');

const wrongCode = (): ApiError =>
  new ApiError('loginFailed', 'The code is wrong, too old or used already: wait for the next one of your app.');

export function loginRoutes(identity: Identity): RouteImplementation[] {
  const { passwords, limits, failures } = identity;
  return [
    implement(routes.listSignInMethods, async ({ services, client, header }) => {
      const { db } = services.store;
      const providers = await db
        .selectFrom('identity_provider')
        .select(['id', 'name'])
        .where('enabled', '=', 1)
        .orderBy('name')
        .execute();
      return {
        setupNeeded: await isSetupNeeded(db),
        passkeys: relyingPartyOf(services.publicUrl(), client, header('host')) !== undefined,
        providers,
      };
    }),
    implement(routes.logIn, async ({ body, services, origin, client, header, setHeader }) => {
      const asCookie = body.cookie === true;
      if (asCookie) requireSameOrigin({ method: 'POST', client, header }, services.publicUrl());
      const { store } = services;
      const now = services.now();
      const name = body.name.trim().toLowerCase();
      const mark = body.knownClient ?? readCookie(header('cookie'), 'knownClient', client);
      const user = await findUserByName(store.db, name);
      // Looked up for nobody, too: the same work for every name.
      const known = mark !== undefined && (await isKnownClient(store.db, user?.id ?? '', hashToken(mark), now));
      const knownMark = known ? mark : undefined;
      const knownClient = known ? hashToken(mark) : undefined;
      const giveBack = limits.take({ address: client.address, name, knownClient }, now);
      const right = await passwords.verify(body.password, user?.password_hash ?? null, known);
      const usable = user?.disabled === 0 && (user.expires_at === null || user.expires_at > now);
      if (user === undefined || !right || !usable) {
        const why = user === undefined ? 'unknown' : right ? 'disabled' : 'password';
        failures.add({ user, why, origin });
        throw failed();
      }
      const factors = await countSecondFactors(store.db, user.id);
      const offered = offeredMethods(factors);
      let code: RightCode | undefined;
      let giveCodeBack = (): void => undefined;
      if (offered.length > 0) {
        if (body.code === undefined) {
          // Only who has the password comes here, so that this makes no guess at it cheaper.
          giveBack();
          throw secondFactorRequired(offered);
        }
        giveCodeBack = limits.takeCode({ userId: user.id, known }, now);
        code = await checkCode(store, user.id, factors, body.code, now);
        if (code === undefined) {
          failures.add({ user, why: 'code', origin });
          throw wrongCode();
        }
      }
      const hash = passwords.isOutdated(user.password_hash!) ? await passwords.hash(body.password) : user.password_hash;
      const spent = wrongCode();
      const login = await startSession(
        services,
        identity,
        {
          user,
          methods: code === undefined ? ['password'] : ['password', code.method],
          providerId: null,
          clientName: body.client ?? '',
          client,
          asCookie,
          origin,
          knownMark,
        },
        setHeader,
        async ({ db }) => {
          // Meanwhile they may have chosen another password, set up a second factor, or used the code.
          const { numUpdatedRows } = await db
            .updateTable('user')
            .set({ password_hash: hash })
            .where('id', '=', user.id)
            .where('password_hash', '=', user.password_hash)
            .executeTakeFirst();
          if (numUpdatedRows === 0n) throw failed();
          if (code === undefined) {
            const meanwhile = offeredMethods(await countSecondFactors(db, user.id));
            if (meanwhile.length > 0) throw secondFactorRequired(meanwhile);
          } else if (!(await useCode(db, user.id, code))) throw spent;
        },
      ).catch((error: unknown) => {
        if (error === spent) failures.add({ user, why: 'code', origin });
        throw error;
      });
      giveBack();
      giveCodeBack();
      return login;
    }),
    implement(routes.logOut, async ({ caller, services, origin, client, setHeader }) => {
      if (caller.kind !== 'session') {
        throw new ApiError('conflict', 'An API token has no session that could end; revoke the token instead.');
      }
      await services.store.write(origin, async ({ db, audit, changed }) => {
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
        changed('session', caller.userId);
      });
      if (origin.via === 'console' && mayHaveCookies(client))
        setHeader('set-cookie', setCookie('session', client, '', 0));
    }),
  ];
}

function mayHaveCookies({ secure, loopback }: Client): boolean {
  return secure || loopback;
}
