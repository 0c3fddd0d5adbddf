/**
 * What commands and daemon say to each other over the daemon's socket: one JSON object a line. A request is
 * `{id, method, params}`; it is answered by any number of `{id, event}` and then by `{id, result}` or `{id, error}`.
 * Closing the connection ends what it asked for (`watch`, `login`), not the tunnel.
 */
import { z } from 'zod';
import { clientSettings, TRANSPORTS } from './settings.ts';

export const CLIENT_RUN_FOLDER = '/run/sallyport-client';
export const CLIENT_SOCKET = `${CLIENT_RUN_FOLDER}/socket`;
export const CLIENT_STATE_FOLDER = '/var/lib/sallyport-client';
/** The system group whose members may use the socket. */
export const CLIENT_GROUP = 'sallyport';
export const MAX_LINE_BYTES = 256 * 1024;

/**
 * `disconnected`: there is no tunnel, and nobody asked for one. `connecting`: the first time after it was asked for.
 * `connected`. `reconnecting`: the tunnel was there and is looked for again. `blocked`: it can't be had, `message` says
 * why; tried again unless `retryAt` is null. `disconnecting`. Traffic outside the tunnel is blocked in all but
 * `disconnected` (there with lockdown alone).
 */
export const clientState = z.enum([
  'disconnected',
  'connecting',
  'connected',
  'reconnecting',
  'blocked',
  'disconnecting',
]);
export type ClientState = z.infer<typeof clientState>;

/** The steps of a connection, in their order. */
export const CONNECT_STEPS = ['configuration', 'gateway', 'protection', 'tunnel', 'names', 'ready'] as const;

export const connectStep = z.strictObject({
  name: z.enum(CONNECT_STEPS),
  state: z.enum(['running', 'done', 'failed']),
  /** For people: "frankfurt-1, WireGuard". */
  detail: z.string(),
  milliseconds: z.number().nullable(),
});

const hop = z.strictObject({
  gatewayId: z.string(),
  name: z.string(),
  regionName: z.string(),
  country: z.string().nullable(),
  city: z.string().nullable(),
  /** Address and port. */
  endpoint: z.string(),
  transport: z.enum(TRANSPORTS),
  /** Whether the session's keys hold against a quantum computer. */
  postQuantum: z.boolean(),
  lastHandshakeAt: z.string().nullable(),
  roundTripMs: z.number().nullable(),
});

export const clientStatus = z.strictObject({
  state: clientState,
  /** RFC 3339. */
  since: z.string(),
  /** Why, and what to do; empty where there is nothing to say. */
  message: z.string(),
  retryAt: z.string().nullable(),
  account: z
    .strictObject({
      url: z.string(),
      user: z.string(),
      deviceId: z.string(),
      deviceName: z.string(),
      ipv4: z.string(),
      ipv6: z.string(),
    })
    .nullable(),
  /** What was asked for. */
  target: z.string().nullable(),
  steps: z.array(connectStep),
  /** One, or with `via` two: the entry first. */
  hops: z.array(hop),
  mtu: z.number().int().nullable(),
  receivedBytes: z.number(),
  sentBytes: z.number(),
  killSwitch: z.enum(['off', 'on', 'lockdown']),
  dns: z.strictObject({ by: z.enum(['resolved', 'resolvconf', 'file', 'none']), servers: z.array(z.string()) }),
  /** What an administrator demands of this user's groups. */
  requirements: z.strictObject({
    killSwitch: z.boolean(),
    regions: z.array(z.string()),
    gateways: z.array(z.string()),
  }),
  advertised: z.array(z.strictObject({ prefix: z.string(), approved: z.boolean() })),
  version: z.string(),
});
export type ClientStatus = z.infer<typeof clientStatus>;

