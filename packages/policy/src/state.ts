/**
 * The desired state of one gateway: what the control plane wants there, as data. Addresses and prefixes are text in
 * their canonical form (RFC 5952 for IPv6), times are Unix milliseconds, rates bits a second.
 */

export interface PortRange {
  readonly from: number;
  readonly to: number;
}

export type Protocol = 'any' | 'tcp' | 'udp' | 'icmp';

/** Where traffic may go. A name is resolved by the gateway; the internet is what no special range holds. */
export type Destination =
  | { readonly kind: 'internet' }
  | { readonly kind: 'network'; readonly prefix: string }
  | { readonly kind: 'name'; readonly name: string };

/** One thing that a rule lets a group reach. `icmp` means ICMP and ICMPv6; ports count for tcp and udp, none means all. */
export interface Grant {
  readonly rule: string;
  readonly destination: Destination;
  readonly protocol: Protocol;
  readonly ports: readonly PortRange[];
}

/** What the members of a group reach through this gateway, all grants together; what none allows is denied. */
export interface GroupPlan {
  readonly id: string;
  readonly grants: readonly Grant[];
}

/**
 * Addresses of the gateway's own that traffic leaves with. Where a device's have none of a family, the gateway's count, and
 * where those have none either, the kernel picks (masquerade).
 */
export interface EgressAddresses {
  readonly ipv4?: string | undefined;
  readonly ipv6?: string | undefined;
}

/** A device that may connect here now. */
export interface DevicePlan {
  readonly id: string;
  /** Its WireGuard public key, base64. */
  readonly publicKey: string;
  readonly ipv4: string;
  readonly ipv6: string;
  /** The groups of {@link DesiredState.groups} that its user is in, sorted. */
  readonly groups: readonly string[];
  readonly egress?: EgressAddresses | undefined;
  /** For each direction of its own. */
  readonly bitsPerSecond?: number | undefined;
  /** The gateway cuts it off by itself then, whether it hears from the control plane or not. */
  readonly validUntil?: number | undefined;
  /** Networks that lie behind it: approved prefixes, no two devices' the same. */
  readonly networks?: readonly string[] | undefined;
}

/** An address and UDP port that devices may reach whatever their groups: the entrance of another gateway. */
export interface Neighbour {
  readonly gatewayId: string;
  /** A host name, which the gateway resolves, or an address. */
  readonly host: string;
  readonly port: number;
}

/** How the gateway answers names that devices ask it for. */
export interface NamesPlan {
  /** Whom it asks: `udp://192.0.2.53:53`, `tls://9.9.9.9:853#dns.quad9.net`, `https://dns.quad9.net/dns-query`; none: its system's. */
  readonly upstreams: readonly string[];
  /** Names, with all below them, that are answered with NXDOMAIN. */
  readonly blocked: readonly string[];
  /** URLs of lists of such names (hosts format or one name a line), fetched daily. */
  readonly blockLists: readonly string[];
  /** Internal names: addresses, or the name servers that are asked for all below a domain. */
  readonly hosts: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  readonly domains: readonly { readonly domain: string; readonly servers: readonly string[] }[];
}

export interface GatewayPlan {
  readonly id: string;
  readonly name: string;
  /** The address pools of the whole service: prefixes. */
  readonly pool4: string;
  readonly pool6: string;
  /** The gateway's own tunnel addresses, the same at every gateway. */
  readonly address4: string;
  readonly address6: string;
  readonly egress: EgressAddresses;
  readonly draining: boolean;
  /** The other gateways, for who enters here and leaves there. */
  readonly neighbours?: readonly Neighbour[] | undefined;
  /** All networks behind devices of the whole service, connected here or not: canonical prefixes, sorted. */
  readonly connectedNetworks?: readonly string[] | undefined;
  /** Absent: devices are not answered here. */
  readonly names?: NamesPlan | undefined;
}

export interface DesiredState {
  readonly gateway: GatewayPlan;
  readonly groups: ReadonlyMap<string, GroupPlan>;
  readonly devices: ReadonlyMap<string, DevicePlan>;
}

/** What leads from one desired state to the next: whole entries, put or removed. */
export interface StateChange {
  readonly gateway?: GatewayPlan | undefined;
  readonly putGroups: readonly GroupPlan[];
  readonly removeGroups: readonly string[];
  readonly putDevices: readonly DevicePlan[];
  readonly removeDevices: readonly string[];
}
