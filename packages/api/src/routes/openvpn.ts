/** OpenVPN: devices of it, their certificates and profiles, and logins in a browser that a tunnel waits for. */
import { z } from 'zod';
import { route } from '../contract.ts';
import * as entities from '../entities.ts';
import * as field from '../fields.ts';

const reference = z.string().min(1).max(64).meta({ description: 'An id or a name' });
const deviceParams = z.strictObject({ deviceId: reference.meta({ description: 'The id of a device' }) });
const myDeviceParams = z.strictObject({ deviceId: field.label.meta({ description: 'The id or name of a device' }) });
const profileQuery = z.strictObject({
  gateway: reference
    .optional()
    .meta({ description: 'This gateway alone; default: all that the user may use, the best first' }),
});
const code = z.string().trim().min(8).max(20).meta({ description: 'The code of the address that was opened' });

/** What a new device shows that it is itself. */
const proof = {
  login: entities.openVpnLogin
    .default('certificate')
    .meta({ description: 'What it asks its user for: nothing beside its certificate, a password, or a login in a browser' }), // prettier-ignore
  publicKey: field.certificateKey.optional(),
};
const renewal = z.strictObject({ publicKey: field.certificateKey });

export const tunnelLogin = z
  .strictObject({
    code: z.string(),
    deviceId: field.id,
    deviceName: field.label,
    gatewayName: z.string(),
    /** What the program calls itself. */
    client: z.string(),
    /** Where it connects from, for the person to compare. */
    address: z.string(),
    createdAt: field.time,
    expiresAt: field.time,
  })
  .meta({ id: 'TunnelLogin' });

export const openVpnRoutes = {
  addMyOpenVpnDevice: route({
    id: 'addMyOpenVpnDevice',
    method: 'POST',
    path: '/me/openvpn-devices',
    summary:
      'Adds an OpenVPN device; with a public key, a certificate is issued for it. The private key stays where it was made',
    permission: 'self',
    tag: 'me',
    body: z.strictObject({ name: field.label, ...proof }),
    result: entities.device,
    status: 201,
    versioned: true,
    command: {
      name: 'me device add-openvpn',
      positional: ['name'],
      examples: [
        'sallyport me device add-openvpn laptop --public-key "$(openssl pkey -in laptop.pem -pubout -outform DER | base64 -w 0)"',
        'sallyport me device add-openvpn phone --login password',
      ],
    },
  }),
  renewMyCertificate: route({
    id: 'renewMyCertificate',
    method: 'PUT',
    path: '/me/devices/{deviceId}/certificate',
    summary: "Issues a new certificate for one of the caller's OpenVPN devices; the one before counts no more",
    permission: 'self',
    tag: 'me',
    params: myDeviceParams,
    body: renewal,
    result: entities.device,
    versioned: true,
    command: {
      name: 'me device renew-certificate',
      positional: ['deviceId'],
      examples: [
        'sallyport me device renew-certificate laptop --public-key "$(openssl pkey -in laptop.pem -pubout -outform DER | base64 -w 0)"',
      ],
    },
  }),
  getMyOpenVpnProfile: route({
    id: 'getMyOpenVpnProfile',
    method: 'GET',
    path: '/me/devices/{deviceId}/openvpn-profile',
    summary: 'The profile of an OpenVPN device, but for its private key, which only the device has',
    permission: 'self',
    tag: 'me',
    params: myDeviceParams,
    query: profileQuery,
    result: z.string(),
    mediaType: 'text/plain',
    command: {
      name: 'me device openvpn-profile',
      positional: ['deviceId'],
      examples: ['sallyport me device openvpn-profile laptop > laptop.ovpn'],
    },
  }),

  createOpenVpnDevice: route({
    id: 'createOpenVpnDevice',
    method: 'POST',
    path: '/openvpn-devices',
    summary: 'Adds an OpenVPN device of a user, approved',
    permission: 'devices:write',
    tag: 'devices',
    body: z.strictObject({
      user: reference,
      name: field.label,
      ...proof,
      expiresAt: field.time.nullable().optional(),
      bitsPerSecond: field.bitsPerSecond.nullable().optional(),
    }),
    result: entities.device,
    status: 201,
    versioned: true,
    command: {
      name: 'device create-openvpn',
      positional: ['user', 'name'],
      examples: ['sallyport device create-openvpn alice phone --login password --expires-at 2027-01-31T00:00:00Z'],
    },
  }),
  renewCertificate: route({
    id: 'renewCertificate',
    method: 'PUT',
    path: '/devices/{deviceId}/certificate',
    summary: 'Issues a new certificate for an OpenVPN device; the one before counts no more',
    permission: 'devices:write',
    tag: 'devices',
    params: deviceParams,
    body: renewal,
    result: entities.device,
    versioned: true,
    command: {
      name: 'device renew-certificate',
      positional: ['deviceId'],
      examples: [
        'sallyport device renew-certificate 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e --public-key "$(openssl pkey -in laptop.pem -pubout -outform DER | base64 -w 0)"',
      ],
    },
  }),
  getOpenVpnProfile: route({
    id: 'getOpenVpnProfile',
    method: 'GET',
    path: '/devices/{deviceId}/openvpn-profile',
    summary: 'The profile of an OpenVPN device, but for its private key',
    permission: 'devices:write',
    tag: 'devices',
    params: deviceParams,
    query: profileQuery,
    result: z.string(),
    mediaType: 'text/plain',
    command: {
      name: 'device openvpn-profile',
      positional: ['deviceId'],
      examples: ['sallyport device openvpn-profile 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e --gateway oslo-1'],
    },
  }),

  getTunnelLogin: route({
    id: 'getTunnelLogin',
    method: 'GET',
    path: '/me/tunnel-logins/{code}',
    summary: "The device of the caller's that waits to be let in with this code",
    permission: 'self',
    tag: 'me',
    params: z.strictObject({ code }),
    result: tunnelLogin,
  }),
  decideTunnelLogin: route({
    id: 'decideTunnelLogin',
    method: 'POST',
    path: '/me/tunnel-logins/{code}',
    summary:
      "Lets a device of the caller's, who proved within ten minutes that it is them, into the tunnel; or sends it away",
    permission: 'self',
    tag: 'me',
    params: z.strictObject({ code }),
    body: z.strictObject({ decision: z.enum(['approve', 'deny']) }),
    command: {
      name: 'me approve-tunnel',
      positional: ['code', 'decision'],
      examples: ['sallyport me approve-tunnel BCDF-GHJK approve'],
    },
  }),
} as const;

export type TunnelLogin = z.infer<typeof tunnelLogin>;
