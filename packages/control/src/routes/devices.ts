import { accessRoutes, type Device } from '@sallyport/api';
import { publicKeyFault } from '../auth/public-key.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import * as repository from '../repositories/devices.ts';
import type { Services } from '../services.ts';
import type { Origin } from '../store/store.ts';
import { found, idOf } from './answers.ts';
import { addDevice, answer, change, changeDevice, removeDevice, type NewDevice } from './device-changes.ts';
import { deviceConfiguration } from './device-configuration.ts';
import { approveNetworks } from './device-networks.ts';
import { Faults } from './faults.ts';
import { chosenGateways } from './me-gateways.ts';

async function add(
  services: Services,
  origin: Origin,
  { publicKey, ...device }: NewDevice & { readonly publicKey: string },
): Promise<Device> {
  const fault = publicKeyFault(publicKey);
  const faults = new Faults();
  if (fault !== undefined) faults.add('/body/publicKey', fault);
  faults.check();
  const proof = { publicKey, openvpn: null };
  const id = await services.store.write(origin, (writing) => addDevice(services, writing, device, () => proof));
  return await answer(services, id);
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
  if (device.openvpn !== null) {
    throw new ApiError('conflict', `${device.name} is a device of OpenVPN: take its OpenVPN profile.`);
  }
  const [chosen] = await chosenGateways(services, device, reference);
  return deviceConfiguration({
    device: { ...device, publicKey: device.public_key },
    userName: device.user_name,
    gateway: chosen,
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
