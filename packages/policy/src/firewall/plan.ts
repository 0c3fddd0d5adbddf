import type { DevicePlan, EgressAddresses, GatewayPlan, GroupPlan } from '../state.ts';

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
  readonly groups: readonly GroupPlan[];
  readonly devices: readonly FirewallDevice[];
  /** What the names of destinations resolve to now: addresses. */
  readonly names: Readonly<Record<string, readonly string[]>>;
}
