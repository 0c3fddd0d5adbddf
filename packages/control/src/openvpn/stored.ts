/** What the database keeps of OpenVPN in a device's row and in a gateway's, as JSON. */
import type { Device } from '@sallyport/api';
import type { Selectable } from 'kysely';
import type { DeviceTable, GatewayTable } from '../store/schema.ts';
import type { IssuedCertificate } from './authority.ts';

export interface StoredDevice {
  readonly login: NonNullable<Device['openvpn']>['login'];
  /** The one that counts; null: none is asked for. */
  readonly certificate: IssuedCertificate | null;
}

export interface StoredGateway {
  /** The key that it named: SPKI, DER in base64. */
  readonly publicKey: string;
  /** For that key. */
  readonly certificate: IssuedCertificate;
}

/** Null for a device of another protocol. */
export function openVpnDevice({ openvpn }: Pick<Selectable<DeviceTable>, 'openvpn'>): StoredDevice | null {
  return openvpn === null ? null : (JSON.parse(openvpn) as StoredDevice);
}

/** Null for a gateway that doesn't speak it. */
export function openVpnGateway({ openvpn }: Pick<Selectable<GatewayTable>, 'openvpn'>): StoredGateway | null {
  return openvpn === null ? null : (JSON.parse(openvpn) as StoredGateway);
}

/** What stands in the place of a WireGuard key, of which each device has another. */
export function placeOfKey(deviceId: string): string {
  return `openvpn:${deviceId}`;
}