export const regionChoice = z.strictObject({
  gatewayId: z.string(),
  gateway: z.string(),
  regionId: z.string(),
  region: z.string(),
  country: z.string().nullable(),
  city: z.string().nullable(),
  load: z.enum(['low', 'medium', 'high', 'unknown']),
  draining: z.boolean(),
  /** Measured now; null: no answer. */
  latencyMs: z.number().nullable(),
  recommended: z.boolean(),
});

export const doctorCheck = z.strictObject({
  /** `daemon`, `account`, `clock`, `network`, `portal`, `names`, `control`, `certificate`, `kernel`, `conflicts`, `udp`, … */
  check: z.string(),
  state: z.enum(['ok', 'warning', 'fault', 'skipped']),
  detail: z.string(),
  /** What to do; empty where all is well. */
  remedy: z.string(),
});

/** Each method's parameters, what it tells meanwhile, and its result. */
export const methods = {
  status: { params: z.strictObject({}), result: clientStatus },
  /** Every change, and the counters once a second, until the connection is closed. */
  watch: { params: z.strictObject({}), event: clientStatus, result: z.strictObject({}) },
  login: {
    params: z.strictObject({
      url: z.string(),
      /** SHA-256 of the server's certificate where no authority vouches for it. */
      fingerprint: z.string().nullable(),
      /** Of a machine: an API token. Null: a person confirms the code in a browser. */
      token: z.string().nullable(),
      deviceName: z.string().nullable(),
    }),
    event: z.strictObject({ verificationUri: z.string(), verificationUriComplete: z.string(), userCode: z.string(), expiresAt: z.string() }), // prettier-ignore
    result: clientStatus,
  },
  logout: { params: z.strictObject({}), result: clientStatus },
  /**
   * Tells each change until it is connected. Fails with the code `blocked` where it can't be, and with `notPermitted` where
   * the service does not let this device in; it goes on trying then.
   */
  connect: {
    params: z.strictObject({
      /** Null: as the settings say. */
      target: z.string().nullable(),
      /** Null: as the settings say; `none`: no entry, whatever they say. */
      via: z.string().nullable(),
      advertise: z.array(z.string()).nullable(),
    }),
    event: clientStatus,
    result: clientStatus,
  },
  disconnect: { params: z.strictObject({}), result: clientStatus },
  regions: { params: z.strictObject({}), result: z.strictObject({ items: z.array(regionChoice) }) },
  settings: { params: z.strictObject({}), result: clientSettings },
  /** Whole settings, checked before anything changes. */
  set: { params: clientSettings, result: clientSettings },
  doctor: { params: z.strictObject({}), event: doctorCheck, result: z.strictObject({ items: z.array(doctorCheck) }) },
  /** Lets the process (of the caller's) and what it starts go beside the tunnel from now on. */
  outside: { params: z.strictObject({ pid: z.number().int().min(1) }), result: z.strictObject({}) },
  /** Runs the leak checks that need root, while the caller runs the others: what left by other interfaces than the tunnel. */
  leakWatch: {
    params: z.strictObject({ seconds: z.number().min(1).max(120) }),
    /** Once it watches. */
    event: z.strictObject({ watching: z.literal(true) }),
    result: z.strictObject({
      interfaces: z.array(z.string()),
      packets: z.number().int(),
      /** Packets that were not the tunnel's own, by what they were: `udp 53 to 192.0.2.1`. At most 100 kinds. */
      leaked: z.array(z.strictObject({ what: z.string(), packets: z.number().int() })),
    }),
  },
} as const;
export type MethodName = keyof typeof methods;

export const daemonRequest = z.strictObject({
  id: z.number().int().min(0),
  method: z.enum(Object.keys(methods) as [MethodName, ...MethodName[]]),
  params: z.unknown(),
});

export const daemonError = z.strictObject({
  code: z.enum([
    'notLoggedIn',
    'badRequest',
    'refused',
    'unreachable',
    'blocked',
    'notPermitted',
    'conflict',
    'failed',
  ]),
  message: z.string(),
});
export type DaemonError = z.infer<typeof daemonError>;
