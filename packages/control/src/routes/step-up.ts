import { routes, type StepUpOptions } from '@sallyport/api';
import type { Kysely } from 'kysely';
import { checkCode, useCode, type RightCode } from '../auth/codes.ts';
import type { Identity } from '../auth/identity.ts';
import type { LoginMethod } from '../auth/login-methods.ts';
import { askForPasskey, relyingPartyOf, verifyAssertion, type Assertion } from '../auth/passkeys.ts';
import { offeredMethods, secondFactorRequired } from '../auth/second-factors.ts';
import { markSteppedUp } from '../auth/step-up.ts';
import { ApiError } from '../http/api-error.ts';
import type { Caller, CallerSession } from '../http/caller.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { listPasskeys, notePasskeyUse } from '../repositories/passkeys.ts';
import { countSecondFactors } from '../repositories/second-factors.ts';
import { getUser, timeText, type UserRow } from '../repositories/users.ts';
import type { Database } from '../store/schema.ts';

export function stepUpRoutes({ passwords, limits, failures, challenges }: Identity): RouteImplementation[] {
  return [
    implement(routes.beginStepUp, async ({ caller, services, client, header }) => {
      const { session, sessionId } = requireSession(caller);
      const { db } = services.store;
      const user = await getUser(db, caller.userId);
      const offered = offeredMethods(await countSecondFactors(db, user.id));
      const hasCodes = offered.includes('code') || offered.includes('recoveryCode');
      const party = relyingPartyOf(services.publicUrl(), client, header('host'));
      const passkeys = party === undefined ? [] : await listPasskeys(db, user.id);
      return {
        password: user.password_hash !== null && (offered.length === 0 || hasCodes),
        code: hasCodes,
        passkey:
          party === undefined || passkeys.length === 0
            ? null
            : await askForPasskey(challenges, party, 'passkey-step-up', sessionId, passkeys),
        provider: await providerOf(db, user, session),
      };
    }),
    implement(routes.stepUp, async ({ caller, body, services, origin, client, header }) => {
      const { sessionId } = requireSession(caller);
      const { store } = services;
      const now = services.now();
      const user = await getUser(store.db, caller.userId);
      // A session that was stolen is no way to guess.
      const knownClient = `session ${sessionId}`;
      const giveBack = [limits.take({ address: client.address, name: user.name, knownClient }, now)];
      const methods: LoginMethod[] = [];
      let code: RightCode | undefined;
      let assertion: Assertion | undefined;
      const fail = (why: 'password' | 'code' | 'passkey', detail: string): ApiError => {
        failures.add({ user, why, origin });
        return new ApiError('loginFailed', detail);
      };
      if (body.passkey !== undefined) {
        const party = relyingPartyOf(services.publicUrl(), client, header('host'));
        if (party !== undefined) {
          assertion = await verifyAssertion(store.db, challenges, party, 'passkey-step-up', body.passkey, sessionId);
        }
        if (assertion?.passkey.user_id !== user.id) throw fail('passkey', notThisPasskey);
        methods.push('passkey');
      } else {
        const factors = await countSecondFactors(store.db, user.id);
        const offered = offeredMethods(factors);
        if (user.password_hash !== null) {
          if (body.password === undefined) throw nothingShown();
          if (!(await passwords.verify(body.password, user.password_hash, true))) {
            throw fail('password', 'The password is wrong.');
          }
          methods.push('password');
        }
        if (offered.length > 0) {
          if (body.code === undefined) {
            for (const one of giveBack) one();
            throw secondFactorRequired(offered);
          }
          giveBack.push(limits.takeCode({ userId: user.id, from: 'known' }, now));
          code = await checkCode(store, user.id, factors, body.code, now);
          if (code === undefined) throw fail('code', notThisCode);
          methods.push(code.method);
        }
        if (methods.length === 0) throw nothingShown();
      }
      const spent = new ApiError('loginFailed', body.passkey === undefined ? notThisCode : notThisPasskey);
      try {
        await store.write(origin, async ({ db, audit, changed }) => {
          if (code !== undefined && !(await useCode(db, user.id, code))) throw spent;
          if (assertion !== undefined) {
            const { passkey, signCount, synced } = assertion;
            if (!(await challenges.use(db, body.passkey!.challenge))) throw spent;
            if (!(await notePasskeyUse(db, passkey.id, { signCount, synced, now }))) throw spent;
          }
          if (!(await markSteppedUp(db, sessionId, now, methods))) {
            throw new ApiError('loginRequired', 'This session has ended: log in again.');
          }
          await audit('session.stepUp', { kind: 'user', id: user.id, name: user.name }, undefined, {
            session: sessionId,
            methods,
          });
          // A login that was yet to show a second factor is whole by it.
          changed('user', user.id);
          changed('session', user.id);
        });
      } catch (error) {
        if (error === spent) failures.add({ user, why: code === undefined ? 'passkey' : 'code', origin });
        throw error;
      }
      for (const one of giveBack) one();
      return { authenticatedAt: timeText(now) };
    }),
  ];
}

const notThisCode = 'The code is wrong, too old or used already: wait for the next one of your app.';
const notThisPasskey = 'This passkey is not yours here, or was used too late: begin again.';

const nothingShown = (): ApiError =>
  new ApiError(
    'invalidRequest',
    'Send your password, with a code where you have an authenticator app, or a passkey; POST /api/v1/me/step-up/options says what there is.',
  );

function requireSession(caller: Caller): { readonly session: CallerSession; readonly sessionId: string } {
  if (caller.session !== undefined) return { session: caller.session, sessionId: caller.credentialId };
  throw new ApiError('conflict', 'An API token needs no further proof, and has nobody who could give one.');
}

/** The provider by which the user can log in again: that of the session, or for who has no password any of theirs. */
async function providerOf(
  db: Kysely<Database>,
  user: UserRow,
  { providerId }: CallerSession,
): Promise<StepUpOptions['provider']> {
  if (providerId === null && user.password_hash !== null) return null;
  let query = db
    .selectFrom('external_identity')
    .innerJoin('identity_provider', 'identity_provider.id', 'external_identity.provider_id')
    .select(['identity_provider.id', 'identity_provider.name'])
    .where('external_identity.user_id', '=', user.id)
    .where('identity_provider.enabled', '=', 1);
  if (providerId !== null) query = query.where('identity_provider.id', '=', providerId);
  return (await query.orderBy('identity_provider.name').limit(1).executeTakeFirst()) ?? null;
}
