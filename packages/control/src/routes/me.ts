import { routes, type Permission } from '@sallyport/api';
import { limitsOf, sessionLifetimeOf } from '@sallyport/policy';
import type { Identity } from '../auth/identity.ts';
import { requireOwnSession } from '../auth/second-factors.ts';
import { requireStepUp } from '../auth/step-up.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { countDevices } from '../repositories/devices.ts';
import { endInvitations } from '../repositories/invitations.ts';
import { describeSessions, endSessions, listSessions } from '../repositories/sessions.ts';
import { describeUser, describeUserRow, getUser, groupsOfUsers, timeText } from '../repositories/users.ts';
import { refuseKeptUser } from './kept-by-scim.ts';

export function meRoutes({ passwords, limits, failures, sessions, csrf }: Identity): RouteImplementation[] {
  return [
    implement(routes.getMe, async ({ caller, services, origin }) => {
      const { db } = services.store;
      const { model } = services.directory;
      const row = await getUser(db, caller.userId);
      const inModel = model.users.get(row.id);
      const effective =
        inModel === undefined
          ? { devicesPerUser: null, bitsPerSecond: null, trafficBytesPerMonth: null }
          : limitsOf(model, inModel);
      const lifetime = inModel === undefined ? null : sessionLifetimeOf(model, inModel);
      const user = await describeUser(db, model, row);
      const now = new Date(services.now());
      const resetsAt = new Date(Date.UTC(now.getUTCFullYear(), now.getUTCMonth() + 1));
      const devices = await countDevices(db, row.id);
      const messages: string[] = [];
      if (effective.trafficBytesPerMonth !== null && user.trafficBytesThisMonth >= effective.trafficBytesPerMonth) {
        messages.push(
          `The traffic of this month is used up; devices are cut off until ${resetsAt.toISOString()}. Ask an administrator for more.`,
        );
      }
      if (effective.devicesPerUser !== null && devices >= effective.devicesPerUser) {
        messages.push(
          `You have as many devices as you may (${effective.devicesPerUser}): remove one before you add another.`,
        );
      }
      const loginAgainBefore = lifetime === null ? null : (row.last_login_at ?? 0) + lifetime;
      if (loginAgainBefore !== null && loginAgainBefore <= services.now()) {
        messages.push('Your last login is too long ago; devices are cut off until you log in again.');
      }
      return {
        user,
        permissions: [...caller.permissions].filter(
          (scope): scope is Permission => scope !== 'self' && scope !== 'enrol',
        ),
        session:
          caller.session === undefined
            ? null
            : {
                methods: [...caller.session.methods],
                authenticatedAt: timeText(caller.session.authenticatedAt),
                mustEnrol: caller.session.mustEnrol,
                csrfToken: origin.via === 'console' ? csrf.of(caller.credentialId) : null,
              },
        standing: {
          devices: { used: devices, allowed: effective.devicesPerUser },
          trafficBytesThisMonth: {
            used: user.trafficBytesThisMonth,
            allowed: effective.trafficBytesPerMonth,
            resetsAt: resetsAt.toISOString(),
          },
          bitsPerSecond: effective.bitsPerSecond,
          loginAgainBefore: loginAgainBefore === null ? null : timeText(loginAgainBefore),
          messages,
        },
      };
    }),
    implement(routes.updateMe, async ({ caller, body, services, origin }) =>
      services.store.write(origin, async ({ db, now, audit, changed }) => {
        const before = await getUser(db, caller.userId);
        if (body.email !== undefined && body.email !== before.email) {
          // An identity provider may log in by it: who gives themselves somebody else's would share an account with them.
          if (!caller.permissions.has('users:write')) {
            throw new ApiError(
              'forbidden',
              'Nobody verifies mail addresses here: ask an administrator to change yours.',
            );
          }
          requireStepUp(caller, now);
        }
        const groups = (await groupsOfUsers(db, [before.id])).get(before.id) ?? [];
        const row = {
          ...before,
          display_name: body.displayName ?? before.display_name,
          email: body.email === undefined ? before.email : body.email,
          version: before.version + 1,
        };
        await refuseKeptUser(db, before, row);
        await db
          .updateTable('user')
          .set({ display_name: row.display_name, email: row.email, version: row.version })
          .where('id', '=', row.id)
          .execute();
        await audit(
          'user.update',
          { kind: 'user', id: row.id, name: row.name },
          describeUserRow(before, groups),
          describeUserRow(row, groups),
        );
        changed('user', row.id);
        return describeUser(db, services.directory.model, row);
      }),
    ),
    implement(routes.changePassword, async ({ caller, body, services, origin, client }) => {
      const user = await getUser(services.store.db, caller.userId);
      if (user.password_hash === null) {
        // The first password is a new way in.
        requireOwnSession(caller);
        requireStepUp(caller, services.now());
      } else {
        // A session that was stolen is no way to guess the password.
        const giveBack = limits.take(
          { address: client.address, name: user.name, knownClient: `session ${caller.credentialId}` },
          services.now(),
        );
        if (!(await passwords.verify(body.currentPassword, user.password_hash))) {
          failures.add({ user, why: 'password', origin });
          throw new ApiError('invalidRequest', 'The current password is wrong.', {
            faults: [{ at: '/body/currentPassword', message: 'is wrong' }],
          });
        }
        giveBack();
      }
      const hash = await passwords.hash(body.newPassword);
      await services.store.write(origin, async ({ db, audit, changed }) => {
        const { numUpdatedRows } = await db
          .updateTable('user')
          .set({ password_hash: hash })
          .where('id', '=', user.id)
          .where('password_hash', 'is not distinct from', user.password_hash)
          .executeTakeFirst();
        if (numUpdatedRows === 0n) throw new ApiError('conflict', 'The password was changed meanwhile.');
        const ended = await endSessions(
          { db, changed },
          user.id,
          caller.kind === 'session' ? caller.credentialId : undefined,
        );
        const taken = await endInvitations(db, user.id);
        await audit('password.change', { kind: 'user', id: user.id, name: user.name }, undefined, {
          sessionsEnded: ended,
        });
        for (const id of taken) changed('invitation', id);
      });
    }),
    implement(routes.listMySessions, async ({ caller, services }) => {
      const rows = await listSessions(services.store.db, caller.userId);
      return { items: describeSessions(rows, sessions, services.now(), caller.credentialId), next: null };
    }),
    implement(routes.endMySession, async ({ caller, params, services, origin }) => {
      await services.store.write(origin, async ({ db, audit, changed }) => {
        const { numDeletedRows } = await db
          .deleteFrom('session')
          .where('id', '=', params.sessionId)
          .where('user_id', '=', caller.userId)
          .executeTakeFirst();
        if (numDeletedRows === 0n) throw new ApiError('notFound', 'You have no such session.');
        await audit(
          'session.end',
          { kind: 'user', id: caller.userId, name: caller.userName },
          { session: params.sessionId },
        );
        changed('session', caller.userId);
      });
    }),
    implement(routes.endMyOtherSessions, async ({ caller, services, origin }) => {
      await services.store.write(origin, async ({ db, audit, changed }) => {
        const ended = await endSessions(
          { db, changed },
          caller.userId,
          caller.kind === 'session' ? caller.credentialId : undefined,
        );
        await audit('session.end', { kind: 'user', id: caller.userId, name: caller.userName }, undefined, {
          sessionsEnded: ended,
        });
      });
    }),
  ];
}
