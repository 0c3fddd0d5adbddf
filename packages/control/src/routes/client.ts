import { clientRoutes as contracts, type ClientConfiguration, type ClientGateway } from '@sallyport/api';
import { requirementsOf, standingOf } from '@sallyport/policy';
import { isDeepStrictEqual } from 'node:util';
import { deviceModel, networksOf } from '../directory/rows.ts';
import { ApiError } from '../http/api-error.ts';
import type { Client } from '../http/client-address.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { HostAddresses } from '../hub/host-addresses.ts';
import { findDevice, messageOf, type DeviceRow } from '../repositories/devices.ts';
import type { Services } from '../services.ts';
import { tunnelParameters } from '../tunnel-parameters.ts';
import { found } from './answers.ts';
import { offeredNetworks, storeNetworks } from './device-networks.ts';
import { choicesAmong, offerOf, readGateways, type KnownGateways } from './me-gateways.ts';

/** How often clients ask again, in seconds. */
const REFRESH_SECONDS = 60;
/** How long an answer waits for the names of gateways that are not known yet. */
const NAMES_MS = 500;
const MAX_CONTROL_ADDRESSES = 8;
/** How long what was read of gateways serves everybody, unless something is changed before. */
const GATEWAYS_MS = 1000;

/** What Sallyport's own client asks for, but for its login. */
export function clientRoutes(givenHosts?: HostAddresses): RouteImplementation[] {
  let hosts = givenHosts;
  const gateways = new SharedGateways();
  return [
    implement(contracts.getClientConfiguration, async ({ services, caller, client, params }) => {
      const device = found(await findDevice(services.store.db, params.deviceId, caller.userId), 'device');
      hosts ??= new HostAddresses(services);
      return configurationOf(services, hosts, await gateways.read(services), device, client);
    }),
    implement(contracts.advertiseNetworks, async ({ services, caller, origin, params, body }) => {
      const find = async (db: Parameters<typeof findDevice>[0]): Promise<DeviceRow> => {
        const device = found(await findDevice(db, params.deviceId, caller.userId), 'device');
        if (device.openvpn === null) return device;
        throw new ApiError('conflict', `${device.name} is a device of OpenVPN, behind which no networks can lie.`);
      };
      const change = (device: DeviceRow) => {
        const offered = offeredNetworks(services, device, body.prefixes);
        return { offered, same: isDeepStrictEqual(offered, networksOf(device)) };
      };
      // Clients say it with every connection, mostly what they said before.
      const now = change(await find(services.store.db));
      if (now.same) return { advertised: now.offered };
      return services.store.write(origin, async (writing) => {
        const device = await find(writing.db);
        const { offered, same } = change(device);
        if (!same) await storeNetworks(writing, device, offered, 'device.advertise');
        return { advertised: offered };
      });
    }),
  ];
}

/** Reads the gateways once for all who ask at about the same time. */
class SharedGateways {
  #read: Promise<KnownGateways> | undefined;
  #version = -1;
  #at = 0;

  read(services: Services): Promise<KnownGateways> {
    const { version } = services.store;
    const now = services.now();
    if (this.#read !== undefined && this.#version === version && now >= this.#at && now - this.#at < GATEWAYS_MS)
      return this.#read;
    const reading = readGateways(services);
    this.#read = reading;
    this.#version = version;
    this.#at = now;
    // Who asks next tries again.
    reading.catch(() => {
      if (this.#read === reading) this.#read = undefined;
    });
    return reading;
  }
}

async function configurationOf(
  services: Services,
  hosts: HostAddresses,
  known: KnownGateways,
  device: DeviceRow,
  client: Client,
): Promise<ClientConfiguration> {
  const { directory, now, publicUrl } = services;
  const { model, settings } = directory;
  const { standing, validUntil } = standingOf(model, deviceModel(device), now());
  const user = model.users.get(device.user_id);
  const requirements =
    user === undefined ? { killSwitch: false, regionIds: [], gatewayIds: [] } : requirementsOf(model, user);
  const choices = choicesAmong(known, services, device.user_id, {}).filter(
    ({ gateway }) => gateway.endpointHost !== '',
  );
  const control = new URL(publicUrl()).hostname.replace(/^\[|\]$/g, '');
  const addresses = await hosts.of([control, ...choices.map(({ gateway }) => gateway.endpointHost)], NAMES_MS);
  const { gateway4, gateway6, dnsServers, allowedIps } = tunnelParameters(model, settings);
  const reached = client.server === undefined ? [] : [client.server];
  return {
    device: {
      id: device.id,
      name: device.name,
      userName: device.user_name,
      ipv4: device.ipv4,
      ipv6: device.ipv6,
      standing,
      message: messageOf(standing, validUntil),
    },
    gateways: choices.map(({ gateway, load, recommended }): ClientGateway => ({
      ...offerOf(gateway, known),
      endpointAddresses: [...(addresses.get(gateway.endpointHost) ?? [])],
      amneziawg: gateway.transports.amneziawg,
      tls: gateway.transports.tls,
      load,
      recommended,
    })),
    tunnel: {
      pool4: model.pool4,
      pool6: model.pool6,
      gateway4,
      gateway6,
      allowedIps,
      dnsServers,
      searchDomains: settings.dns.searchDomains,
    },
    requirements: {
      killSwitch: requirements.killSwitch,
      regionIds: [...requirements.regionIds],
      gatewayIds: [...requirements.gatewayIds],
    },
    advertised: networksOf(device),
    controlAddresses: [...new Set([...reached, ...(addresses.get(control) ?? [])])].slice(0, MAX_CONTROL_ADDRESSES),
    refreshSeconds: REFRESH_SECONDS,
  };
}
