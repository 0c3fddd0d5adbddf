/** The entities of the API, as it answers them. Times are RFC 3339, rates bits a second, amounts bytes. */
import { z } from 'zod';
import * as field from './fields.ts';

export const role = z.enum(['administrator', 'auditor', 'user']);

/** Limits that a user or a group can have; null sets none. A user's own counts before those of groups, of which the largest does. */
export const limits = {
  devicesPerUser: z.number().int().min(0).max(1000).nullable(),
  bitsPerSecond: field.bitsPerSecond.nullable(),
  trafficBytesPerMonth: field.bytes.nullable(),
};

export const user = z
  .strictObject({
    id: field.id,
    name: field.slug,
    displayName: z.string().max(100),
    email: z.email().max(254).nullable(),
    role,
    disabled: z.boolean(),
    expiresAt: field.time.nullable(),
    /** Ids of groups, `everyone` not among them. */
    groups: z.array(field.id),
    ...limits,
    trafficBytesThisMonth: field.bytes,
    /** Whether there is an authenticator app or a passkey. */
    hasSecondFactor: z.boolean(),
    /** The name of the SCIM client that keeps this user; null: it is kept here. */
    managedBy: z.string().nullable(),
    createdAt: field.time,
    lastLoginAt: field.time.nullable(),
    version: field.version,
  })
  .meta({ id: 'User' });

export const group = z
  .strictObject({
    id: field.id,
    name: field.slug,
    description: field.note,
    requireDeviceApproval: z.boolean(),
    /** Members who log in by password must set up a second factor before they can do anything else. */
    requireSecondFactor: z.boolean(),
    /** Members' clients keep the kill switch on, whatever their settings say. */
    requireKillSwitch: z.boolean(),
    /** Members' devices connect in this region or at this gateway alone; of several groups, wherever one of them lets them. */
    requireRegionId: field.slug.nullable(),
    requireGatewayId: field.id.nullable(),
    sessionLifetimeSeconds: field.seconds.nullable(),
    ...limits,
    memberCount: z.number().int().min(0),
    /** The name of the SCIM client that keeps this group; null: it is kept here. */
    managedBy: z.string().nullable(),
    version: field.version,
  })
  .meta({ id: 'Group' });

/** Whether a device may connect now, and if not, why. */
export const deviceStanding = z.enum([
  'active',
  'awaitingApproval',
  'userDisabled',
  'userExpired',
  'deviceExpired',
  'certificateExpired',
  'loginRequired',
  'trafficUsedUp',
]);

/** A network behind a device, which others reach through it once an administrator has approved that. */
export const deviceNetwork = z.strictObject({ prefix: z.string(), approved: z.boolean() });

/** What an OpenVPN device asks its user for beside a certificate: nothing, a password, or a login in a browser. */
export const openVpnLogin = z.enum(['certificate', 'password', 'web']);

export const device = z
  .strictObject({
    id: field.id,
    userId: field.id,
    userName: field.slug,
    name: field.label,
    protocol: z.enum(['wireguard', 'openvpn']),
    /** WireGuard's; null for an OpenVPN device. */
    publicKey: field.publicKey.nullable(),
    openvpn: z
      .strictObject({
        login: openVpnLogin,
        /** When its certificate ends; null: none is asked for. */
        certificateExpiresAt: field.time.nullable(),
      })
      .nullable(),
    ipv4: field.ipv4,
    ipv6: field.ipv6,
    standing: deviceStanding,
    /** What the standing means for its user, and what to do about it. */
    message: z.string(),
    approved: z.boolean(),
    expiresAt: field.time.nullable(),
    bitsPerSecond: field.bitsPerSecond.nullable(),
    /** Networks behind it: those that it offers, and those of them that are approved. */
    networks: z.array(deviceNetwork),
    createdAt: field.time,
    lastHandshakeAt: field.time.nullable(),
    /** The gateway of its last handshake. */
    gatewayId: field.id.nullable(),
    trafficBytesThisMonth: field.bytes,
    version: field.version,
  })
  .meta({ id: 'Device' });

export const region = z
  .strictObject({ id: field.slug, name: field.label, version: field.version })
  .meta({ id: 'Region' });

export const egressEntry = z
  .strictObject({
    /** The group that it is for; null: whoever no entry before it is for. */
    groupId: field.id.nullable(),
    ipv4: field.ipv4.nullable(),
    ipv6: field.ipv6.nullable(),
  })
  .meta({ id: 'EgressEntry' });

