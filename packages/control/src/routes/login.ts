import { routes } from '@sallyport/api';
import { readCookie, setCookie } from '../auth/cookies.ts';
import type { Identity } from '../auth/identity.ts';
import { relyingPartyOf } from '../auth/passkeys.ts';
import { proveCode, provePassword } from '../auth/password-login.ts';
import { requireSameOrigin } from '../auth/same-origin.ts';
import { isSetupNeeded } from '../auth/setup-token.ts';
import { startSession } from '../auth/start-session.ts';
import { hashToken } from '../auth/tokens.ts';
import { ApiError } from '../http/api-error.ts';
import type { Client } from '../http/client-address.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { isKnownClient } from '../repositories/sessions.ts';
import { findUserByName } from '../repositories/users.ts';

export function loginRoutes(identity: Identity): RouteImplementation[] {
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
      const password = await provePassword(services, identity, {
        name,
        password: body.password,
        user,
        address: client.address,
        knownClient,
        origin,
      });
      const code = await proveCode(services, identity, {
        user: password.user,
        code: body.code,
        from: known ? 'known' : 'strange',
        origin,
      }).catch((error: unknown) => {
        // Only who has the password comes here, so that this makes no guess at it cheaper.
        if (error instanceof ApiError && error.code === 'secondFactorRequired') password.giveBack();
        throw error;
      });
      const login = await startSession(
        services,
        identity,
        {
          user: password.user,
          methods: ['password', ...code.methods],
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
          await password.use(db);
          await code.use(db);
        },
      ).catch(code.failed);
      password.giveBack();
      code.giveBack();
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
