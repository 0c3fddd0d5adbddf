/** Gateways: where they are and how they fare, how they join, what addresses they send from, what went through them. */
import { z } from 'zod';
import { route } from '../contract.ts';
import * as entities from '../entities.ts';
import * as field from '../fields.ts';

/** An id, or the name that stands for it. */
const reference = z.string().min(1).max(64).meta({ description: 'An id or a name' });
const gatewayParams = z.strictObject({ gatewayId: reference });
const regionParams = z.strictObject({ regionId: field.slug });
const latitude = z.number().min(-90).max(90);
const longitude = z.number().min(-180).max(180);
const day = z.iso.date().meta({ description: 'A UTC day: 2027-01-31' });

export const joinToken = z
  .strictObject({
    id: field.id,
    /** Where the gateway will be, whatever it says itself. */
    regionId: field.slug.nullable(),
    createdAt: field.time,
    expiresAt: field.time,
    usedAt: field.time.nullable(),
  })
  .meta({ id: 'JoinToken' });

export const newJoinToken = z
  .strictObject({
    ...joinToken.shape,
    /** Shown this once. It lets one gateway join, and tells it how to recognise this control plane. */
    token: z.string(),
    /** What to run on the gateway's machine. */
    command: z.string(),
  })
  .meta({ id: 'NewJoinToken' });

export const egressAddress = z
  .strictObject({
    gatewayId: field.id,
    gatewayName: field.slug,
    regionId: field.slug,
    /** The group that it was given to; null: whoever has none of their own there. */
    groupId: field.id.nullable(),
    groupName: field.slug.nullable(),
    /** Null in a family where the gateway's system picks the address. */
    ipv4: field.ipv4.nullable(),
    ipv6: field.ipv6.nullable(),
  })
  .meta({ id: 'EgressAddress' });

export const egressLink = z
  .strictObject({ id: field.id, name: field.label, createdAt: field.time, lastUsedAt: field.time.nullable() })
  .meta({ id: 'EgressLink' });

export const newEgressLink = z
  .strictObject({
    ...egressLink.shape,
    /** Shown this once. Who has it reads the egress addresses, and nothing else. */
    url: z.string(),
  })
  .meta({ id: 'NewEgressLink' });

export const usageDay = z
  .strictObject({ day, sentBytes: field.bytes, receivedBytes: field.bytes })
  .meta({ id: 'UsageDay', description: 'Traffic of a UTC day, as the devices see it' });

export const loadClass = z.enum(['low', 'medium', 'high', 'unknown']);

export const offeredGateway = z
  .strictObject({
    id: field.id,
    name: field.slug,
    regionId: field.slug,
    regionName: field.label,
    country: field.country.nullable(),
    city: z.string().nullable(),
    endpointHost: z.string(),
    endpointPort: field.port,
    wireguardPublicKey: field.publicKey,
    /** OpenVPN devices can connect to it. */
    openvpn: z.boolean(),
    health: entities.gatewayHealth,
    load: loadClass,
    draining: z.boolean(),
    /** From the place that was asked for; null where one of the two is not known. */
    distanceKm: z.number().nullable(),
    /** The best one to connect to now. */
    recommended: z.boolean(),
  })
  .meta({ id: 'OfferedGateway' });

const egressQuery = z.strictObject({
  group: reference.optional().meta({ description: 'Only addresses that members of this group leave with' }),
  gateway: reference.optional().meta({ description: 'Only addresses of this gateway' }),
});
const usageQuery = z.strictObject({
  from: day.optional().meta({ description: 'The first UTC day; the default is 30 days ago' }),
  to: day.optional().meta({ description: 'The last UTC day; the default is today' }),
});
const usageColumns = ['day', 'sentBytes', 'receivedBytes'];