const amneziawgHeader = z.number().int().min(0).max(4_294_967_295);
/** The parameters of AmneziaWG 1.0 at a gateway, which its clients need too. */
export const amneziawg = z.strictObject({
  port: field.port,
  jc: z.number().int().min(0).max(128),
  jmin: z.number().int().min(0).max(1280),
  jmax: z.number().int().min(0).max(1280),
  s1: z.number().int().min(0).max(1132),
  s2: z.number().int().min(0).max(1188),
  h1: amneziawgHeader,
  h2: amneziawgHeader,
  h3: amneziawgHeader,
  h4: amneziawgHeader,
});

export const tlsTransport = z.strictObject({
  host: z.string().min(1).max(253),
  port: field.port,
  path: z.string().regex(/^\/[A-Za-z0-9/_-]{0,100}$/),
  /** Of the certificate, hexadecimal; null: an authority vouches for it. */
  certificateSha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
});

/** Where a gateway speaks OpenVPN: ports for UDP and TCP, 0 where it doesn't over that. */
export const openVpnTransport = z.strictObject({
  port: z.number().int().min(0).max(65_535),
  tcpPort: z.number().int().min(0).max(65_535),
});

export const gatewayHealth = z.enum(['healthy', 'degraded', 'unreachable', 'neverConnected']);

export const gateway = z
  .strictObject({
    id: field.id,
    name: field.slug,
    regionId: field.slug,
    country: field.country.nullable(),
    city: z.string().max(100).nullable(),
    latitude: z.number().min(-90).max(90).nullable(),
    longitude: z.number().min(-180).max(180).nullable(),
    endpointHost: z.string().max(253),
    endpointPort: field.port,
    wireguardPublicKey: field.publicKey,
    /** The first entry that fits a user's groups counts. */
    egress: z.array(egressEntry),
    /** Addresses that it says are its own. */
    addresses: z.array(z.string()),
    /** Other ways to it than WireGuard over UDP, where it has them. */
    transports: z.strictObject({
      amneziawg: amneziawg.nullable(),
      tls: tlsTransport.nullable(),
      openvpn: openVpnTransport.nullable(),
    }),
    draining: z.boolean(),
    health: gatewayHealth,
    problems: z.array(z.string()),
    load: z
      .strictObject({
        cpu: z.number(),
        memoryBytes: z.number(),
        receivedBitsPerSecond: z.number(),
        sentBitsPerSecond: z.number(),
        activeDevices: z.number().int(),
      })
      .nullable(),
    /** Round-trip time between control plane and gateway, milliseconds. */
    latencyMs: z.number().nullable(),
    lastSeenAt: field.time.nullable(),
    software: z.string(),
    /** The version of its desired state that it was sent last, and the one that it serves. */
    stateVersion: z.number().int().min(0),
    appliedVersion: z.number().int().min(0),
    version: field.version,
  })
  .meta({ id: 'Gateway' });

export const protocol = z.enum(['any', 'tcp', 'udp', 'icmp']);
/** `443` or `8000-8100`. */
export const portRange = z
  .string()
  .regex(/^\d{1,5}(-\d{1,5})?$/, 'a port or a range of ports: 443 or 8000-8100')
  .refine((text) => {
    const [from = 0, to = from] = text.split('-').map(Number);
    return from >= 1 && from <= to && to <= 65_535;
  }, 'ports lie between 1 and 65535, the lower one first');
export const service = z.strictObject({ protocol, ports: z.array(portRange).max(100) });

export const resource = z
  .strictObject({
    id: field.id,
    name: field.slug,
    description: field.note,
    kind: z.enum(['internet', 'network', 'name']),
    /** For `network`: addresses and prefixes of either family. */
    prefixes: z
      .array(z.union([z.cidrv4(), z.cidrv6(), z.ipv4(), z.ipv6()], 'an address or a prefix: 10.20.0.5, fd20::/48'))
      .max(1000),
    /** For `name`: a DNS name, which the gateways resolve. */
    domain: z.hostname('a DNS name: wiki.corp.example').max(253).nullable(),
    /** Protocols and ports; none means everything. */
    services: z.array(service).max(100),
    version: field.version,
  })
  .meta({ id: 'Resource' });

export const rule = z
  .strictObject({
    id: field.id,
    name: field.slug,
    enabled: z.boolean(),
    groups: z.array(field.id).max(1000),
    resources: z.array(field.id).max(1000),
    /** None means all gateways. */
    gateways: z.array(field.id).max(1000),
    version: field.version,
  })
  .meta({ id: 'Rule' });

