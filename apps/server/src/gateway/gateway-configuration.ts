import type { NamesPlan } from '@sallyport/policy';
import { z } from 'zod';
import { tlsFacts } from '../carrier/carrier-configuration.ts';

/**
 * What the gateway's process reads from its standard input, as one JSON document, then end of file. The supervisor
 * starts it as root, with an IPC channel (`stdio: ['pipe', 'inherit', 'inherit', 'ipc', HELPER]`): the process says
 * {@link GatewayMessage} there, and ends when the channel closes or on SIGTERM.
 */
export const gatewayConfiguration = z.strictObject({
  /** The tunnel's interface. */
  interfaceName: z.string().regex(/^[a-zA-Z0-9_.-]{1,15}$/),
  /** The UDP port of the tunnel; 0 lets the kernel choose. */
  listenPort: z.number().int().min(0).max(65535),
  /** The UDP port for AmneziaWG; 0: it isn't spoken. */
  amneziawgPort: z.number().int().min(0).max(65535).default(0),
  mtu: z.number().int().min(1280).max(65535).default(1420),
  /** Data-plane workers; by default one for each core, four at most. */
  workers: z.number().int().min(1).max(64).optional(),
  /** For keys and the last state. Made where it is missing, mode 0700, and given to `user`. */
  directory: z.string().startsWith('/'),
  /** Whom to become once TUN device and sockets are open. Absent: stays who it is, for tests. */
  user: z.strictObject({ uid: z.number().int().min(1), gid: z.number().int().min(1) }).optional(),
  /** The descriptor of the socket to the helper that keeps its privileges. */
  helperFd: z.number().int().min(3),
  control: z.strictObject({
    /** The API's address, `https://vpn.example.org`; the link's path is added. */
    url: z.url({ protocol: /^https?$/ }),
    /** Used where the directory holds no membership yet, or one of another control plane than the token's. */
    joinToken: z.string().max(200).optional(),
  }),
  /** How devices reach it. An empty host: the control plane takes the one that it has. No port: the one listened on. */
  endpoint: z.strictObject({ host: z.string().max(253), port: z.number().int().min(1).max(65535).optional() }),
  /** Where devices reach the tunnel over TLS, for the hello; absent: nowhere. */
  tls: tlsFacts.optional(),
  /** OpenVPN: its UDP port, and the TCP port that leads to it (0: none), for the hello. Absent: it isn't spoken. */
  openvpn: z
    .strictObject({ port: z.number().int().min(0).max(65535), tcpPort: z.number().int().min(0).max(65535) })
    .optional(),
  name: z.string().max(63).optional(),
  region: z.string().max(63).optional(),
  /** ISO 3166-1 alpha-2. */
  country: z.string().length(2).optional(),
  city: z.string().max(100).optional(),
  /** TCP ports of this machine that devices may reach on any of its addresses: the control plane's, where it runs here. */
  localTcpPorts: z.array(z.number().int().min(1).max(65535)).max(16).default([]),
  /** Name servers for the names of destinations; by default those of /etc/resolv.conf. */
  nameServers: z.array(z.string()).max(8).optional(),
  /** Where Prometheus finds the gateway's metrics: a loopback address. Absent: nowhere. */
  metrics: z.strictObject({ host: z.enum(['127.0.0.1', '::1']), port: z.number().int().min(0).max(65535) }).optional(),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal']).default('info'),
  /** The program's version, for the control plane. */
  software: z.string().max(64),
});

export type GatewayConfiguration = z.infer<typeof gatewayConfiguration>;
/** What the supervisor writes: defaults may be left out. */
export type GatewayConfigurationInput = z.input<typeof gatewayConfiguration>;

/** What the gateway's process tells the supervisor over IPC. */
export type GatewayMessage =
  /** TUN device and sockets are open, privileges are gone, the last state (if any) is served. */
  | {
      readonly kind: 'ready';
      readonly listenPort: number;
      readonly wireguardPublicKey: string;
      /** The version of the state that is served; 0 for none yet. */
      readonly stateVersion: number;
      readonly metricsPort?: number | undefined;
    }
  /** It joined, or found its control plane again; and lost it. */
  | { readonly kind: 'link'; readonly up: boolean }
  /** How devices' questions for names are to be answered: at these addresses of its, for these prefixes; without a plan, not at all. */
  | {
      readonly kind: 'names';
      readonly addresses: readonly string[];
      readonly clients: readonly string[];
      readonly plan?: NamesPlan | undefined;
    }
  /** It ends, for this reason; the exit code says the same in short (see {@link GATEWAY_EXIT}). */
  | { readonly kind: 'failed'; readonly message: string };

export const GATEWAY_EXIT = {
  /** Ended as asked. */
  done: 0,
  /** An unexpected error: start it again. */
  failed: 1,
  /** The control plane removed it or refuses it for good: starting it again changes nothing. */
  refused: 77,
  /** What it was given can't be used. */
  configuration: 78,
} as const;
