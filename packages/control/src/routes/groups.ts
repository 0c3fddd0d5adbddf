import { routes } from '@sallyport/api';
import { EVERYONE } from '@sallyport/policy';
import { randomUUID } from 'node:crypto';
import type { Transaction } from 'kysely';
import { requireStepUp } from '../auth/step-up.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { checkVersion } from '../http/version.ts';
import {
  describeGroup,
  describeGroupRow,
  describeGroups,
  getGroup,
  listGroups,
  type GroupRow,
} from '../repositories/groups.ts';
import { References } from '../repositories/references.ts';
import { findRegion } from '../repositories/regions.ts';
import { getUser, listUsers } from '../repositories/users.ts';
import type { Database } from '../store/schema.ts';
import { Faults } from './faults.ts';
import { refuseKeptGroups } from './kept-by-scim.ts';
import { refuseBrokenTests } from './policy-guard.ts';
import { removeGroup } from './removals.ts';

export function groupRoutes(): RouteImplementation[] {
  return [
    implement(routes.listGroups, async ({ query, services }) => {
      const { db } = services.store;
      const { items, next } = await listGroups(db, query);
      return { items: await describeGroups(db, items), next };
    }),
    implement(routes.getGroup, async ({ params, services }) => {
      const { db } = services.store;
      return describeGroup(db, await getGroup(db, params.groupId));
    }),
    implement(routes.createGroup, async ({ body, services, origin }) =>
      services.store.write(origin, async ({ db, audit, changed }) => {
        await requireFreeName(db, body.name);
        const row: GroupRow = {
          id: randomUUID(),
          name: body.name,
          description: body.description ?? '',
          require_device_approval: body.requireDeviceApproval === true ? 1 : 0,
          require_second_factor: body.requireSecondFactor === true ? 1 : 0,
          require_kill_switch: body.requireKillSwitch === true ? 1 : 0,
          ...(await requiredPlaces(db, body, { require_region_id: null, require_gateway_id: null })),
          session_lifetime_seconds: body.sessionLifetimeSeconds ?? null,
          devices_per_user: body.devicesPerUser ?? null,
          bits_per_second: body.bitsPerSecond ?? null,
          traffic_bytes_per_month: body.trafficBytesPerMonth ?? null,
          version: 1,
        };
        await db.insertInto('group').values(row).execute();
        await audit('group.create', { kind: 'group', id: row.id, name: row.name }, undefined, describeGroupRow(row));
        changed('group', row.id);
        return describeGroup(db, row);
      }),
    ),
    implement(routes.updateGroup, async ({ params, body, caller, services, origin, ifMatch }) =>
      services.store.write(origin, async (writing) => {
        const { db, now, audit, changed } = writing;
        const before = await getGroup(db, params.groupId);
        checkVersion(before.version, ifMatch);
        if (body.requireSecondFactor === false && before.require_second_factor === 1) requireStepUp(caller, now);
        if (body.name !== undefined && body.name !== before.name) {
          if (before.id === EVERYONE) throw new ApiError('conflict', 'The group everyone keeps its name.');
          await refuseKeptGroups(db, [before.id]);
          await requireFreeName(db, body.name);
        }
        const row: GroupRow = {
          ...before,
          name: body.name ?? before.name,
          description: body.description ?? before.description,
          require_device_approval:
            body.requireDeviceApproval === undefined
              ? before.require_device_approval
              : body.requireDeviceApproval
                ? 1
                : 0,
          require_second_factor:
            body.requireSecondFactor === undefined ? before.require_second_factor : body.requireSecondFactor ? 1 : 0,
          require_kill_switch:
            body.requireKillSwitch === undefined ? before.require_kill_switch : body.requireKillSwitch ? 1 : 0,
          ...(await requiredPlaces(db, body, before)),
          session_lifetime_seconds:
            body.sessionLifetimeSeconds === undefined ? before.session_lifetime_seconds : body.sessionLifetimeSeconds,
          devices_per_user: body.devicesPerUser === undefined ? before.devices_per_user : body.devicesPerUser,
          bits_per_second: body.bitsPerSecond === undefined ? before.bits_per_second : body.bitsPerSecond,
          traffic_bytes_per_month:
            body.trafficBytesPerMonth === undefined ? before.traffic_bytes_per_month : body.trafficBytesPerMonth,
          version: before.version + 1,
        };
        const { id, ...columns } = row;
        await db.updateTable('group').set(columns).where('id', '=', id).execute();
        await audit(
          'group.update',
          { kind: 'group', id, name: row.name },
          describeGroupRow(before),
          describeGroupRow(row),
        );
        changed('group', id);
        await refuseBrokenTests(services, writing);
        return describeGroup(db, row);
      }),
    ),
    implement(routes.deleteGroup, async ({ params, caller, services, origin, ifMatch }) => {
      await services.store.write(origin, async (writing) => {
        const row = await getGroup(writing.db, params.groupId);
        checkVersion(row.version, ifMatch);
        if (row.require_second_factor === 1) requireStepUp(caller, writing.now);
        if (row.id === EVERYONE) throw new ApiError('conflict', 'The group everyone stays: every user is in it.');
        await removeGroup(writing, row);
      });
    }),
    implement(routes.listGroupMembers, async ({ params, query, services }) => {
      const { db } = services.store;
      const { id } = await getGroup(db, params.groupId);
      const { items, next } = await listUsers(db, { ...query, groupId: id });
      return { items: items.map((row) => ({ id: row.id, name: row.name, displayName: row.display_name })), next };
    }),
    implement(routes.addGroupMember, async ({ params, services, origin }) => {
      await services.store.write(origin, async (writing) => {
        const { db, audit, changed } = writing;
        const group = await getGroup(db, params.groupId);
        const user = await getUser(db, params.userId);
        refuseEveryone(group);
        await refuseKeptGroups(db, [group.id]);
        const { numInsertedOrUpdatedRows } = await db
          .insertInto('group_member')
          .values({ group_id: group.id, user_id: user.id })
          .onConflict((conflict) => conflict.columns(['group_id', 'user_id']).doNothing())
          .executeTakeFirst();
        if ((numInsertedOrUpdatedRows ?? 0n) === 0n) return;
        await db
          .updateTable('user')
          .set({ version: user.version + 1 })
          .where('id', '=', user.id)
          .execute();
        await audit('group.addMember', { kind: 'group', id: group.id, name: group.name }, undefined, {
          user: { id: user.id, name: user.name },
        });
        changed('user', user.id);
        await refuseBrokenTests(services, writing);
      });
    }),
    implement(routes.removeGroupMember, async ({ params, services, origin }) => {
      await services.store.write(origin, async (writing) => {
        const { db, audit, changed } = writing;
        const group = await getGroup(db, params.groupId);
        const user = await getUser(db, params.userId);
        refuseEveryone(group);
        await refuseKeptGroups(db, [group.id]);
        const { numDeletedRows } = await db
          .deleteFrom('group_member')
          .where('group_id', '=', group.id)
          .where('user_id', '=', user.id)
          .executeTakeFirst();
        if (numDeletedRows === 0n) throw new ApiError('notFound', 'The user is not in the group.');
        await db
          .deleteFrom('claimed_membership')
          .where('group_id', '=', group.id)
          .where('user_id', '=', user.id)
          .execute();
        await db
          .updateTable('user')
          .set({ version: user.version + 1 })
          .where('id', '=', user.id)
          .execute();
        await audit(
          'group.removeMember',
          { kind: 'group', id: group.id, name: group.name },
          {
            user: { id: user.id, name: user.name },
          },
        );
        changed('user', user.id);
        await refuseBrokenTests(services, writing);
      });
    }),
  ];
}

