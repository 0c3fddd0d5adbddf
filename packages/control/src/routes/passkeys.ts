import { routes } from '@sallyport/api';
import { randomUUID } from 'node:crypto';
import { readCookie } from '../auth/cookies.ts';
import type { Identity } from '../auth/identity.ts';
import {
  askForNewPasskey,
  askForPasskey,
  relyingPartyOf,
  verifyAssertion,
  verifyNewPasskey,
  type RelyingParty,
} from '../auth/passkeys.ts';
import { requireSameOrigin } from '../auth/same-origin.ts';
import { requireOwnSession, requireShownFactor } from '../auth/second-factors.ts';
import { startSession } from '../auth/start-session.ts';
import { addMethods } from '../auth/step-up.ts';
import { hashToken } from '../auth/tokens.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RequestContext, type RouteImplementation } from '../http/implement.ts';
import {
  describePasskey,
  findCredential,
  findPasskey,
  listPasskeys,
  notePasskeyUse,
} from '../repositories/passkeys.ts';
import { countSecondFactors, removeRecoveryCodes } from '../repositories/second-factors.ts';
import { endSessions, isKnownClient } from '../repositories/sessions.ts';
import { getUser } from '../repositories/users.ts';
import { refuseLastFactor } from './second-factors.ts';

/** Passkeys that one user can have. */
const maxPasskeys = 20;

/** One answer for every reason. */
const failed = (): ApiError =>
  new ApiError('loginFailed', 'This passkey is not known here, was used too late, or the account is not active.');

