/** Entities of the access model from the rows of the database. */
import type { DeviceNetwork, Gateway, Resource } from '@sallyport/api';
import type {
  DeviceModel,
  GatewayModel,
  GroupModel,
  PolicyTestModel,
  ResourceModel,
  RuleModel,
  UserModel,
} from '@sallyport/policy';
import type { Selectable } from 'kysely';
import { openVpnDevice, openVpnGateway, type StoredDevice } from '../openvpn/stored.ts';
import type * as table from '../store/schema.ts';

export function userModel(
  row: Selectable<table.UserTable>,
  groups: ReadonlySet<string>,
  trafficBytesThisMonth: number,
): UserModel {
  return {
    id: row.id,
    name: row.name,
    disabled: row.disabled === 1,
    expiresAt: row.expires_at,
    lastLoginAt: row.last_login_at,
    loginEpoch: row.login_epoch,
    groups,
    bitsPerSecond: row.bits_per_second,
    trafficBytesPerMonth: row.traffic_bytes_per_month,
    devicesPerUser: row.devices_per_user,
    trafficBytesThisMonth,
  };
}

export function groupModel(row: Selectable<table.GroupTable>): GroupModel {
  return {
    id: row.id,
    name: row.name,
    requireDeviceApproval: row.require_device_approval === 1,
    requireKillSwitch: row.require_kill_switch === 1,
    requireRegionId: row.require_region_id,
    requireGatewayId: row.require_gateway_id,
    sessionLifetimeMs: row.session_lifetime_seconds === null ? null : row.session_lifetime_seconds * 1000,
    bitsPerSecond: row.bits_per_second,
    trafficBytesPerMonth: row.traffic_bytes_per_month,
    devicesPerUser: row.devices_per_user,
  };
}

export function deviceModel(row: Selectable<table.DeviceTable>): DeviceModel {
  const openvpn = openVpnDevice(row);
  return {
    id: row.id,
    userId: row.user_id,
    name: row.name,
    publicKey: openvpn === null ? row.public_key : null,
    ...(openvpn === null ? {} : { openvpn: openVpnModel(openvpn) }),
    ipv4: row.ipv4,
    ipv6: row.ipv6,
    approved: row.approved === 1,
    expiresAt: row.expires_at,
    bitsPerSecond: row.bits_per_second,
    networks: networksOf(row)
      .filter(({ approved }) => approved)
      .map(({ prefix }) => prefix),
  };
}

function openVpnModel({ login, certificate }: StoredDevice): NonNullable<DeviceModel['openvpn']> {
  if (certificate === null) return { login, certificate };
  return { login, certificate: { sha256: certificate.sha256, expiresAt: certificate.expiresAt } };
}

/** The networks behind a device, sorted. */
export function networksOf({ networks }: Pick<Selectable<table.DeviceTable>, 'networks'>): DeviceNetwork[] {
  // Most have none.
  return networks === '[]' ? [] : (JSON.parse(networks) as DeviceNetwork[]);
}

export function gatewayModel(row: Selectable<table.GatewayTable>): GatewayModel {
  return {
    id: row.id,
    name: row.name,
    regionId: row.region_id,
    draining: row.draining === 1,
    endpoint: row.endpoint_host === '' ? null : { host: row.endpoint_host, port: row.endpoint_port },
    openvpnCertificate: openVpnGateway(row)?.certificate.pem ?? null,
    egress: (JSON.parse(row.egress) as Gateway['egress']).map(({ groupId, ipv4, ipv6 }) => ({
      group: groupId,
      ipv4: ipv4 ?? undefined,
      ipv6: ipv6 ?? undefined,
    })),
  };
}

export function resourceModel(row: Selectable<table.ResourceTable>): ResourceModel {
  return {
    id: row.id,
    name: row.name,
    kind: row.kind as ResourceModel['kind'],
    prefixes: JSON.parse(row.prefixes) as string[],
    domain: row.domain,
    services: (JSON.parse(row.services) as Resource['services']).map(({ protocol, ports }) => ({
      protocol,
      ports: ports.map((range) => {
        const [from = 0, to = from] = range.split('-').map(Number);
        return { from, to };
      }),
    })),
  };
}

export function ruleModel(row: Selectable<table.RuleTable>): RuleModel {
  return {
    id: row.id,
    name: row.name,
    enabled: row.enabled === 1,
    groups: JSON.parse(row.groups) as string[],
    resources: JSON.parse(row.resources) as string[],
    gateways: JSON.parse(row.gateways) as string[],
  };
}

export function policyTestModel(row: Selectable<table.PolicyTestTable>): PolicyTestModel {
  return {
    id: row.id,
    name: row.name,
    userId: row.user_id,
    destination: row.destination,
    protocol: row.protocol as PolicyTestModel['protocol'],
    port: row.port,
    gatewayId: row.gateway_id,
    expect: row.expect as PolicyTestModel['expect'],
  };
}
