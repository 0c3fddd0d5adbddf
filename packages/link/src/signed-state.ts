/** What is signed: for one gateway alone, from one version to the next, so that it can be neither moved nor replayed. */
import { z } from 'zod';
import type { StateChange } from '@sallyport/policy';

const text = z.string().min(1).max(64);
const address = z.string().min(2).max(45);
const prefix = z.string().min(4).max(49);
const egress = z.strictObject({ ipv4: address.optional(), ipv6: address.optional() });
const port = z.number().int().min(0).max(65535);

const destination = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('internet') }),
  z.strictObject({ kind: z.literal('network'), prefix }),
  z.strictObject({ kind: z.literal('name'), name: z.string().min(1).max(253) }),
]);

export const groupPlan = z.strictObject({
  id: text,
  grants: z.array(
    z.strictObject({
      rule: text,
      destination,
      protocol: z.enum(['any', 'tcp', 'udp', 'icmp']),
      ports: z.array(z.strictObject({ from: port, to: port })),
    }),
  ),
});

const openVpnDevice = z.strictObject({
  certificates: z.array(z.string().regex(/^[0-9a-f]{64}$/)).max(16),
  login: z.enum(['certificate', 'password', 'web']),
  userName: z.string().min(1).max(64),
  loginEpoch: z.string().max(64).optional(),
});

export const devicePlan = z.strictObject({
  id: text,
  publicKey: z.string().length(44).optional(),
  openvpn: openVpnDevice.optional(),
  ipv4: address,
  ipv6: address,
  groups: z.array(text),
  egress: egress.optional(),
  bitsPerSecond: z.number().positive().optional(),
  validUntil: z.number().optional(),
  networks: z.array(prefix).max(1000).optional(),
});

const hostOrAddress = z.string().min(1).max(253);
/** A name server: an address, perhaps with a port, or a URL. */
const server = z.string().min(1).max(500);

const neighbour = z.strictObject({
  gatewayId: text,
  host: hostOrAddress,
  port: z.number().int().min(1).max(65535),
});

export const namesPlan = z.strictObject({
  upstreams: z.array(server).max(16),
  blocked: z.array(hostOrAddress).max(10_000),
  blockLists: z.array(z.string().min(1).max(2000)).max(32),
  hosts: z.array(z.strictObject({ name: hostOrAddress, addresses: z.array(address).max(16) })).max(10_000),
  domains: z.array(z.strictObject({ domain: hostOrAddress, servers: z.array(server).max(8) })).max(1000),
});

const openVpnGateway = z.strictObject({
  authority: z.string().max(10_000),
  certificate: z.string().max(10_000),
  clientKey: z.string().length(172),
  tokenKey: z.string().length(60),
  dataCiphers: z.array(z.enum(['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC'])).max(16),
  push: z.array(z.string().max(255)).max(1000),
});

export const gatewayPlan = z.strictObject({
  id: text,
  name: z.string().max(63),
  pool4: prefix,
  pool6: prefix,
  address4: address,
  address6: address,
  egress,
  draining: z.boolean(),
  neighbours: z.array(neighbour).max(10_000).optional(),
  connectedNetworks: z.array(prefix).max(10_000).optional(),
  names: namesPlan.optional(),
  openvpn: openVpnGateway.optional(),
});

export const signedState = z.strictObject({
  gatewayId: text,
  /** The version that this leads to. */
  version: z.number().int().min(1),
  /** The version that it starts from: 0 for a snapshot, which replaces everything. */
  base: z.number().int().min(0),
  change: z.strictObject({
    gateway: gatewayPlan.optional(),
    putGroups: z.array(groupPlan),
    removeGroups: z.array(text),
    putDevices: z.array(devicePlan),
    removeDevices: z.array(text),
  }),
});

export type SignedState = { gatewayId: string; version: number; base: number; change: StateChange };
