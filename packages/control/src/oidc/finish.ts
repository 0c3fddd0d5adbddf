import { readCookie } from '../auth/cookies.ts';
import type { Identity } from '../auth/identity.ts';
import { endOfSession } from '../auth/sessions.ts';
import { startSession } from '../auth/start-session.ts';
import { markSteppedUp } from '../auth/step-up.ts';
import { hashToken } from '../auth/tokens.ts';
import type { EndpointRequest } from '../http/endpoint.ts';
import { findIdentityProviderById, type IdentityProviderRow } from '../repositories/identity-providers.ts';
import { isKnownClient } from '../repositories/sessions.ts';
import { getUser } from '../repositories/users.ts';
import { testsBrokenBy } from '../routes/policy-guard.ts';
import type { Services } from '../services.ts';
import type { Origin, Writing } from '../store/store.ts';
import type { Claims } from './claims.ts';
import { LoginFault } from './login-fault.ts';
import { followClaims } from './memberships.ts';
import type { Transaction } from './transaction.ts';
import { findExternalUser, keepIdentity, resolveUser, type Resolved } from './users.ts';

/** A provider's answer that was found to be good, and what it answers. */
export interface Answered {
  readonly provider: IdentityProviderRow;
  readonly transaction: Transaction;
  /** The transaction as the browser kept it. */
  readonly sealed: string;
  readonly claims: Claims;
  readonly request: EndpointRequest;
  readonly origin: Origin;
}

/** Each that comes to nothing is one in which somebody else took the name that they were to have. */
const ATTEMPTS = 10;

/** Between looking and writing, somebody else was quicker. */
class Overtaken extends Error {}

/** The groups in the claims give access that a policy test forbids. */
class ForbiddenAccess extends Error {
  readonly test: string;

  constructor(test: string) {
    super('a policy test forbids it');
    this.test = test;
  }
}

/** Logs in whom the claims are about; answers the values of Set-Cookie. Throws a LoginFault or an ApiError. */
export async function finishLogin(services: Services, identity: Identity, answered: Answered): Promise<string[]> {
  const { provider, claims, request, origin } = answered;
  const { db } = services.store;
  const now = services.now();
  const mark = readCookie(request.header('cookie'), 'knownClient', request.client);
  let mayJoin = true;
  for (let attempt = 1; ; attempt++) {
    const resolved = await resolveUser(db, provider, claims, now);
    const { user } = resolved;
    const known = mark !== undefined && (await isKnownClient(db, user.id, hashToken(mark), now));
    const cookies: string[] = [];
    try {
      await startSession(
        services,
        identity,
        {
          user,
          methods: ['provider'],
          providerId: provider.id,
          providerName: provider.name,
          clientName: '',
          client: request.client,
          asCookie: true,
          origin,
          knownMark: known ? mark : undefined,
        },
        (_name, value) => cookies.push(value),
        (writing) => admit(services, writing, identity, answered, resolved, mayJoin),
      );
      return cookies;
    } catch (error) {
      if (error instanceof ForbiddenAccess) {
        const told = { provider: provider.name, user: user.id, test: error.test };
        services.log.warn(
          told,
          'a login gives no new groups: with those that the provider names a policy test would fail',
        );
        mayJoin = false;
      } else if (!(error instanceof Overtaken) || attempt === ATTEMPTS) throw error;
    }
  }
}

/** Writes all that the login means besides its session. */
async function admit(
  services: Services,
  writing: Writing,
  identity: Identity,
  answered: Answered,
  resolved: Resolved,
  mayJoin: boolean,
): Promise<void> {
  const { provider, claims, origin } = answered;
  await useUp(writing, identity, answered);
  const again = await resolveUser(writing.db, provider, claims, writing.now);
  const same = again.how === 'created' ? again.user.name === resolved.user.name : again.user.id === resolved.user.id;
  if (again.how !== resolved.how || !same) throw new Overtaken();
  const by: Origin = { ...origin, actor: { kind: 'system', id: provider.id, name: provider.name } };
  await keepIdentity(writing, provider, claims.subject, resolved, by);
  const joined = await followClaims(writing, provider, resolved.user.id, claims.groups, by, mayJoin);
  if (!joined) return;
  // That somebody has access keeps nobody in a group.
  const forbidden = (await testsBrokenBy(services, writing)).find(({ test }) => test.expect === 'deny');
  if (forbidden !== undefined) throw new ForbiddenAccess(forbidden.test.name);
}

/** Notes that the user of a session proved that it is them. Throws a LoginFault. */
export async function finishStepUp(
  { store }: Services,
  identity: Identity,
  answered: Answered,
  { sessionId, userId }: NonNullable<Transaction['stepUp']>,
): Promise<string[]> {
  const { provider, claims, origin } = answered;
  const { id, name } = await getUser(store.db, userId);
  const by: Origin = { ...origin, via: 'console', actor: { kind: 'user', id, name } };
  await store.write(by, async (writing) => {
    const { db, now, audit, changed } = writing;
    await useUp(writing, identity, answered);
    const user = await findExternalUser(db, provider.id, claims.subject);
    if (user?.id !== userId) {
      throw new LoginFault('otherUser', 'somebody else logged in at the provider', { user: { id, name } });
    }
    const session = await db
      .selectFrom('session')
      .select(['kind', 'expires_at', 'last_used_at'])
      .where('id', '=', sessionId)
      .where('kind', '=', 'login')
      .where('user_id', '=', userId)
      .executeTakeFirst();
    const over = session === undefined || endOfSession(session, identity.sessions) <= now || user.disabled === 1;
    if (over || !(await markSteppedUp(db, sessionId, now, ['provider']))) {
      throw new LoginFault('sessionEnded', 'the session ended meanwhile', { user: { id, name } });
    }
    await audit('session.stepUp', { kind: 'user', id, name }, undefined, {
      session: sessionId,
      methods: ['provider'],
      provider: { id: provider.id, name: provider.name },
    });
    changed('session', userId);
  });
  return [];
}

/** Lets a transaction count this once, and only for the provider as it was when it answered. */
async function useUp({ db }: Writing, { challenges }: Identity, { provider, sealed }: Answered): Promise<void> {
  const now = await findIdentityProviderById(db, provider.id);
  if (now?.enabled !== 1) throw new LoginFault('providerDisabled', 'the provider was switched off meanwhile');
  if (now.version !== provider.version) throw new LoginFault('expired', 'the provider was changed meanwhile');
  if (!(await challenges.use(db, sealed))) throw new LoginFault('expired', 'this login is over already');
}
