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

/** What an OpenVPN device shows that it is itself: a certificate, a login, or both. */
export interface OpenVpnDevice {
  /** SHA-256 of the DER of those that it may show, hexadecimal. Empty: none is asked for. */
  readonly certificates: readonly string[];
  /** What it asks its user for beside that: nothing, a password, or a login in a browser. */
  readonly login: 'certificate' | 'password' | 'web';
  /** The user's name. */
  readonly userName: string;
  /** Which logins count where one is asked for: those of this epoch. Another one ends them all, and tells nothing else. */
  readonly loginEpoch?: string | undefined;
}

/** A device that may connect here now. It is of one protocol: it has either a `publicKey` or `openvpn`. */
export interface DevicePlan {
  readonly id: string;
  /** Its WireGuard public key, base64. */
  readonly publicKey?: string | undefined;
  readonly openvpn?: OpenVpnDevice | undefined;
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

/** Ciphers of OpenVPN's data channel, by the names that peers negotiate them by. */
export type OpenVpnCipher = 'AES-256-GCM' | 'AES-128-GCM' | 'CHACHA20-POLY1305' | 'AES-256-CBC';

/** What a gateway serves OpenVPN with. */
export interface OpenVpnGateway {
  /** The certificate that those of devices and gateways are signed by, PEM. */
  readonly authority: string;
  /** The gateway's own, for the key that it named, PEM. */
  readonly certificate: string;
  /** What the keys of profiles are wrapped with (tls-crypt-v2), 128 bytes in base64. A secret: it stands in no log. */
  readonly clientKey: string;
  /** What login tokens are verified with: Ed25519, SPKI, base64. */
  readonly tokenKey: string;
  /** In the order in which they are preferred. */
  readonly dataCiphers: readonly OpenVpnCipher[];
  /** Lines of the push reply for every device: routes and name servers. */
  readonly push: readonly string[];
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
  /** Absent: no OpenVPN device is admitted here. */
  readonly openvpn?: OpenVpnGateway | undefined;
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
