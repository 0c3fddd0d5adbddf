import { z } from 'zod';
import { plainText } from '../plain-text.ts';

const port = z.number().int().min(1).max(65_535);

/** What the carrier's process reads from its standard input; the supervisor writes it. */
export const carrierConfiguration = z.strictObject({
  /** Its own folder, for its identity. */
  folder: z.string().startsWith('/'),
  /** Where it listens with TLS. */
  listen: z.array(z.strictObject({ host: z.string(), port: z.number().int().min(0).max(65_535) })).max(16),
  /** Take connections from the console's web server as well. */
  behindWeb: z.boolean(),
  /** What its own certificate is for, the first time. */
  hosts: z.array(z.string()).min(1).max(16),
  wireguardPort: port,
  /** OpenVPN over TCP; absent: it isn't spoken. */
  openvpn: z
    .strictObject({
      listen: z.array(z.strictObject({ host: z.string(), port: z.number().int().min(0).max(65_535) })).max(16),
      /** Take connections from the console's web server as well. */
      behindWeb: z.boolean(),
      /** The gateway's UDP port for it. */
      port,
    })
    .optional(),
  /** Whom to become once the addresses are taken. Absent: stays who it is, for tests. */
  user: z.strictObject({ uid: z.number().int().min(1), gid: z.number().int().min(1) }).optional(),
  logLevel: z.enum(['error', 'warn', 'info', 'debug']),
});
export type CarrierConfiguration = z.infer<typeof carrierConfiguration>;

/** As in a gateway's hello: at most 100 characters that need no escaping. */
const path = z.string().regex(/^\/[A-Za-z0-9_-]{16,100}$/);
const sha256 = z.string().regex(/^[0-9a-f]{64}$/);

const ready = z.strictObject({
  kind: z.literal('ready'),
  path,
  /** Of its own certificate. */
  certificateSha256: sha256,
  /** Where it listens with TLS. */
  ports: z.array(port).max(16),
  /** The port on 127.0.0.1 for the console's web server. */
  webPort: port.optional(),
  /** The same for OpenVPN over TCP. */
  openvpnPorts: z.array(port).max(16).default([]),
  openvpnWebPort: port.optional(),
});
export type CarrierReady = z.infer<typeof ready>;

/** Where a client of OpenVPN over TCP comes from, which the gateway knows by a loopback address and a port. */
export const clientSource = z.strictObject({
  kind: z.literal('source'),
  local: z.string().regex(/^127(\.\d{1,3}){3}:\d{1,5}$/),
  /** Null: the connection has ended. */
  address: z.union([z.ipv4(), z.ipv6()]).nullable(),
});
export type ClientSource = z.infer<typeof clientSource>;

/** What the carrier's process tells the supervisor. */
export const carrierMessage = z.discriminatedUnion('kind', [
  ready,
  clientSource,
  /** It ends, and would again. */
  z.strictObject({ kind: z.literal('failed'), message: plainText(2000) }),
]);
export type CarrierMessage = z.infer<typeof carrierMessage>;

/** Where devices reach a gateway by the tunnel over TLS, as its hello says it. */
export const tlsFacts = z.strictObject({
  /** Empty: the endpoint's. */
  host: z.string().max(253),
  port,
  path,
  /** Null: an authority vouches for it. */
  certificateSha256: sha256.nullable(),
});
export type TlsFacts = z.infer<typeof tlsFacts>;

/** What the control plane's process is told: where to hand tunnels on to, and OpenVPN over TCP. */
export const webTunnel = z.strictObject({
  kind: z.literal('tunnel'),
  path,
  /** Absent: none come this way. */
  port: port.optional(),
  openvpnPort: port.optional(),
});
export type WebTunnel = z.infer<typeof webTunnel>;
