import type { DevicePlan, EgressAddresses, GatewayPlan, GroupPlan, Neighbour } from '../state.ts';

/** A device as the firewall sees it: without its key. */
export type FirewallDevice = Omit<DevicePlan, 'publicKey' | 'validUntil'>;

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
