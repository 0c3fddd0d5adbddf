import { routes } from '@sallyport/api';
import type { Transaction } from 'kysely';
import type { Identity } from '../auth/identity.ts';
import { requireCovers } from '../auth/roles.ts';
import { requireStepUp } from '../auth/step-up.ts';
import { ApiError } from '../http/api-error.ts';
import type { Caller } from '../http/caller.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { checkVersion } from '../http/version.ts';
import { getGroup, resolveGroups } from '../repositories/groups.ts';
import { endInvitations } from '../repositories/invitations.ts';
import { describeSessions, endSessions, listSessions } from '../repositories/sessions.ts';
import {
  describeUser,
  describeUserRow,
  describeUsers,
  findUserByName,
  getUser,
  groupsOfUsers,
  hasAdministrator,
  listUsers,
  setGroups,
  newUserRow,
  type UserRow,
} from '../repositories/users.ts';
import type { Database } from '../store/schema.ts';
import { refuseKeptGroups, refuseKeptUser } from './kept-by-scim.ts';
import { refuseBrokenTests } from './policy-guard.ts';
import { removeUser } from './removals.ts';

export function userRoutes({ sessions }: Identity): RouteImplementation[] {
  return [
    implement(routes.listUsers, async ({ query, services }) => {
      const { db } = services.store;
      const groupId = query.groupId === undefined ? undefined : (await getGroup(db, query.groupId)).id;
      const disabled = query.disabled === undefined ? undefined : query.disabled === 'true';
      const { items, next } = await listUsers(db, { ...query, groupId, disabled });
      return { items: await describeUsers(db, services.directory.model, items), next };
    }),
    implement(routes.getUser, async ({ params, services }) => {
      const { db } = services.store;
      return describeUser(db, services.directory.model, await getUser(db, params.userId));
    }),
    implement(routes.createUser, async ({ body, caller, services, origin }) => {
      const role = body.role ?? 'user';
      requireCovers(caller, role);
      if (body.groups !== undefined && body.groups.length > 0) requireGroupsWrite(caller);
      return services.store.write(origin, async ({ db, now, audit, changed }) => {
        await requireFreeName(db, body.name);
        const groups = await resolveGroups(db, body.groups ?? [], '/body/groups');
        await refuseKeptGroups(db, groups);
        const row = newUserRow(now, {
          name: body.name,
          display_name: body.displayName ?? '',
          email: body.email ?? null,
          role,
          expires_at: timeOf(body.expiresAt),
          devices_per_user: body.devicesPerUser ?? null,
          bits_per_second: body.bitsPerSecond ?? null,
          traffic_bytes_per_month: body.trafficBytesPerMonth ?? null,
        });
        await db.insertInto('user').values(row).execute();
        await setGroups(db, row.id, groups);
        await audit(
          'user.create',
          { kind: 'user', id: row.id, name: row.name },
          undefined,
          describeUserRow(row, groups),
        );
        changed('user', row.id);
        return describeUser(db, services.directory.model, row);
      });
    }),
    implement(routes.updateUser, async ({ params, body, caller, services, origin, ifMatch }) =>
      services.store.write(origin, async (writing) => {
        const { db, now, audit, changed } = writing;
        const before = await getUser(db, params.userId);
        checkVersion(before.version, ifMatch);
        requireCovers(caller, before.role);
        if (body.role !== undefined && body.role !== before.role) {
          requireCovers(caller, body.role);
          refuseOnOneself(caller, before, 'role');
          requireStepUp(caller, now);
        }
        // An identity provider may log in by it.
        if (body.email !== undefined && body.email !== before.email) requireStepUp(caller, now);
        if (body.disabled === true) refuseOnOneself(caller, before, 'account');
        if (body.name !== undefined && body.name !== before.name) await requireFreeName(db, body.name);
        const groupsBefore = (await groupsOfUsers(db, [before.id])).get(before.id) ?? [];
        const groups = body.groups === undefined ? groupsBefore : await resolveGroups(db, body.groups, '/body/groups');
        const row: UserRow = {
          ...before,
          name: body.name ?? before.name,
          display_name: body.displayName ?? before.display_name,
          email: body.email === undefined ? before.email : body.email,
          role: body.role ?? before.role,
          disabled: body.disabled === undefined ? before.disabled : body.disabled ? 1 : 0,
          expires_at: body.expiresAt === undefined ? before.expires_at : timeOf(body.expiresAt),
          devices_per_user: body.devicesPerUser === undefined ? before.devices_per_user : body.devicesPerUser,
          bits_per_second: body.bitsPerSecond === undefined ? before.bits_per_second : body.bitsPerSecond,
          traffic_bytes_per_month:
            body.trafficBytesPerMonth === undefined ? before.traffic_bytes_per_month : body.trafficBytesPerMonth,
          version: before.version + 1,
        };
        await refuseKeptUser(db, before, row);
        await refuseKeptGroups(db, difference(groups, groupsBefore));
        const { id, ...columns } = row;
        await db.updateTable('user').set(columns).where('id', '=', id).execute();
        if (!sameSet(groups, groupsBefore)) {
          requireGroupsWrite(caller);
          await setGroups(db, id, groups);
        }
        if (before.role === 'administrator') await requireAdministrator(db);
        const isNowDisabled = row.disabled === 1 && before.disabled === 0;
        if (isNowDisabled) await endSessions({ db, changed }, id);
        // Who could invite the user that this was may not invite the one that it is now.
        const taken = isNowDisabled || row.role !== before.role ? await endInvitations(db, id) : [];
        await audit(
          'user.update',
          { kind: 'user', id, name: row.name },
          describeUserRow(before, groupsBefore),
          describeUserRow(row, groups),
        );
        changed('user', id);
        for (const invitationId of taken) changed('invitation', invitationId);
        if (!sameSet(groups, groupsBefore)) await refuseBrokenTests(services, writing);
        return describeUser(db, services.directory.model, row);
      }),
    ),
    implement(routes.deleteUser, async ({ params, caller, services, origin, ifMatch }) => {
      await services.store.write(origin, async (writing) => {
        const row = await getUser(writing.db, params.userId);
        checkVersion(row.version, ifMatch);
        requireCovers(caller, row.role);
        refuseOnOneself(caller, row, 'account');
        await removeUser(writing, row);
        if (row.role === 'administrator') await requireAdministrator(writing.db);
      });
    }),
    implement(routes.listUserSessions, async ({ params, caller, services }) => {
      const { db } = services.store;
      const { id } = await getUser(db, params.userId);
      const rows = await listSessions(db, id);
      return { items: describeSessions(rows, sessions, services.now(), caller.credentialId), next: null };
    }),
    implement(routes.endUserSessions, async ({ params, caller, services, origin }) => {
      await services.store.write(origin, async ({ db, audit, changed }) => {
        const user = await getUser(db, params.userId);
        requireCovers(caller, user.role);
        const ended = await endSessions({ db, changed }, user.id);
        await audit('session.end', { kind: 'user', id: user.id, name: user.name }, undefined, { sessionsEnded: ended });
      });
    }),
  ];
}

