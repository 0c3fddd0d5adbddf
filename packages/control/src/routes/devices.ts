import { randomUUID } from 'node:crypto';
import { accessRoutes, type Device } from '@sallyport/api';
import { limitsOf, poolAddress, requiresApproval } from '@sallyport/policy';
import { publicKeyFault } from '../auth/public-key.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { checkVersion } from '../http/version.ts';
import { assignNumber, chooseNumber, releaseNumber } from '../repositories/addresses.ts';
import * as repository from '../repositories/devices.ts';
import { bindToDevice, endSessionsOfDevice } from '../repositories/sessions.ts';
import type { Services } from '../services.ts';
import type { Origin, Writing } from '../store/store.ts';
import { found, idOf } from './answers.ts';
import { deviceConfiguration } from './device-configuration.ts';
import { approveNetworks } from './device-networks.ts';
import { Faults } from './faults.ts';
import { gatewaysFor } from './me-gateways.ts';

/** The most devices of a user for whom no limit is set. */
const MAX_DEVICES_PER_USER = 1000;

interface NewDevice {
  readonly userId: string;
  readonly name: string;
  readonly publicKey: string;
  /** Undefined: as the user's groups demand. */
  readonly approved: boolean | undefined;
  readonly expiresAt: string | null;
  readonly bitsPerSecond: number | null;
  /** The session of the client that makes it: it ends with the device, and makes no other. */
  readonly clientSession?: string | undefined;
}

async function addDevice(services: Services, writing: Writing, device: NewDevice): Promise<string> {
  const { db, now } = writing;
  const model = await services.directory.preview(writing);
  const user = model.users.get(device.userId);
  if (user === undefined) throw new ApiError('notFound', 'There is no such user.');
  const allowed = limitsOf(model, user).devicesPerUser ?? MAX_DEVICES_PER_USER;
  if ((await repository.countDevices(db, user.id)) >= allowed) {
    throw new ApiError(
      'limitReached',
      `${user.name} may have ${String(allowed)} ${allowed === 1 ? 'device' : 'devices'}: remove one, or ask an administrator for more.`,
    );
  }
  if (await repository.isKeyUsed(db, device.publicKey)) {
    throw new ApiError('conflict', 'Another device has this public key: make a new pair of keys for this one.');
  }
  await checkName(writing, user.id, device.name);
  const id = randomUUID();
  const number = await chooseNumber(db, model, device.publicKey, now);
  const row = {
    id,
    user_id: user.id,
    name: device.name,
    public_key: device.publicKey,
    ipv4: poolAddress(model.pool4, number),
    ipv6: poolAddress(model.pool6, number),
    approved: (device.approved ?? !requiresApproval(model, user)) ? 1 : 0,
    expires_at: device.expiresAt === null ? null : Date.parse(device.expiresAt),
    bits_per_second: device.bitsPerSecond,
    networks: '[]',
    created_at: now,
    version: 1,
  };
  await db.insertInto('device').values(row).execute();
  await assignNumber(db, number, { id, publicKey: device.publicKey });
  if (device.clientSession !== undefined && !(await bindToDevice(db, device.clientSession, id))) {
    throw new ApiError('forbidden', 'This client has its device: log it in anew for another one.');
  }
  await writing.audit('device.create', targetOf(row), undefined, repository.describeRow(row));
  writing.changed('device', id);
  return id;
}

interface DeviceChange {
  readonly name?: string | undefined;
  readonly approved?: boolean | undefined;
  readonly expiresAt?: string | null | undefined;
  readonly bitsPerSecond?: number | null | undefined;
}

async function changeDevice(writing: Writing, before: repository.DeviceRow, change: DeviceChange): Promise<void> {
  if (change.name !== undefined && change.name !== before.name) {
    await checkName(writing, before.user_id, change.name);
  }
  const set = {
    name: change.name ?? before.name,
    approved: change.approved === undefined ? before.approved : change.approved ? 1 : 0,
    expires_at:
      change.expiresAt === undefined
        ? before.expires_at
        : change.expiresAt === null
          ? null
          : Date.parse(change.expiresAt),
    bits_per_second: change.bitsPerSecond === undefined ? before.bits_per_second : change.bitsPerSecond,
    version: before.version + 1,
  };
  await writing.db.updateTable('device').set(set).where('id', '=', before.id).execute();
  const after = repository.describeRow({ ...before, ...set });
  await writing.audit('device.update', targetOf(after), repository.describeRow(before), after);
  writing.changed('device', before.id);
}