export const policyTest = z
  .strictObject({
    id: field.id,
    name: field.label,
    userId: field.id,
    /** An address, or the DNS name of a resource. */
    destination: z.string().min(1).max(253),
    protocol: z.enum(['tcp', 'udp', 'icmp']),
    port: field.port.nullable(),
    /** Null: through any gateway. */
    gatewayId: field.id.nullable(),
    expect: z.enum(['allow', 'deny']),
    version: field.version,
  })
  .meta({ id: 'PolicyTest' });

const dnsName = z.hostname('a DNS name: corp.example').max(253);
const address = z.union([field.ipv4, field.ipv6], 'an IPv4 or IPv6 address');

/** Ciphers that protect themselves (AEAD), by the names that OpenVPN gives them. */
const dataCipher = z.enum(['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305']);

/** What gateways, which devices ask for names, do with them. */
const nameSettings = {
  /** Whom gateways ask; none: the name servers of their own system. */
  upstreams: z.array(field.nameServer).max(8),
  /** Addresses of lists of names that are not answered, fetched daily: hosts files, or one name a line. */
  blockLists: z.array(field.listUrl).max(20),
  /** Names that are not answered, with all below them. */
  blocked: z.array(dnsName).max(5000),
  /** Names that gateways answer themselves. */
  hosts: z.array(z.strictObject({ name: dnsName, addresses: z.array(address).min(1).max(16) })).max(1000),
  /** Domains whose names are asked of name servers of their own. */
  domains: z.array(z.strictObject({ domain: dnsName, servers: z.array(field.nameServer).min(1).max(8) })).max(200),
};

export const settings = z
  .strictObject({
    dns: z.strictObject({
      /** Whom devices ask; none: their gateway. */
      servers: z.array(address).max(8),
      searchDomains: z.array(dnsName).max(8),
      ...nameSettings,
    }),
    /** What the WireGuard configuration of a device sends into the tunnel. */
    allowedIps: z
      .array(z.union([z.cidrv4(), z.cidrv6()], 'a prefix: 10.20.0.0/16, ::/0'))
      .min(1)
      .max(200),
    persistentKeepaliveSeconds: z.number().int().min(0).max(65_535),
    openvpn: z.strictObject({
      /** Of the data channel, in the order in which they are preferred. */
      dataCiphers: z.array(dataCipher).min(1).max(3),
      /** Let clients in that know none of these: AES-256-CBC with HMAC-SHA256. */
      oldClients: z.boolean(),
    }),
    /** Keep who connected when in the audit log, and for how long. */
    connectionAudit: z.strictObject({ enabled: z.boolean(), retentionDays: z.number().int().min(1).max(3650) }),
    /** Keep the addresses that changes and logins come from in the audit log. */
    auditAddresses: z.boolean(),
    usageRetentionDays: z.number().int().min(31).max(3650),
    version: field.version,
  })
  .meta({ id: 'Settings' });

export const auditEntry = z
  .strictObject({
    number: z.number().int().min(1),
    at: field.time,
    actor: z.strictObject({
      kind: z.enum(['user', 'token', 'system', 'setup']),
      id: z.string().nullable(),
      name: z.string(),
    }),
    /** How it came: `api`, `cli`, `console`, `system`; the address where the settings keep it. */
    origin: z.strictObject({ via: z.string(), address: z.string().nullable() }),
    /** What happened: `user.create`, `login.fail`, … */
    action: z.string(),
    target: z.strictObject({ kind: z.string(), id: z.string().nullable(), name: z.string() }),
    before: z.unknown(),
    after: z.unknown(),
    /** SHA-256 over this entry and the hash before it, hexadecimal. */
    hash: z.string().length(64),
  })
  .meta({ id: 'AuditEntry' });

export type User = z.infer<typeof user>;
export type Group = z.infer<typeof group>;
export type Device = z.infer<typeof device>;
export type DeviceNetwork = z.infer<typeof deviceNetwork>;
export type Region = z.infer<typeof region>;
export type Gateway = z.infer<typeof gateway>;
export type Resource = z.infer<typeof resource>;
export type Rule = z.infer<typeof rule>;
export type PolicyTest = z.infer<typeof policyTest>;
export type Settings = z.infer<typeof settings>;
export type AuditEntry = z.infer<typeof auditEntry>;
