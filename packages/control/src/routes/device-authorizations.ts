import { routes } from '@sallyport/api';
import type { z } from 'zod';
import { DeviceAuthorizationLimits, readUserCode, showUserCode } from '../auth/device-authorization.ts';
import type { Identity } from '../auth/identity.ts';
import { methodsOf } from '../auth/login-methods.ts';
import { requireOwnSession } from '../auth/second-factors.ts';
import { endOfSession, expiryOf } from '../auth/sessions.ts';
import { requireStepUp } from '../auth/step-up.ts';
import { hashToken, newToken } from '../auth/tokens.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import {
  addDeviceAuthorization,
  decide,
  describeWaiting,
  findByDeviceCode,
  findWaiting,
  notePoll,
  useUp,
  type DeviceAuthorizationRow,
} from '../repositories/device-authorizations.ts';
import { lacksSecondFactor } from '../repositories/second-factors.ts';
import { createSession } from '../repositories/sessions.ts';
import { getUser, timeText } from '../repositories/users.ts';
import type { Services } from '../services.ts';
import type { Origin, Writing } from '../store/store.ts';

type Redeemed = z.output<NonNullable<(typeof routes.redeemDeviceAuthorization)['result']>>;

/** Logins of clients without a browser (RFC 8628). What the client gets is a session of the kind `client`. */
export function deviceAuthorizationRoutes(identity: Identity): RouteImplementation[] {
  const limits = new DeviceAuthorizationLimits();
  const unknown = (): ApiError =>
    new ApiError('notFound', 'No client waits with this code. It may be too old: begin at the client again.');
  return [
    implement(routes.startDeviceAuthorization, async ({ body, services, origin, client }) => {
      limits.takeStart(client.address, services.now());
      const deviceCode = newToken('deviceCode');
      const asked = { deviceCodeHash: hashToken(deviceCode), client: body.client, address: client.address };
      const row = await services.store.write(origin, ({ db, now }) => addDeviceAuthorization(db, asked, now));
      const userCode = showUserCode(row.user_code);
      const verificationUri = `${services.publicUrl()}/client`;
      return {
        deviceCode,
        userCode,
        verificationUri,
        verificationUriComplete: `${verificationUri}?code=${userCode}`,
        expiresInSeconds: Math.floor((row.expires_at - row.created_at) / 1000),
        intervalSeconds: row.interval_seconds,
      };
    }),
    implement(routes.redeemDeviceAuthorization, async ({ body, services, origin }): Promise<Redeemed> => {
      const { db } = services.store;
      const now = services.now();
      const row = await findByDeviceCode(db, hashToken(body.deviceCode), now);
      if (row === undefined) return { state: 'expired' };
      if (row.state !== 'pending') return redeem(services, identity, row.device_code_hash, origin);
      return { state: (await notePoll(db, row, now)) ? 'pending' : 'slowDown' };
    }),
    implement(routes.getDeviceAuthorization, async ({ params, caller, services, client }) => {
      requireOwnSession(caller);
      const now = services.now();
      const giveBack = limits.takeGuess({ userId: caller.userId, address: client.address }, now);
      const row = await findWaiting(services.store.db, readUserCode(params.userCode), now);
      if (row === undefined) throw unknown();
      giveBack();
      return describeWaiting(row);
    }),
    implement(routes.decideDeviceAuthorization, async ({ params, body, caller, services, origin, client }) => {
      const { sessionId } = requireOwnSession(caller);
      const giveBack = limits.takeGuess({ userId: caller.userId, address: client.address }, services.now());
      const approves = body.decision === 'approve';
      const { store } = services;
      const row = await findWaiting(store.db, readUserCode(params.userCode), services.now());
      if (row === undefined) throw unknown();
      giveBack();
      // It becomes another way in, for months: as API tokens are, it is given out on a fresh proof only.
      if (approves) requireStepUp(caller, services.now());
      const state = approves ? 'approved' : 'denied';
      await store.write(origin, async ({ db, now, audit }) => {
        const by = { state, userId: caller.userId, sessionId } as const;
        if (!(await decide(db, row.device_code_hash, by, now))) throw unknown();
        await audit(
          approves ? 'clientLogin.approve' : 'clientLogin.deny',
          { kind: 'user', id: caller.userId, name: caller.userName },
          undefined,
          // Addresses are kept where the settings say so.
          { client: row.client, ...(origin.address === null ? {} : { clientAddress: row.address }) },
        );
      });
    }),
  ];
}

/** Ends the waiting of a client that somebody decided about, and gives it a session if it was let in. */
async function redeem(
  { store }: Services,
  { sessions }: Identity,
  deviceCodeHash: string,
  origin: Origin,
): Promise<Redeemed> {
  return store.write(origin, async (writing): Promise<Redeemed> => {
    const { db, now } = writing;
    const row = await findByDeviceCode(db, deviceCodeHash, now);
    if (row === undefined || !(await useUp(db, deviceCodeHash))) return { state: 'expired' };
    if (row.state !== 'approved' || row.user_id === null) return { state: 'denied' };
    const by = await approver(writing, row, sessions);
    if (by === undefined) return { state: 'denied' };
    const { user, session, methods } = by;
    const expiresAt = expiryOf('client', now, sessions);
    const created = await createSession(db, {
      kind: 'client',
      userId: user.id,
      client: row.client,
      now,
      expiresAt,
      methods,
      providerId: session.provider_id,
      authenticatedAt: session.authenticated_at,
    });
    // By the last login devices connect again; the proof behind this one is minutes old.
    await db.updateTable('user').set({ last_login_at: now }).where('id', '=', user.id).execute();
    await writing.audit('login.succeed', { kind: 'user', id: user.id, name: user.name }, undefined, {
      session: created.id,
      client: row.client,
      methods,
      approvedBy: session.id,
    });
    writing.changed('user', user.id);
    writing.changed('session', user.id);
    return {
      state: 'approved',
      token: created.token,
      userId: user.id,
      userName: user.name,
      expiresAt: timeText(expiresAt),
    };
  });
}

/** Who let a client in, as they are now; undefined where their session has ended or they may log in no more. */
async function approver({ db, now }: Writing, row: DeviceAuthorizationRow, sessions: Identity['sessions']) {
  const session = await db
    .selectFrom('session')
    .selectAll()
    .where('id', '=', row.session_id)
    .where('user_id', '=', row.user_id)
    .where('kind', '=', 'login')
    .executeTakeFirst();
  if (session === undefined || endOfSession(session, sessions) <= now) return undefined;
  const user = await getUser(db, session.user_id);
  if (user.disabled === 1 || (user.expires_at !== null && user.expires_at <= now)) return undefined;
  const methods = methodsOf(session);
  const lacks = await lacksSecondFactor(db, { userId: user.id, methods, providerId: session.provider_id });
  return lacks ? undefined : { user, session, methods };
}