async function removeDevice(writing: Writing, device: repository.DeviceRow): Promise<void> {
  await releaseNumber(writing.db, device.id, writing.now);
  // Who has a client's session from a machine that was lost makes no other device by it.
  const sessionsEnded = await endSessionsOfDevice(writing.db, device.id);
  await writing.db.deleteFrom('device').where('id', '=', device.id).execute();
  await writing.audit('device.delete', targetOf(device), {
    ...repository.describeRow(device),
    ...(sessionsEnded === 0 ? {} : { sessionsEnded }),
  });
  writing.changed('device', device.id);
  if (sessionsEnded > 0) writing.changed('session', device.user_id);
}

async function checkName(writing: Writing, userId: string, name: string): Promise<void> {
  const other = await writing.db
    .selectFrom('device')
    .select('id')
    .where('user_id', '=', userId)
    .where('name', '=', name)
    .executeTakeFirst();
  if (other !== undefined) {
    throw new ApiError('nameTaken', `The user has another device with the name ${name}: choose one that is free.`);
  }
}

function checkKey(publicKey: string): void {
  const fault = publicKeyFault(publicKey);
  const faults = new Faults();
  if (fault !== undefined) faults.add('/body/publicKey', fault);
  faults.check();
}

function targetOf({ id, name }: { readonly id: string; readonly name: string }) {
  return { kind: 'device', id, name };
}

/** A device as it is answered; `userId` where it must be that user's. */
async function answer(services: Services, reference: string, userId?: string): Promise<Device> {
  const row = found(await repository.findDevice(services.store.db, reference, userId), 'device');
  const [device] = await repository.describeDevices(services.store.db, services.directory.model, [row], services.now());
  return found(device, 'device');
}

async function add(services: Services, origin: Origin, device: NewDevice): Promise<Device> {
  checkKey(device.publicKey);
  return await answer(services, await services.store.write(origin, (writing) => addDevice(services, writing, device)));
}

async function change(
  services: Services,
  origin: Origin,
  which: { readonly reference: string; readonly userId?: string; readonly ifMatch: number },
  work: (writing: Writing, device: repository.DeviceRow) => Promise<void>,
): Promise<string> {
  return await services.store.write(origin, async (writing) => {
    const device = found(await repository.findDevice(writing.db, which.reference, which.userId), 'device');
    checkVersion(device.version, which.ifMatch);
    await work(writing, device);
    return device.id;
  });
}

async function list(services: Services, filter: repository.DeviceFilter, standing?: Device['standing']) {
  const { db } = services.store;
  const { model } = services.directory;
  const now = services.now();
  const { items, next } =
    standing === undefined
      ? await repository.listDevices(db, filter)
      : await repository.listDevicesOfStanding(db, filter, standing, model, now);
  return { items: await repository.describeDevices(db, model, items, now), next };
}

async function configuration(
  services: Services,
  device: repository.DeviceRow,
  reference: string | undefined,
): Promise<string> {
  const gateways = await gatewaysFor(services, device.user_id, {});
  const userName = device.user_name;
  // The best; where none can take anybody now, one that is likely to come back. Draining ones only for who asks for them.
  const chosen =
    reference === undefined
      ? (gateways.find(({ recommended }) => recommended) ?? gateways.find(({ gateway }) => !gateway.draining))
      : gateways.find(({ gateway }) => gateway.id === reference || gateway.name === reference);
  if (chosen === undefined && reference !== undefined) {
    // Whether a gateway exists that a user may not use is none of their business.
    throw new ApiError('notFound', `There is no gateway ${reference} that ${userName} may use.`);
  }
  if (chosen === undefined) {
    throw new ApiError(
      'conflict',
      `There is no gateway that ${userName} may use: a rule must let one of the user's groups reach something, and a ` +
        'gateway must have joined that is not being drained.',
    );
  }
  return deviceConfiguration({
    device: { ...device, publicKey: device.public_key },
    userName,
    gateway: chosen.gateway,
    model: services.directory.model,
    settings: services.directory.settings,
  });
}

