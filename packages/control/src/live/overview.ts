import type { Overview, Permission } from '@sallyport/api';
import { standingOf } from '@sallyport/policy';
import type { Kysely } from 'kysely';
import type { Caller } from '../http/caller.ts';
import { countDevicesWithWaitingNetworks } from '../repositories/devices.ts';
import { gatewayStatuses, NEVER_CONNECTED } from '../repositories/status.ts';
import type { Services } from '../services.ts';
import type { Database } from '../store/schema.ts';
import type { Samples } from './samples.ts';

/** Counts come from the model in memory, what gateways say of themselves from the database. */
export async function overviewOf(
  { store, directory, now }: Services,
  samples: Samples,
  caller: Caller,
): Promise<Overview> {
  const { model } = directory;
  const statuses = await gatewayStatuses(store.db, now());
  const regions = new Map((await store.db.selectFrom('region').select(['id', 'name']).execute()).map((r) => [r.id, r]));
  const rows = await store.db
    .selectFrom('gateway')
    .select(['id', 'name', 'region_id', 'draining'])
    .orderBy('name')
    .execute();
  const gateways = rows.map((row) => ({ ...row, ...(statuses.get(row.id) ?? NEVER_CONNECTED) }));

  let disabled = 0;
  for (const user of model.users.values()) if (user.disabled) disabled++;
  let awaitingApproval = 0;
  for (const device of model.devices.values()) {
    if (standingOf(model, device, now()).standing === 'awaitingApproval') awaitingApproval++;
  }
  let active = 0;
  for (const { health, load } of gateways)
    if (health === 'healthy' || health === 'degraded') active += load?.activeDevices ?? 0;

  const notices: Overview['notices'] = [];
  const notice = (
    kind: Overview['notices'][number]['kind'],
    permission: Permission,
    count: number,
    text: (count: string, plural: boolean) => string,
  ): void => {
    if (count === 0 || !caller.permissions.has(permission)) return;
    notices.push({ kind, count, text: text(String(count), count !== 1) });
  };
  notice(
    'noGateway',
    'gateways:read',
    rows.length === 0 ? 1 : 0,
    () => 'No gateway has joined: nobody can connect yet.',
  );
  const unhealthy = gateways.filter(({ health, draining }) => health !== 'healthy' && draining === 0);
  notice('gatewayUnhealthy', 'gateways:read', unhealthy.length, (count, plural) =>
    plural ? `${count} gateways are not healthy.` : `The gateway ${unhealthy[0].name} is not healthy.`,
  );
  notice('devicesAwaitApproval', 'devices:read', awaitingApproval, (count, plural) =>
    plural ? `${count} devices wait for approval.` : 'A device waits for approval.',
  );
  const withNetworks = caller.permissions.has('devices:read') ? await countDevicesWithWaitingNetworks(store.db) : 0;
  notice('networksAwaitApproval', 'devices:read', withNetworks, (count, plural) =>
    plural
      ? `${count} devices offer networks that wait for approval.`
      : 'A device offers a network that waits for approval.',
  );
  const unprotected = caller.permissions.has('users:read') ? await countUnprotectedAdministrators(store.db) : 0;
  notice('noSecondFactor', 'users:read', unprotected, (count, plural) =>
    plural ? `${count} administrators have no second factor.` : 'An administrator has no second factor.',
  );
  const rules = [...model.rules.values()].filter(({ enabled }) => enabled).length;
  notice('noPolicy', 'policy:read', rules === 0 ? 1 : 0, () => 'No rule is enabled: nobody reaches anything.');

  const { seconds, samples: hour } = samples.lastHour();
  return {
    users: { total: model.users.size, disabled },
    devices: { total: model.devices.size, active, awaitingApproval },
    gateways: {
      total: rows.length,
      healthy: gateways.filter(({ health }) => health === 'healthy').length,
      draining: gateways.filter(({ draining }) => draining === 1).length,
    },
    gatewayNames: gateways.map(({ id, name, region_id: regionId, health }) => ({
      id,
      name,
      regionId,
      regionName: regions.get(regionId)?.name ?? regionId,
      health,
    })),
    sampleSeconds: seconds,
    samples: hour,
    notices,
  };
}

/** Administrators who log in by a password alone. */
async function countUnprotectedAdministrators(db: Kysely<Database>): Promise<number> {
  const { count } = await db
    .selectFrom('user')
    .select(({ fn }) => fn.countAll().as('count'))
    .where('role', '=', 'administrator')
    .where('disabled', '=', 0)
    .where('password_hash', 'is not', null)
    .where((eb) =>
      eb.not(
        eb.exists(
          eb
            .selectFrom('totp')
            .select('totp.user_id')
            .whereRef('totp.user_id', '=', 'user.id')
            .where('confirmed', '=', 1),
        ),
      ),
    )
    .where((eb) =>
      eb.not(eb.exists(eb.selectFrom('passkey').select('passkey.id').whereRef('passkey.user_id', '=', 'user.id'))),
    )
    .executeTakeFirstOrThrow();
  return Number(count);
}
