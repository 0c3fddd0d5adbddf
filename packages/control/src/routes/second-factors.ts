import { routes } from '@sallyport/api';
import type { Transaction } from 'kysely';
import { hashRecoveryCode, newRecoveryCodes, newTotp, totpStepOf } from '../auth/codes.ts';
import type { Identity } from '../auth/identity.ts';
import { requireCovers } from '../auth/roles.ts';
import { offeredMethods, requireShownFactor, requireOwnSession } from '../auth/second-factors.ts';
import { addMethods } from '../auth/step-up.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { describePasskey, listPasskeys } from '../repositories/passkeys.ts';
import {
  addPendingTotp,
  confirmTotp,
  countSecondFactors,
  findTotp,
  isSecondFactorDemanded,
  removeRecoveryCodes,
  replaceRecoveryCodes,
} from '../repositories/second-factors.ts';
import { endSessions } from '../repositories/sessions.ts';
import { getUser, timeText } from '../repositories/users.ts';
import type { Database } from '../store/schema.ts';

/** How long a secret waits for its first code. */
const PENDING_MS = 3_600_000;

export function secondFactorRoutes({ limits }: Identity): RouteImplementation[] {
  return [
    implement(routes.getMySecondFactors, async ({ caller, services }) => {
      const { db } = services.store;
      const user = await getUser(db, caller.userId);
      const { totp, recoveryCodes } = await countSecondFactors(db, user.id);
      return {
        required: await isSecondFactorDemanded(db, user.id),
        hasPassword: user.password_hash !== null,
        totp: totp === undefined ? null : { createdAt: timeText(totp.created_at) },
        recoveryCodesLeft: recoveryCodes,
        passkeys: (await listPasskeys(db, user.id)).map(describePasskey),
      };
    }),
    implement(routes.beginTotp, async ({ caller, services, origin }) => {
      const { session } = requireOwnSession(caller);
      const { secret, uri, sealed } = newTotp(
        services.store,
        { id: caller.userId, name: caller.userName },
        services.publicUrl(),
      );
      await services.store.write(origin, async ({ db, now }) => {
        requireShownFactor(session, await countSecondFactors(db, caller.userId));
        await addPendingTotp(db, caller.userId, sealed, now);
      });
      return { secret, uri };
    }),
    implement(routes.confirmTotp, async ({ caller, body, services, origin }) => {
      const { session, sessionId } = requireOwnSession(caller);
      const { store } = services;
      const now = services.now();
      const pending = await findTotp(store.db, caller.userId, 'pending');
      if (pending === undefined || pending.created_at + PENDING_MS <= now) {
        throw new ApiError('conflict', 'No authenticator app waits for its first code: begin again.');
      }
      const giveBack = limits.takeCode({ userId: caller.userId, from: 'known' }, now);
      const step = totpStepOf(store, pending, body.code, now);
      if (step === undefined) {
        throw new ApiError('invalidRequest', "The code is wrong: type the app's present one, and check the clocks.", {
          faults: [{ at: '/body/code', message: 'is wrong' }],
        });
      }
      const recoveryCodes = await store.write(origin, async ({ db, audit, changed }) => {
        const before = await countSecondFactors(db, caller.userId);
        requireShownFactor(session, before);
        if (!(await confirmTotp(db, pending, step)) || !(await addMethods(db, sessionId, now, ['code']))) {
          throw new ApiError('conflict', 'Another authenticator app was set up meanwhile, or this session has ended.');
        }
        const codes = before.recoveryCodes === 0 ? newRecoveryCodes() : [];
        if (codes.length > 0) await replaceRecoveryCodes(db, caller.userId, codes.map(hashRecoveryCode));
        // Whoever logged in by the app before may not be its owner any more.
        const ended = before.totp === undefined ? 0 : await endSessions({ db, changed }, caller.userId, sessionId);
        await audit(
          before.totp === undefined ? 'totp.add' : 'totp.replace',
          { kind: 'user', id: caller.userId, name: caller.userName },
          undefined,
          { recoveryCodes: codes.length, sessionsEnded: ended },
        );
        changed('user', caller.userId);
        changed('session', caller.userId);
        return codes;
      });
      giveBack();
      return { recoveryCodes };
    }),
    implement(routes.removeTotp, async ({ caller, services, origin }) => {
      const { session, sessionId } = requireOwnSession(caller);
      await services.store.write(origin, async ({ db, audit, changed }) => {
        const counts = await countSecondFactors(db, caller.userId);
        const { totp, passkeys } = counts;
        requireShownFactor(session, counts);
        if (totp === undefined) throw new ApiError('notFound', 'You have no authenticator app.');
        await refuseLastFactor(db, caller.userId, passkeys);
        await db.deleteFrom('totp').where('user_id', '=', caller.userId).execute();
        if (passkeys === 0) await removeRecoveryCodes(db, caller.userId);
        const ended = await endSessions({ db, changed }, caller.userId, sessionId);
        await audit(
          'totp.remove',
          { kind: 'user', id: caller.userId, name: caller.userName },
          { createdAt: timeText(totp.created_at) },
          { sessionsEnded: ended },
        );
      });
    }),
    implement(routes.createRecoveryCodes, async ({ caller, services, origin }) => {
      const { session } = requireOwnSession(caller);
      const codes = newRecoveryCodes();
      return services.store.write(origin, async ({ db, audit, changed }) => {
        const counts = await countSecondFactors(db, caller.userId);
        requireShownFactor(session, counts);
        if (offeredMethods(counts).length === 0) {
          throw new ApiError(
            'conflict',
            'Recovery codes stand in for a second factor: set up an authenticator app or a passkey first.',
          );
        }
        await replaceRecoveryCodes(db, caller.userId, codes.map(hashRecoveryCode));
        await audit('recoveryCodes.create', { kind: 'user', id: caller.userId, name: caller.userName }, undefined, {
          recoveryCodes: codes.length,
        });
        changed('user', caller.userId);
        return { recoveryCodes: codes };
      });
    }),
    implement(routes.resetUserSecondFactors, async ({ params, caller, services, origin }) => {
      await services.store.write(origin, async ({ db, audit, changed }) => {
        const user = await getUser(db, params.userId);
        // Who can send an invitation as well can log in as this user from then on.
        requireCovers(caller, user.role);
        const { totp, passkeys, recoveryCodes } = await countSecondFactors(db, user.id);
        await db.deleteFrom('totp').where('user_id', '=', user.id).execute();
        await db.deleteFrom('passkey').where('user_id', '=', user.id).execute();
        await removeRecoveryCodes(db, user.id);
        const ended = await endSessions({ db, changed }, user.id);
        await audit(
          'secondFactors.reset',
          { kind: 'user', id: user.id, name: user.name },
          { totp: totp !== undefined, passkeys, recoveryCodes },
          { sessionsEnded: ended },
        );
      });
    }),
  ];
}

/** Throws where a group demands a second factor and none would be left. */
export async function refuseLastFactor(db: Transaction<Database>, userId: string, left: number): Promise<void> {
  if (left > 0 || !(await isSecondFactorDemanded(db, userId))) return;
  throw new ApiError(
    'conflict',
    'Your group asks for a second factor, and this is your last: set up the new one first, then remove this.',
  );
}