type RequiredPlaces = Pick<GroupRow, 'require_region_id' | 'require_gateway_id'>;

/** Where members may connect after a request; throws an ApiError where there is no such place. */
async function requiredPlaces(
  db: Transaction<Database>,
  body: { readonly requireRegionId?: string | null | undefined; readonly requireGatewayId?: string | null | undefined },
  before: RequiredPlaces,
): Promise<RequiredPlaces> {
  const { requireRegionId: regionId = before.require_region_id } = body;
  const faults = new Faults();
  if (typeof body.requireRegionId === 'string' && (await findRegion(db, body.requireRegionId)) === undefined)
    faults.add('/body/requireRegionId', 'there is no such region');
  let gatewayId: string | null | undefined = before.require_gateway_id;
  if (body.requireGatewayId !== undefined) {
    gatewayId =
      body.requireGatewayId === null
        ? null
        : (await References.read(db, ['gateway'])).idOf('gateway', body.requireGatewayId);
    if (gatewayId === undefined) faults.add('/body/requireGatewayId', 'there is no such gateway');
  }
  faults.check();
  return { require_region_id: regionId, require_gateway_id: gatewayId ?? null };
}

async function requireFreeName(db: Transaction<Database>, name: string): Promise<void> {
  const row = await db.selectFrom('group').select('id').where('name', '=', name).executeTakeFirst();
  if (row !== undefined) throw new ApiError('nameTaken', `There is a group ${name} already; choose another name.`);
}

function refuseEveryone(group: GroupRow): void {
  if (group.id === EVERYONE)
    throw new ApiError('conflict', 'Every user is in the group everyone, and nobody leaves it.');
}