export const gatewayRoutes = {
  // Before the routes of one gateway, whose paths these would fit too.
  listJoinTokens: route({
    id: 'listJoinTokens',
    method: 'GET',
    path: '/gateways/join-tokens',
    summary: 'The tokens by which gateways can join, and those that were used, the latest first',
    permission: 'gateways:read',
    tag: 'gateways',
    query: z.strictObject(field.pageQuery),
    result: field.page(joinToken),
    command: {
      name: 'join-token list',
      examples: ['sallyport join-token list'],
      columns: ['id', 'regionId', 'createdAt', 'expiresAt', 'usedAt'],
    },
  }),
  createJoinToken: route({
    id: 'createJoinToken',
    method: 'POST',
    path: '/gateways/join-tokens',
    summary: 'Creates a token by which one gateway joins, once',
    permission: 'gateways:write',
    stepUp: true,
    tag: 'gateways',
    body: z.strictObject({
      regionId: field.slug.optional().meta({ description: 'The region that the gateway will be in' }),
      expiresInSeconds: z
        .number()
        .int()
        .min(60)
        .max(7 * 86_400)
        .default(3600),
    }),
    result: newJoinToken,
    status: 201,
    command: {
      name: 'join-token create',
      examples: ['sallyport join-token create', 'sallyport join-token create --region-id frankfurt'],
    },
  }),
  revokeJoinToken: route({
    id: 'revokeJoinToken',
    method: 'DELETE',
    path: '/gateways/join-tokens/{joinTokenId}',
    summary: 'Makes a join token useless; a gateway that joined with it stays',
    permission: 'gateways:write',
    tag: 'gateways',
    params: z.strictObject({ joinTokenId: field.id }),
    command: {
      name: 'join-token revoke',
      positional: ['joinTokenId'],
      examples: ['sallyport join-token revoke 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e'],
    },
  }),

  listGateways: route({
    id: 'listGateways',
    method: 'GET',
    path: '/gateways',
    summary: 'The gateways, by name',
    permission: 'gateways:read',
    tag: 'gateways',
    query: z.strictObject({ ...field.pageQuery, regionId: field.slug.optional() }),
    result: field.page(entities.gateway),
    command: {
      name: 'gateway list',
      examples: ['sallyport gateway list', 'sallyport gateway list --region-id frankfurt'],
      columns: ['name', 'regionId', 'health', 'draining', 'endpointHost', 'latencyMs', 'lastSeenAt'],
    },
  }),
  getGateway: route({
    id: 'getGateway',
    method: 'GET',
    path: '/gateways/{gatewayId}',
    summary: 'One gateway',
    permission: 'gateways:read',
    tag: 'gateways',
    params: gatewayParams,
    result: entities.gateway,
    versioned: true,
    command: { name: 'gateway show', positional: ['gatewayId'], examples: ['sallyport gateway show frankfurt-1'] },
  }),
  updateGateway: route({
    id: 'updateGateway',
    method: 'PATCH',
    path: '/gateways/{gatewayId}',
    summary: 'Changes a gateway; one that is draining keeps those who are on it, and nobody new is sent there',
    permission: 'gateways:write',
    tag: 'gateways',
    params: gatewayParams,
    body: z.strictObject({
      name: field.slug.optional(),
      regionId: field.slug.optional(),
      country: field.country.nullable().optional(),
      city: z.string().trim().min(1).max(100).nullable().optional(),
      latitude: latitude.nullable().optional(),
      longitude: longitude.nullable().optional(),
      endpointHost: z
        .union([z.hostname().max(253), field.ipv4, field.ipv6])
        .optional()
        .meta({ description: 'The host name or address that devices connect to' }),
      endpointPort: field.port.optional(),
      egress: z.array(entities.egressEntry).max(200).optional(),
      draining: z.boolean().optional(),
    }),
    result: entities.gateway,
    versioned: true,
    command: {
      name: 'gateway update',
      positional: ['gatewayId'],
      examples: [
        'sallyport gateway update frankfurt-1 --draining true',
        'sallyport gateway update frankfurt-1 --latitude 50.11 --longitude 8.68',
        `sallyport gateway update frankfurt-1 --egress '[{"groupId":"engineering","ipv4":"192.0.2.20","ipv6":null}]'`,
      ],
    },
  }),
  deleteGateway: route({
    id: 'deleteGateway',
    method: 'DELETE',
    path: '/gateways/{gatewayId}',
    summary: 'Removes a gateway, which stops serving at once and can only come back with a join token',
    permission: 'gateways:write',
    stepUp: true,
    tag: 'gateways',
    params: gatewayParams,
    versioned: true,
    command: { name: 'gateway delete', positional: ['gatewayId'], examples: ['sallyport gateway delete frankfurt-1'] },
  }),

  listRegions: route({
    id: 'listRegions',
    method: 'GET',
    path: '/regions',
    summary: 'The regions, by id',
    permission: 'gateways:read',
    tag: 'regions',
    query: z.strictObject(field.pageQuery),
    result: field.page(entities.region),
    command: { name: 'region list', examples: ['sallyport region list'], columns: ['id', 'name'] },
  }),
  createRegion: route({
    id: 'createRegion',
    method: 'POST',
    path: '/regions',
    summary: 'Creates a region',
    permission: 'gateways:write',
    tag: 'regions',
    body: z.strictObject({ id: field.slug, name: field.label }),
    result: entities.region,
    status: 201,
    versioned: true,
    command: {
      name: 'region create',
      positional: ['id', 'name'],
      examples: ['sallyport region create frankfurt "Frankfurt am Main"'],
    },
  }),
  getRegion: route({
    id: 'getRegion',
    method: 'GET',
    path: '/regions/{regionId}',
    summary: 'One region',
    permission: 'gateways:read',
    tag: 'regions',
    params: regionParams,
    result: entities.region,
    versioned: true,
    command: { name: 'region show', positional: ['regionId'], examples: ['sallyport region show frankfurt'] },
  }),
  updateRegion: route({
    id: 'updateRegion',
    method: 'PATCH',
    path: '/regions/{regionId}',
    summary: 'Gives a region another name',
    permission: 'gateways:write',
    tag: 'regions',
    params: regionParams,
    body: z.strictObject({ name: field.label }),
    result: entities.region,
    versioned: true,
    command: {
      name: 'region update',
      positional: ['regionId'],
      examples: ['sallyport region update frankfurt --name "Frankfurt, Germany"'],
    },
  }),
  deleteRegion: route({
    id: 'deleteRegion',
    method: 'DELETE',
    path: '/regions/{regionId}',
    summary: 'Removes a region that no gateway is in',
    permission: 'gateways:write',
    tag: 'regions',
    params: regionParams,
    versioned: true,
    command: { name: 'region delete', positional: ['regionId'], examples: ['sallyport region delete frankfurt'] },
  }),

  listEgress: route({
    id: 'listEgress',
    method: 'GET',
    path: '/egress',
    summary: 'The addresses that traffic leaves the gateways with, for allow lists',
    permission: 'gateways:read',
    tag: 'egress',
    query: egressQuery,
    result: field.page(egressAddress),
    command: {
      name: 'egress list',
      examples: ['sallyport egress list', 'sallyport egress list --group engineering'],
      columns: ['gatewayName', 'regionId', 'groupName', 'ipv4', 'ipv6'],
    },
  }),
  exportEgress: route({
    id: 'exportEgress',
    method: 'GET',
    path: '/egress.txt',
    summary: 'The same addresses as plain text, one a line',
    permission: 'gateways:read',
    tag: 'egress',
    query: egressQuery,
    result: z.string(),
    mediaType: 'text/plain',
    command: { name: 'egress export', examples: ['sallyport egress export --group engineering > allowed.txt'] },
  }),
  listEgressLinks: route({
    id: 'listEgressLinks',
    method: 'GET',
    path: '/egress/links',
    summary: 'The links by which firewalls read the egress addresses, by name',
    permission: 'tokens:read',
    tag: 'egress',
    result: field.page(egressLink),
    command: {
      name: 'egress-link list',
      examples: ['sallyport egress-link list'],
      columns: ['id', 'name', 'createdAt', 'lastUsedAt'],
    },
  }),
  createEgressLink: route({
    id: 'createEgressLink',
    method: 'POST',
    path: '/egress/links',
    summary: 'Creates a link by which a firewall reads the egress addresses without logging in',
    permission: 'tokens:write',
    tag: 'egress',
    body: z.strictObject({ name: field.label }),
    result: newEgressLink,
    status: 201,
    command: {
      name: 'egress-link create',
      positional: ['name'],
      examples: ['sallyport egress-link create "firewall of the head office"'],
    },
  }),
  revokeEgressLink: route({
    id: 'revokeEgressLink',
    method: 'DELETE',
    path: '/egress/links/{linkId}',
    summary: 'Makes such a link useless',
    permission: 'tokens:write',
    tag: 'egress',
    params: z.strictObject({ linkId: field.id }),
    command: {
      name: 'egress-link revoke',
      positional: ['linkId'],
      examples: ['sallyport egress-link revoke egress-0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e'],
    },
  }),
  readEgressLink: route({
    id: 'readEgressLink',
    method: 'GET',
    path: '/egress/lists/{token}',
    summary: 'The egress addresses as plain text, one a line, for who holds a link',
    permission: 'public',
    tag: 'egress',
    params: z.strictObject({ token: field.token }),
    query: egressQuery,
    result: z.string(),
    mediaType: 'text/plain',
  }),

  getUsage: route({
    id: 'getUsage',
    method: 'GET',
    path: '/usage',
    summary: 'Traffic of all devices together, by day',
    permission: 'devices:read',
    tag: 'usage',
    query: usageQuery,
    result: field.page(usageDay),
    command: { name: 'usage show', examples: ['sallyport usage show --from 2027-01-01'], columns: usageColumns },
  }),
  getUserUsage: route({
    id: 'getUserUsage',
    method: 'GET',
    path: '/users/{userId}/usage',
    summary: "Traffic of a user's devices, by day",
    permission: 'users:read',
    tag: 'usage',
    params: z.strictObject({ userId: reference }),
    query: usageQuery,
    result: field.page(usageDay),
    command: {
      name: 'user usage',
      positional: ['userId'],
      examples: ['sallyport user usage alice'],
      columns: usageColumns,
    },
  }),
  getDeviceUsage: route({
    id: 'getDeviceUsage',
    method: 'GET',
    path: '/devices/{deviceId}/usage',
    summary: 'Traffic of a device, by day',
    permission: 'devices:read',
    tag: 'usage',
    params: z.strictObject({ deviceId: field.id }),
    query: usageQuery,
    result: field.page(usageDay),
    command: {
      name: 'device usage',
      positional: ['deviceId'],
      examples: ['sallyport device usage 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e'],
      columns: usageColumns,
    },
  }),
  getMyUsage: route({
    id: 'getMyUsage',
    method: 'GET',
    path: '/me/usage',
    summary: "Traffic of the caller's devices, by day",
    permission: 'self',
    tag: 'usage',
    query: usageQuery,
    result: field.page(usageDay),
    command: { name: 'me usage', examples: ['sallyport me usage'], columns: usageColumns },
  }),

  listMyGateways: route({
    id: 'listMyGateways',
    method: 'GET',
    path: '/me/gateways',
    summary: "The gateways that the caller's devices may use, the best one first",
    permission: 'self',
    tag: 'me',
    query: z.strictObject({
      latitude: z.coerce.number().min(-90).max(90).optional().meta({ description: 'Where the caller is' }),
      longitude: z.coerce.number().min(-180).max(180).optional(),
      country: field.country.optional().meta({ description: 'Where the caller is, less exactly' }),
      regionId: field.slug.optional().meta({ description: 'Only gateways of this region' }),
    }),
    result: field.page(offeredGateway),
    command: {
      name: 'me gateways',
      examples: ['sallyport me gateways', 'sallyport me gateways --country DE'],
      columns: ['name', 'regionName', 'country', 'city', 'load', 'health', 'draining', 'recommended'],
    },
  }),
} as const;

export type JoinToken = z.infer<typeof joinToken>;
export type NewJoinToken = z.infer<typeof newJoinToken>;
export type EgressAddress = z.infer<typeof egressAddress>;
export type EgressLink = z.infer<typeof egressLink>;
export type UsageDay = z.infer<typeof usageDay>;
export type OfferedGateway = z.infer<typeof offeredGateway>;