export function passkeyRoutes(identity: Identity): RouteImplementation[] {
  const { challenges, limits, failures } = identity;
  return [
    implement(routes.beginPasskeyLogin, async (context) =>
      askForPasskey(challenges, requireParty(context), 'passkey-login'),
    ),
    implement(routes.logInWithPasskey, async (context) => {
      const { body, services, origin, client, header, setHeader } = context;
      const asCookie = body.cookie === true;
      if (asCookie) requireSameOrigin({ method: 'POST', client, header }, services.publicUrl());
      const party = requireParty(context);
      const { db } = services.store;
      const now = services.now();
      const giveBack = limits.takeAnonymous(client.address, now);
      const assertion = await verifyAssertion(db, challenges, party, 'passkey-login', body);
      const user = assertion === undefined ? undefined : await getUser(db, assertion.passkey.user_id);
      const usable = user?.disabled === 0 && (user.expires_at === null || user.expires_at > now);
      if (assertion === undefined || user === undefined || !usable) {
        failures.add({ user, why: user === undefined ? 'passkey' : 'disabled', origin });
        throw failed();
      }
      const mark = readCookie(header('cookie'), 'knownClient', client);
      const known = mark !== undefined && (await isKnownClient(db, user.id, hashToken(mark), now));
      const { passkey, signCount, synced } = assertion;
      const spent = failed();
      const login = await startSession(
        services,
        identity,
        {
          user,
          methods: ['passkey'],
          providerId: null,
          clientName: body.client ?? '',
          client,
          asCookie,
          origin,
          knownMark: known ? mark : undefined,
        },
        setHeader,
        async ({ db: writing }) => {
          if (!(await challenges.use(writing, body.challenge))) throw spent;
          if (!(await notePasskeyUse(writing, passkey.id, { signCount, synced, now }))) throw spent;
        },
      ).catch((error: unknown) => {
        if (error === spent) failures.add({ user, why: 'passkey', origin });
        throw error;
      });
      giveBack();
      return login;
    }),
    implement(routes.beginPasskey, async (context) => {
      const { caller, services } = context;
      const { session, sessionId } = requireOwnSession(caller);
      const party = requireParty(context);
      const { db } = services.store;
      requireShownFactor(session, await countSecondFactors(db, caller.userId));
      const present = await listPasskeys(db, caller.userId);
      refuseMore(present.length);
      return askForNewPasskey(challenges, party, await getUser(db, caller.userId), sessionId, present);
    }),
    implement(routes.addPasskey, async (context) => {
      const { caller, body, services, origin } = context;
      const { session, sessionId } = requireOwnSession(caller);
      const credential = await verifyNewPasskey(challenges, requireParty(context), body, sessionId);
      const refused = (): ApiError =>
        new ApiError('invalidRequest', 'The passkey could not be checked, or the browser took too long: begin again.');
      if (credential === undefined) throw refused();
      return services.store.write(origin, async ({ db, now, audit, changed }) => {
        if (!(await challenges.use(db, body.challenge))) throw refused();
        const counts = await countSecondFactors(db, caller.userId);
        requireShownFactor(session, counts);
        refuseMore(counts.passkeys);
        if ((await findCredential(db, credential.credential_id)) !== undefined) {
          throw new ApiError('conflict', 'This passkey is set up already.');
        }
        if (!(await addMethods(db, sessionId, now, ['passkey'])))
          throw new ApiError('loginRequired', 'This session has ended.');
        const row = {
          ...credential,
          id: randomUUID(),
          user_id: caller.userId,
          name: body.name,
          created_at: now,
          last_used_at: null,
        };
        await db.insertInto('passkey').values(row).execute();
        await audit('passkey.add', { kind: 'user', id: caller.userId, name: caller.userName }, undefined, {
          id: row.id,
          name: row.name,
        });
        changed('user', caller.userId);
        changed('session', caller.userId);
        return describePasskey(row);
      });
    }),
    implement(routes.renamePasskey, async ({ caller, params, body, services, origin }) => {
      requireOwnSession(caller);
      return services.store.write(origin, async ({ db, audit, changed }) => {
        const row = await findPasskey(db, caller.userId, params.passkeyId);
        if (row === undefined) throw notFound();
        await db.updateTable('passkey').set({ name: body.name }).where('id', '=', row.id).execute();
        await audit(
          'passkey.rename',
          { kind: 'user', id: caller.userId, name: caller.userName },
          { id: row.id, name: row.name },
          { id: row.id, name: body.name },
        );
        changed('user', caller.userId);
        return describePasskey({ ...row, name: body.name });
      });
    }),
    implement(routes.removePasskey, async ({ caller, params, services, origin }) => {
      const { session, sessionId } = requireOwnSession(caller);
      await services.store.write(origin, async ({ db, audit, changed }) => {
        const row = await findPasskey(db, caller.userId, params.passkeyId);
        if (row === undefined) throw notFound();
        const counts = await countSecondFactors(db, caller.userId);
        requireShownFactor(session, counts);
        const left = counts.passkeys - 1 + (counts.totp === undefined ? 0 : 1);
        await refuseLastFactor(db, caller.userId, left);
        await db.deleteFrom('passkey').where('id', '=', row.id).execute();
        if (left === 0) await removeRecoveryCodes(db, caller.userId);
        const ended = await endSessions({ db, changed }, caller.userId, sessionId);
        await audit(
          'passkey.remove',
          { kind: 'user', id: caller.userId, name: caller.userName },
          { id: row.id, name: row.name },
          { sessionsEnded: ended },
        );
      });
    }),
  ];
}

const notFound = (): ApiError => new ApiError('notFound', 'You have no such passkey.');

function requireParty({
  services,
  client,
  header,
}: Pick<RequestContext<unknown, unknown, unknown>, 'services' | 'client' | 'header'>): RelyingParty {
  const party = relyingPartyOf(services.publicUrl(), client, header('host'));
  if (party !== undefined) return party;
  throw new ApiError(
    'conflict',
    'Browsers have passkeys for names only, by https: give the service a name (publicUrl), and open it by that.',
  );
}

function refuseMore(present: number): void {
  if (present < maxPasskeys) return;
  throw new ApiError('limitReached', `You have ${maxPasskeys} passkeys; remove one that is no longer needed.`);
}
