import { faultOfNetwork } from '@sallyport/policy';
import type {
  DesiredState,
  DevicePlan,
  FirewallDevice,
  FirewallPlanChange,
  FirewallSurroundings,
  GroupPlan,
} from '@sallyport/policy';
import { OTHER_REVISION, type Privileged, type PrivilegedAnswer } from '@sallyport/privileged';
import { TUNNEL_SERVICE_PORT } from '@sallyport/tunnel-service';
import type { Names } from './names.ts';

const NAMES_PORT = 53;

export interface PacketFilterOptions {
  readonly privileged: Privileged;
  readonly names: Names;
  readonly interfaceName: string;
  readonly localTcpPorts: readonly number[];
  /** This machine's addresses now. */
  readonly ownAddresses: () => readonly string[];
}

type Devices = ReadonlyMap<string, DevicePlan>;

/** A plan that the helper is known to have in force. */
interface InForce {
  readonly revision: number;
  readonly surroundings: string;
  readonly groups: ReadonlyMap<string, GroupPlan>;
  readonly devices: Devices;
}

/**
 * The helper's packet filter: told the whole plan once, and from then on what differs from the plan that it has. One call
 * at a time.
 */
export class PacketFilter {
  readonly #options: PacketFilterOptions;
  #inForce: InForce | undefined;

  constructor(options: PacketFilterOptions) {
    this.#options = options;
  }

  /** Settles when the filter is that of the state, with these of its devices; with why not, in the helper's words. Throws where there is no helper. */
  async set(state: DesiredState, devices: Devices): Promise<string | undefined> {
    const { privileged } = this.#options;
    const surroundings = this.#surroundings(state);
    const text = JSON.stringify(surroundings);
    const before = this.#inForce;
    // Whatever goes wrong, the whole plan is sent next.
    this.#inForce = undefined;
    let answer: PrivilegedAnswer | undefined;
    if (before !== undefined) {
      const change = {
        ...(text !== before.surroundings && { surroundings }),
        ...differences(before, state.groups, devices),
      };
      answer = await privileged.request({ kind: 'changeFirewall', revision: before.revision, change });
    }
    if (answer === undefined || answer.error?.code === OTHER_REVISION) {
      const plan = {
        ...surroundings,
        groups: [...state.groups.values()],
        devices: Array.from(devices.values(), firewallDevice),
      };
      answer = await privileged.request({ kind: 'setFirewall', plan });
    }
    const { error, firewall } = answer;
    if (error !== undefined) return error.message;
    if (firewall !== undefined)
      this.#inForce = { revision: firewall.revision, surroundings: text, groups: state.groups, devices };
    return undefined;
  }

  #surroundings(state: DesiredState): FirewallSurroundings {
    const { interfaceName, localTcpPorts, ownAddresses, names } = this.#options;
    const { pool4, pool6, address4, address6, egress } = state.gateway;
    return {
      interfaceName,
      gateway: { pool4, pool6, address4, address6, egress },
      ownAddresses: ownAddresses(),
      localTcpPorts,
      tunnelPorts:
        state.gateway.names === undefined
          ? { udp: [TUNNEL_SERVICE_PORT], tcp: [] }
          : { udp: [NAMES_PORT, TUNNEL_SERVICE_PORT], tcp: [NAMES_PORT] },
      neighbours: state.gateway.neighbours ?? [],
      connectedNetworks: connectedNetworks(state),
      names: names.addresses,
    };
  }
}

/** All that lies behind devices as far as is known here, those of the state that can't be routed included. */
export function connectedNetworks({ gateway, devices }: DesiredState): string[] {
  const networks = new Set(gateway.connectedNetworks);
  for (const device of few(devices).connectors) for (const network of device.networks ?? []) networks.add(network);
  return [...networks].filter((network) => faultOfNetwork(network, []) === undefined);
}

/** What is looked at of the devices with each change, be it of something else. */
interface Few {
  /** Whose access ends. */
  readonly expiring: readonly DevicePlan[];
  /** Behind whom there are networks. */
  readonly connectors: readonly DevicePlan[];
  /** The addresses that are for some of them alone. */
  readonly egress: { readonly ipv4: ReadonlySet<string>; readonly ipv6: ReadonlySet<string> };
}

const found = new WeakMap<Devices, Few>();

/** Looks for them once. */
export function few(devices: Devices): Few {
  let those = found.get(devices);
  if (those === undefined) {
    const [expiring, connectors]: DevicePlan[][] = [[], []];
    const egress = { ipv4: new Set<string>(), ipv6: new Set<string>() };
    for (const device of devices.values()) {
      if (device.validUntil !== undefined) expiring.push(device);
      if (device.networks !== undefined && device.networks.length > 0) connectors.push(device);
      if (device.egress?.ipv4 !== undefined) egress.ipv4.add(device.egress.ipv4);
      if (device.egress?.ipv6 !== undefined) egress.ipv6.add(device.egress.ipv6);
    }
    those = { expiring, connectors, egress };
    found.set(devices, those);
  }
  return those;
}

/** What the filter is told of a device. */
function firewallDevice(device: DevicePlan): FirewallDevice {
  const { id, ipv4, ipv6, groups, egress, bitsPerSecond, networks } = device;
  return {
    id,
    ipv4,
    ipv6,
    groups,
    ...(egress !== undefined && { egress }),
    ...(bitsPerSecond !== undefined && { bitsPerSecond }),
    ...(networks !== undefined && { networks }),
  };
}

function differences(
  before: InForce,
  groups: ReadonlyMap<string, GroupPlan>,
  devices: Devices,
): Omit<FirewallPlanChange, 'surroundings'> {
  const [putGroups, removeGroups] = entries(before.groups, groups, (group) => group);
  const [putDevices, removeDevices] = entries(before.devices, devices, firewallDevice);
  return { putGroups, removeGroups, putDevices, removeDevices };
}

/** What is told anew, and the ids of what is gone. States share what is the same in both, so most of it is the same object. */
function entries<T, Told>(
  from: ReadonlyMap<string, T>,
  to: ReadonlyMap<string, T>,
  told: (entry: T) => Told,
): [put: Told[], remove: string[]] {
  const put: Told[] = [];
  const remove: string[] = [];
  if (from === to) return [put, remove];
  for (const [id, entry] of to) {
    const before = from.get(id);
    if (before === entry) continue;
    const now = told(entry);
    if (before === undefined || JSON.stringify(told(before)) !== JSON.stringify(now)) put.push(now);
  }
  for (const id of from.keys()) if (!to.has(id)) remove.push(id);
  return [put, remove];
}
