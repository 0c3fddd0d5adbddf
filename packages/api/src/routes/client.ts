/** What Sallyport's own client asks for: to be let in (RFC 8628), and what it needs to connect. */
import { z } from 'zod';
import { route } from '../contract.ts';
import * as entities from '../entities.ts';
import * as field from '../fields.ts';
import { loadClass } from './gateways.ts';

const deviceParams = z.strictObject({ deviceId: field.label.meta({ description: 'The id or name of a device' }) });
const userCode = z.string().trim().min(8).max(20).meta({ description: 'The code that the client shows: BCDF-GHJK' });

export const deviceAuthorization = z
  .strictObject({
    /** By which the client asks whether it was let in; a secret. */
    deviceCode: z.string(),
    userCode: z.string(),
    verificationUri: z.string(),
    verificationUriComplete: z.string(),
    expiresInSeconds: z.number().int(),
    /** The client asks no more often. */
    intervalSeconds: z.number().int(),
  })
  .meta({ id: 'DeviceAuthorization' });

export const waitingClient = z
  .strictObject({
    userCode: z.string(),
    /** What the client calls itself. */
    client: z.string(),
    /** Where it asked from, for the person to compare. */
    address: z.string(),
    createdAt: field.time,
    expiresAt: field.time,
  })
  .meta({ id: 'WaitingClient' });

export const clientGateway = z
  .strictObject({
    id: field.id,
    name: field.slug,
    regionId: field.slug,
    regionName: field.label,
    country: field.country.nullable(),
    city: z.string().nullable(),
    wireguardPublicKey: field.publicKey,
    endpointHost: z.string(),
    endpointPort: field.port,
    /** What the host's name resolves to for the control plane, so that clients need not ask; at most 8. */
    endpointAddresses: z.array(z.union([field.ipv4, field.ipv6])).max(8),
    amneziawg: entities.amneziawg.nullable(),
    tls: entities.tlsTransport.nullable(),
    health: entities.gatewayHealth,
    load: loadClass,
    draining: z.boolean(),
    recommended: z.boolean(),
  })
  .meta({ id: 'ClientGateway' });

export const clientConfiguration = z
  .strictObject({
    device: z.strictObject({
      id: field.id,
      name: field.label,
      userName: field.slug,
      ipv4: field.ipv4,
      ipv6: field.ipv6,
      standing: entities.deviceStanding,
      message: z.string(),
    }),
    /** Those that the user may use, the best first. */
    gateways: z.array(clientGateway),
    tunnel: z.strictObject({
      pool4: z.string(),
      pool6: z.string(),
      /** The gateway's tunnel addresses, the same at every gateway: names are asked there, and the tunnel service. */
      gateway4: field.ipv4,
      gateway6: field.ipv6,
      allowedIps: z.array(z.string()),
      dnsServers: z.array(z.string()),
      searchDomains: z.array(z.string()),
    }),
    requirements: z.strictObject({
      killSwitch: z.boolean(),
      /** Ids of which one has to be used; none: any. The gateways above hold to them already. */
      regionIds: z.array(field.slug),
      gatewayIds: z.array(field.id),
    }),
    /** Networks behind this device: offered, and those that an administrator has approved. */
    advertised: z.array(entities.deviceNetwork),
    /** The control plane's own addresses as the asker may reach them later, without names. */
    controlAddresses: z.array(z.string()).max(8),
    refreshSeconds: z.number().int(),
  })
  .meta({ id: 'ClientConfiguration' });

/** RFC 8628. */
export const deviceAuthorizationRoutes = {
  startDeviceAuthorization: route({
    id: 'startDeviceAuthorization',
    method: 'POST',
    path: '/device-authorizations',
    summary: 'Begins the login of a client without a browser of its own (RFC 8628, section 3.1)',
    permission: 'public',
    tag: 'login',
    body: z.strictObject({ client: field.label.meta({ description: 'What the client calls itself: `alice-laptop`' }) }),
    result: deviceAuthorization,
    status: 201,
  }),
  redeemDeviceAuthorization: route({
    id: 'redeemDeviceAuthorization',
    method: 'POST',
    path: '/device-authorizations/token',
    summary: 'Asks whether the client was let in: its session, of the kind `client`, or why there is none yet',
    permission: 'public',
    tag: 'login',
    body: z.strictObject({ deviceCode: z.string().min(20).max(200).meta({ format: 'password' }) }),
    result: z.discriminatedUnion('state', [
      z.strictObject({ state: z.literal('pending') }),
      /** The client asked too often and has to wait five seconds more from now on. */
      z.strictObject({ state: z.literal('slowDown') }),
      z.strictObject({ state: z.literal('denied') }),
      z.strictObject({ state: z.literal('expired') }),
      z.strictObject({ state: z.literal('approved'), token: z.string(), userId: field.id, userName: field.slug, expiresAt: field.time }), // prettier-ignore
    ]),
  }),
  getDeviceAuthorization: route({
    id: 'getDeviceAuthorization',
    method: 'GET',
    path: '/me/device-authorizations/{userCode}',
    summary: 'The client that waits with this code',
    permission: 'self',
    tag: 'me',
    params: z.strictObject({ userCode }),
    result: waitingClient,
  }),
  decideDeviceAuthorization: route({
    id: 'decideDeviceAuthorization',
    method: 'POST',
    path: '/me/device-authorizations/{userCode}',
    summary:
      'Lets the client that waits with this code in, as the caller, who proved within ten minutes that it is them; or sends it away',
    permission: 'self',
    tag: 'me',
    params: z.strictObject({ userCode }),
    body: z.strictObject({ decision: z.enum(['approve', 'deny']) }),
    command: {
      name: 'me approve-client',
      positional: ['userCode', 'decision'],
      examples: ['sallyport me approve-client BCDF-GHJK approve'],
    },
  }),
} as const;

export const clientRoutes = {
  getClientConfiguration: route({
    id: 'getClientConfiguration',
    method: 'GET',
    path: '/me/devices/{deviceId}/client',
    summary: 'What the client needs to connect one of the caller’s devices, to any gateway that it may use',
    permission: 'self',
    client: true,
    tag: 'me',
    params: deviceParams,
    result: clientConfiguration,
  }),
  advertiseNetworks: route({
    id: 'advertiseNetworks',
    method: 'PUT',
    path: '/me/devices/{deviceId}/advertised',
    summary: 'Says which networks behind one of the caller’s devices it offers; an administrator approves them',
    permission: 'self',
    client: true,
    tag: 'me',
    params: deviceParams,
    body: z.strictObject({ prefixes: z.array(z.union([z.cidrv4(), z.cidrv6()], 'a prefix: 10.20.0.0/16')).max(64) }),
    result: z.strictObject({ advertised: z.array(entities.deviceNetwork) }),
    command: {
      name: 'me device advertise',
      positional: ['deviceId'],
      examples: [
        'sallyport me device advertise office-server --prefixes 10.20.0.0/16,fd20::/48',
        "sallyport me device advertise office-server --prefixes ''",
      ],
    },
  }),
} as const;

export type WaitingClient = z.infer<typeof waitingClient>;
export type ClientConfiguration = z.infer<typeof clientConfiguration>;
export type ClientGateway = z.infer<typeof clientGateway>;
