import type { DevicePlan, EgressAddresses, GatewayPlan, GroupPlan, Neighbour } from '../state.ts';

/** A device as the firewall sees it: without what it shows to come in. */
export type FirewallDevice = Omit<DevicePlan, 'publicKey' | 'openvpn' | 'validUntil'>;

/** All that a gateway's packet filter and address translation are made from. */
export interface FirewallPlan {
  /** The tunnel's interface. */
  readonly interfaceName: string;
  readonly gateway: Pick<GatewayPlan, 'pool4' | 'pool6' | 'address4' | 'address6'> & {
    readonly egress: EgressAddresses;
  };
  /** Addresses of this machine, which the internet does not include. */
  readonly ownAddresses: readonly string[];
  /** TCP ports of this machine that devices may reach on any of its addresses (the control plane's, where it runs here). */
  readonly localTcpPorts: readonly number[];
  /** Ports of the gateway's tunnel addresses that every device may reach. */
  readonly tunnelPorts?: { readonly udp: readonly number[]; readonly tcp: readonly number[] } | undefined;
  /** Entrances of other gateways, which every device may reach. A host name counts as what `names` says of it. */
  readonly neighbours?: readonly Neighbour[] | undefined;
  /** Networks behind any device of the service. What of them lies behind none of `devices` is not reached from here. */
  readonly connectedNetworks?: readonly string[] | undefined;
  readonly groups: readonly GroupPlan[];
  readonly devices: readonly FirewallDevice[];
  /** What the names of destinations and neighbours resolve to now: addresses. */
  readonly names: Readonly<Record<string, readonly string[]>>;
}

/** What of a plan is neither a group nor a device. */
export type FirewallSurroundings = Omit<FirewallPlan, 'groups' | 'devices'>;

/** What leads from one plan to the next: whole entries put or removed, by their ids, and all of the rest where any of it differs. */
export interface FirewallPlanChange {
  readonly surroundings?: FirewallSurroundings | undefined;
  readonly putGroups: readonly GroupPlan[];
  readonly removeGroups: readonly string[];
  readonly putDevices: readonly FirewallDevice[];
  readonly removeDevices: readonly string[];
}

/** The plan that a change leads to. It shares with the plan before it what did not change: lists where nothing of them did, entries otherwise. */
export function changePlan(plan: FirewallPlan, change: FirewallPlanChange): FirewallPlan {
  return {
    ...(change.surroundings ?? plan),
    groups: changeList(plan.groups, change.putGroups, change.removeGroups),
    devices: changeList(plan.devices, change.putDevices, change.removeDevices),
  };
}

function changeList<T extends { readonly id: string }>(
  list: readonly T[],
  put: readonly T[],
  remove: readonly string[],
): readonly T[] {
  if (put.length === 0 && remove.length === 0) return list;
  const entries = new Map(list.map((entry) => [entry.id, entry]));
  for (const id of remove) entries.delete(id);
  for (const entry of put) entries.set(entry.id, entry);
  return [...entries.values()];
}
