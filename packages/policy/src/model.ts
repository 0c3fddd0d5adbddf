/**
 * What access is decided from: the organisation as the control plane knows it. Plain data, so that a decision can be
 * made, explained and tried out on a changed copy. Times are Unix milliseconds, rates bits a second.
 */
import type { EgressAddresses, NamesPlan, OpenVpnDevice, OpenVpnGateway, PortRange, Protocol } from './state.ts';

/** The group that every user is in, without being listed. */
export const EVERYONE = 'everyone';

export interface UserModel {
  readonly id: string;
  readonly name: string;
  readonly disabled: boolean;
  readonly expiresAt: number | null;
  readonly lastLoginAt: number | null;
  /** Another one where what the user was logged in by counts no more; see {@link OpenVpnDevice}. */
  readonly loginEpoch: string;
  /** Groups other than {@link EVERYONE}. */
  readonly groups: ReadonlySet<string>;
  readonly bitsPerSecond: number | null;
  readonly trafficBytesPerMonth: number | null;
  readonly devicesPerUser: number | null;
  /** What its devices sent and received this month, in bytes. */
  readonly trafficBytesThisMonth: number;
}

export interface GroupModel {
  readonly id: string;
  readonly name: string;
  /** A new device of a member waits for an administrator. */
  readonly requireDeviceApproval: boolean;
  /** Members log in again after this time, or their devices are cut off. */
  readonly sessionLifetimeMs: number | null;
  readonly bitsPerSecond: number | null;
  readonly trafficBytesPerMonth: number | null;
  readonly devicesPerUser: number | null;
  /** Clients of members keep their kill switch on. */
  readonly requireKillSwitch?: boolean | undefined;
  /** Members connect at gateways of this region, or at this gateway; with several, at any that one of their groups names. */
  readonly requireRegionId?: string | null | undefined;
  readonly requireGatewayId?: string | null | undefined;
}

/** What an OpenVPN device has to show; see {@link OpenVpnDevice}. */
export interface OpenVpnDeviceModel {
  readonly login: OpenVpnDevice['login'];
  /** The one that counts, by the SHA-256 of its DER; null: none is asked for. */
  readonly certificate: { readonly sha256: string; readonly expiresAt: number } | null;
}

/** A device is of one protocol: it has either a `publicKey` (WireGuard's) or `openvpn`. */
export interface DeviceModel {
  readonly id: string;
  readonly userId: string;
  readonly name: string;
  readonly publicKey: string | null;
  readonly openvpn?: OpenVpnDeviceModel | null | undefined;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly approved: boolean;
  readonly expiresAt: number | null;
  readonly bitsPerSecond: number | null;
  /** Networks behind it that an administrator has approved: canonical prefixes, sorted. */
  readonly networks?: readonly string[] | undefined;
}

/** An egress address; `group` null is for whoever no entry before it is for. The first that fits counts. */
export interface EgressModel extends EgressAddresses {
  readonly group: string | null;
}

export interface GatewayModel {
  readonly id: string;
  readonly name: string;
  readonly regionId: string;
  readonly draining: boolean;
  readonly egress: readonly EgressModel[];
  /** Where its tunnel is entered; devices at other gateways may reach it. */
  readonly endpoint?: { readonly host: string; readonly port: number } | null | undefined;
  /** Its certificate as an OpenVPN gateway (PEM), where it is one. */
  readonly openvpnCertificate?: string | null | undefined;
}

/** Protocols and ports; no ports means all of them. */
export interface ServiceModel {
  readonly protocol: Protocol;
  readonly ports: readonly PortRange[];
}

export interface ResourceModel {
  readonly id: string;
  readonly name: string;
  readonly kind: 'internet' | 'network' | 'name';
  /** For `network`: prefixes of either family. */
  readonly prefixes: readonly string[];
  /** For `name`: a DNS name. */
  readonly domain: string | null;
  /** None means everything. */
  readonly services: readonly ServiceModel[];
}

export interface RuleModel {
  readonly id: string;
  readonly name: string;
  readonly enabled: boolean;
  readonly groups: readonly string[];
  readonly resources: readonly string[];
  /** None means every gateway. */
  readonly gateways: readonly string[];
}

export interface PolicyTestModel {
  readonly id: string;
  readonly name: string;
  readonly userId: string;
  /** An address, or a DNS name that a resource has. */
  readonly destination: string;
  readonly protocol: Exclude<Protocol, 'any'>;
  readonly port: number | null;
  /** Null: through any gateway. */
  readonly gatewayId: string | null;
  readonly expect: 'allow' | 'deny';
}

export interface AccessModel {
  readonly pool4: string;
  readonly pool6: string;
  readonly users: ReadonlyMap<string, UserModel>;
  readonly groups: ReadonlyMap<string, GroupModel>;
  readonly devices: ReadonlyMap<string, DeviceModel>;
  readonly gateways: ReadonlyMap<string, GatewayModel>;
  readonly resources: ReadonlyMap<string, ResourceModel>;
  readonly rules: ReadonlyMap<string, RuleModel>;
  readonly tests: ReadonlyMap<string, PolicyTestModel>;
  /** How gateways answer names; none: they don't. */
  readonly names?: NamesPlan | null | undefined;
  /** What every OpenVPN gateway has beside its certificate. */
  readonly openvpn?: Omit<OpenVpnGateway, 'certificate'> | null | undefined;
}
