import { openVpnRoutes as contracts, type Device } from '@sallyport/api';
import { readUserCode, DeviceAuthorizationLimits } from '../auth/device-authorization.ts';
import { requireOwnSession } from '../auth/second-factors.ts';
import { requireStepUp } from '../auth/step-up.ts';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { openVpnAuthority } from '../openvpn/authority.ts';
import { newClientKey } from '../openvpn/client-key.ts';
import { openVpnProfile } from '../openvpn/profile.ts';
import { openVpnDevice, placeOfKey, type StoredDevice } from '../openvpn/stored.ts';
import { readSubjectKey } from '../openvpn/subject-key.ts';
import { describeRow, findDevice, type DeviceRow } from '../repositories/devices.ts';
import { findTotp, lacksSecondFactor } from '../repositories/second-factors.ts';
import { decideTunnelLogin, describeTunnelLogin, findTunnelLogin } from '../repositories/tunnel-logins.ts';
import type { Services } from '../services.ts';
import type { Origin, Writing } from '../store/store.ts';
import { found, idOf } from './answers.ts';
import { addDevice, answer, change, targetOf, type NewDevice } from './device-changes.ts';
import { isConfigurable } from './device-configuration.ts';
import { Faults } from './faults.ts';
import { chosenGateways, speaksOpenVpn } from './me-gateways.ts';

type Login = StoredDevice['login'];

function readKey(text: string): Buffer {
  const key = readSubjectKey(text);
  const faults = new Faults();
  if ('fault' in key) faults.add('/body/publicKey', key.fault);
  faults.check();
  return 'fault' in key ? Buffer.alloc(0) : key.spki;
}

async function add(
  services: Services,
  origin: Origin,
  { login, publicKey, ...device }: NewDevice & { readonly login: Login; readonly publicKey?: string | undefined },
): Promise<Device> {
  if (login === 'certificate' && publicKey === undefined) {
    const faults = new Faults();
    faults.add(
      '/body/publicKey',
      'is needed: without a password or a login in a browser, the certificate is all there is',
    );
    faults.check();
  }
  const spki = publicKey === undefined ? undefined : readKey(publicKey);
  const authority = await openVpnAuthority(services.store);
  const id = await services.store.write(origin, (writing) =>
    addDevice(services, writing, device, async (deviceId) => {
      const certificate = spki === undefined ? null : await authority.issueForDevice(deviceId, spki, writing.now);
      return { publicKey: placeOfKey(deviceId), openvpn: { login, certificate } };
    }),
  );
  return await answer(services, id);
}

type Which = Parameters<typeof change>[2];

async function renew(services: Services, origin: Origin, which: Which, publicKey: string): Promise<string> {
  const spki = readKey(publicKey);
  const authority = await openVpnAuthority(services.store);
  return change(services, origin, which, async (writing, device) => {
    const { login } = storedOf(device);
    const certificate = await authority.issueForDevice(device.id, spki, writing.now);
    await store(writing, device, { login, certificate });
  });
}

async function store(writing: Writing, before: DeviceRow, openvpn: StoredDevice): Promise<void> {
  const set = { openvpn: JSON.stringify(openvpn), version: before.version + 1 };
  await writing.db.updateTable('device').set(set).where('id', '=', before.id).execute();
  await writing.audit('device.renewCertificate', targetOf(before), describe(before), describe({ ...before, ...set }));
  writing.changed('device', before.id);
}

function describe(row: DeviceRow) {
  return { ...describeRow(row), certificateSha256: openVpnDevice(row)?.certificate?.sha256 ?? null };
}

function storedOf(device: DeviceRow): StoredDevice {
  const stored = openVpnDevice(device);
  if (stored !== null) return stored;
  throw new ApiError('conflict', `${device.name} is a device of WireGuard: it has no certificate and no profile.`);
}

async function profile(services: Services, device: DeviceRow, reference: string | undefined): Promise<string> {
  const { login, certificate } = storedOf(device);
  const gateways = await chosenGateways(
    services,
    device,
    reference,
    (gateway) => speaksOpenVpn(gateway) && isConfigurable(gateway.endpointHost),
  );
  const { store: database, directory } = services;
  const authority = await openVpnAuthority(database);
  return openVpnProfile({
    deviceName: device.name,
    userName: device.user_name,
    login,
    certificate: certificate?.pem ?? null,
    gateways,
    authority: authority.certificate,
    clientKey: newClientKey(authority.clientKey, device.id),
    asksCode: (await findTotp(database.db, device.user_id, 'confirmed')) !== undefined,
    settings: directory.settings,
  });
}