async function requireFreeName(db: Transaction<Database>, name: string): Promise<void> {
  if ((await findUserByName(db, name)) === undefined) return;
  throw new ApiError('nameTaken', `There is a user ${name} already; choose another name.`);
}

async function requireAdministrator(db: Transaction<Database>): Promise<void> {
  if (await hasAdministrator(db)) return;
  throw new ApiError(
    'lastAdministrator',
    'Nobody would be left who can administer the service: somebody must be an administrator who is enabled, has chosen a password and does not expire.',
  );
}

function requireGroupsWrite(caller: Caller): void {
  if (caller.permissions.has('groups:write')) return;
  throw new ApiError('forbidden', "To change a user's groups needs the permission groups:write as well.");
}

function refuseOnOneself(caller: Caller, user: UserRow, what: string): void {
  if (caller.userId !== user.id) return;
  throw new ApiError('forbidden', `Nobody takes away or changes their own ${what}; ask another administrator.`);
}

function timeOf(text: string | null | undefined): number | null {
  return text === null || text === undefined ? null : Date.parse(text);
}

/** What is in one list and not in the other. */
function difference(a: readonly string[], b: readonly string[]): string[] {
  return [...a.filter((item) => !b.includes(item)), ...b.filter((item) => !a.includes(item))];
}

function sameSet(a: readonly string[], b: readonly string[]): boolean {
  return new Set(a).size === b.length && a.every((item) => b.includes(item));
}