export const deviceRoutes: readonly RouteImplementation[] = [
  implement(accessRoutes.listMyDevices, ({ services, caller, query }) =>
    list(services, { ...query, userId: caller.userId }),
  ),
  implement(accessRoutes.addMyDevice, ({ services, caller, origin, body }) =>
    add(services, origin, {
      ...body,
      userId: caller.userId,
      approved: undefined,
      expiresAt: null,
      bitsPerSecond: null,
      clientSession: caller.session?.kind === 'client' ? caller.credentialId : undefined,
    }),
  ),
  implement(accessRoutes.getMyDevice, ({ services, caller, params }) =>
    answer(services, params.deviceId, caller.userId),
  ),
  implement(accessRoutes.updateMyDevice, async ({ services, caller, origin, params, body, ifMatch }) => {
    const which = { reference: params.deviceId, userId: caller.userId, ifMatch };
    const id = await change(services, origin, which, (writing, device) => changeDevice(writing, device, body));
    return await answer(services, id, caller.userId);
  }),
  implement(accessRoutes.removeMyDevice, async ({ services, caller, origin, params, ifMatch }) => {
    await change(services, origin, { reference: params.deviceId, userId: caller.userId, ifMatch }, removeDevice);
  }),
  implement(accessRoutes.getMyDeviceConfiguration, async ({ services, caller, params, query }) => {
    const device = await repository.findDevice(services.store.db, params.deviceId, caller.userId);
    return await configuration(services, found(device, 'device'), query.gateway);
  }),

  implement(accessRoutes.listDevices, async ({ services, query }) => {
    const { user, gateway, approved, standing, ...page } = query;
    const { users, gateways } = services.directory.model;
    const filter = {
      ...page,
      userId: user === undefined ? undefined : found(idOf(users, user), 'user'),
      gatewayId: gateway === undefined ? undefined : found(idOf(gateways, gateway), 'gateway'),
      approved: approved === undefined ? undefined : approved === 'true',
    };
    return await list(services, filter, standing);
  }),
  implement(accessRoutes.createDevice, async ({ services, origin, body }) => {
    const userId = idOf(services.directory.model.users, body.user);
    const faults = new Faults();
    if (userId === undefined) faults.add('/body/user', 'there is no such user');
    faults.check();
    return await add(services, origin, {
      userId: userId ?? '',
      name: body.name,
      publicKey: body.publicKey,
      approved: true,
      expiresAt: body.expiresAt ?? null,
      bitsPerSecond: body.bitsPerSecond ?? null,
    });
  }),
  implement(accessRoutes.getDevice, ({ services, params }) => answer(services, params.deviceId)),
  implement(accessRoutes.updateDevice, async ({ services, origin, params, body, ifMatch }) => {
    const which = { reference: params.deviceId, ifMatch };
    return await answer(
      services,
      await change(services, origin, which, (writing, device) => changeDevice(writing, device, body)),
    );
  }),
  implement(accessRoutes.deleteDevice, async ({ services, origin, params, ifMatch }) => {
    await change(services, origin, { reference: params.deviceId, ifMatch }, removeDevice);
  }),
  implement(accessRoutes.approveNetworks, async ({ services, caller, origin, params, body, ifMatch }) => {
    const which = { reference: params.deviceId, ifMatch };
    return await answer(
      services,
      await change(services, origin, which, (writing, device) =>
        approveNetworks(services, writing, device, body, caller),
      ),
    );
  }),
  implement(accessRoutes.getDeviceConfiguration, async ({ services, params, query }) => {
    const device = await repository.findDevice(services.store.db, params.deviceId);
    return await configuration(services, found(device, 'device'), query.gateway);
  }),
];