/** Devices of OpenVPN, and logins in a browser that their tunnels wait for. */
export function openVpnRoutes(): RouteImplementation[] {
  const limits = new DeviceAuthorizationLimits();
  const unknown = (): ApiError =>
    new ApiError('notFound', 'None of your devices waits with this code. It may be too old: connect again.');
  return [
    implement(contracts.addMyOpenVpnDevice, ({ services, caller, origin, body }) =>
      add(services, origin, {
        ...body,
        userId: caller.userId,
        approved: undefined,
        expiresAt: null,
        bitsPerSecond: null,
      }),
    ),
    implement(contracts.renewMyCertificate, async ({ services, caller, origin, params, body, ifMatch }) => {
      const which = { reference: params.deviceId, userId: caller.userId, ifMatch };
      return answer(services, await renew(services, origin, which, body.publicKey), caller.userId);
    }),
    implement(contracts.getMyOpenVpnProfile, async ({ services, caller, params, query }) => {
      const device = await findDevice(services.store.db, params.deviceId, caller.userId);
      return profile(services, found(device, 'device'), query.gateway);
    }),

    implement(contracts.createOpenVpnDevice, async ({ services, origin, body }) => {
      const userId = idOf(services.directory.model.users, body.user);
      const faults = new Faults();
      if (userId === undefined) faults.add('/body/user', 'there is no such user');
      faults.check();
      const { name, login, publicKey, expiresAt = null, bitsPerSecond = null } = body;
      return add(services, origin, { userId: userId ?? '', name, login, publicKey, approved: true, expiresAt, bitsPerSecond }); // prettier-ignore
    }),
    implement(contracts.renewCertificate, async ({ services, origin, params, body, ifMatch }) =>
      answer(services, await renew(services, origin, { reference: params.deviceId, ifMatch }, body.publicKey)),
    ),
    implement(contracts.getOpenVpnProfile, async ({ services, params, query }) => {
      const device = await findDevice(services.store.db, params.deviceId);
      return profile(services, found(device, 'device'), query.gateway);
    }),

    implement(contracts.getTunnelLogin, async ({ services, caller, params, client }) => {
      requireOwnSession(caller);
      const now = services.now();
      const giveBack = limits.takeGuess({ userId: caller.userId, address: client.address }, now);
      const row = await findTunnelLogin(services.store.db, readUserCode(params.code), caller.userId, now);
      if (row === undefined) throw unknown();
      giveBack();
      return describeTunnelLogin(row);
    }),
    implement(contracts.decideTunnelLogin, async ({ services, caller, params, body, origin, client }) => {
      const { session } = requireOwnSession(caller);
      const now = services.now();
      const giveBack = limits.takeGuess({ userId: caller.userId, address: client.address }, now);
      const row = await findTunnelLogin(services.store.db, readUserCode(params.code), caller.userId, now);
      if (row === undefined) throw unknown();
      giveBack();
      const approves = body.decision === 'approve';
      // Whoever began it comes in as this user: a session that was left open does not do for that.
      if (approves) requireStepUp(caller, now);
      await services.store.write(origin, async (writing) => {
        const { db, audit, changed } = writing;
        const { methods, providerId } = session;
        if (approves && (await lacksSecondFactor(db, { userId: caller.userId, methods, providerId })))
          throw new ApiError('forbidden', 'A group of yours demands a second factor: set one up, and log in with it.');
        if (!(await decideTunnelLogin(db, row.code, approves ? 'approved' : 'denied', writing.now))) throw unknown();
        // By the last login devices connect again; the proof behind this one is minutes old.
        if (approves)
          await db.updateTable('user').set({ last_login_at: writing.now }).where('id', '=', caller.userId).execute();
        await audit(
          approves ? 'tunnelLogin.approve' : 'tunnelLogin.deny',
          { kind: 'user', id: caller.userId, name: caller.userName },
          undefined,
          {
            device: { id: row.device_id, name: row.device_name },
            gateway: row.gateway_id,
            client: row.client,
            // Addresses are kept where the settings say so.
            ...(origin.address === null ? {} : { clientAddress: row.address }),
          },
        );
        // The gateway's control node hears of it by this.
        changed('user', caller.userId);
      });
    }),
  ];
}
