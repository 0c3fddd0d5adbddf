/**
 * What control plane and gateway say to each other. Each message is one JSON object in one frame (a 4-byte big-endian
 * length, then UTF-8). The version of the protocol is agreed in `hello`; a field that is added later is optional.
 */
import { z } from 'zod';

/**
 * 2: states may have networks behind devices, other gateways' entrances and names. 3: OpenVPN, its devices and their
 * logins. A gateway is sent what its version knows: its schema refuses the rest, so that nothing which narrows what is
 * allowed is passed over in silence.
 */
export const LINK_PROTOCOL_VERSION = 3;

/** The longest frame from the control plane: a snapshot of 100,000 devices fits. */
export const MAX_FRAME_BYTES = 64 * 1024 * 1024;
/** The longest frame from a gateway, whom the control plane may not know yet. */
export const MAX_GATEWAY_FRAME_BYTES = 1024 * 1024;
/** Devices in one report; more go into several. */
export const MAX_REPORT_DEVICES = 2000;

/** Where the link is opened, below the API's address, and what the request's `Upgrade` header says. */
export const LINK_PATH = '/api/v1/gateway-link';
export const LINK_UPGRADE = 'sallyport-gateway/1';

const id = z.string().min(1).max(64);
const count = z.number().min(0);

const udpPort = z.number().int().min(1).max(65535);
const typeWord = z.number().int().min(0).max(4_294_967_295);

/** Where a gateway speaks AmneziaWG 1.0, and the parameters that its clients need for it. */
export const amneziawgOffer = z.strictObject({
  port: udpPort,
  jc: z.number().int().min(0).max(128),
  jmin: z.number().int().min(0).max(1280),
  jmax: z.number().int().min(0).max(1280),
  s1: z.number().int().min(0).max(1132),
  s2: z.number().int().min(0).max(1188),
  h1: typeWord,
  h2: typeWord,
  h3: typeWord,
  h4: typeWord,
});

/** Where a gateway's tunnel is reached over TLS. */
export const tlsOffer = z.strictObject({
  /** Empty: the endpoint's. */
  host: z.string().max(253),
  port: z.number().int().min(1).max(65535),
  path: z.string().regex(/^\/[A-Za-z0-9/_-]{0,100}$/),
  /** SHA-256 of the certificate, hexadecimal; null: an authority vouches for it. */
  certificateSha256: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .nullable(),
});

/** Where a gateway speaks OpenVPN, and the key of its TLS. */
export const openVpnOffer = z.strictObject({
  /** Ports for UDP and TCP; 0: not spoken over that. */
  port: z.number().int().min(0).max(65535),
  tcpPort: z.number().int().min(0).max(65535),
  /** SPKI, DER in base64: what the control plane issues the gateway's certificate for. */
  publicKey: z.base64().min(44).max(1000),
});

/** Gateway: the first message. `token` joins, once; without it the key of its TLS certificate must be known. */
export const hello = z.strictObject({
  kind: z.literal('hello'),
  protocolVersion: z.number().int().min(1),
  software: z.string().max(64),
  token: z.string().max(200).optional(),
  name: z.string().max(63).optional(),
  /** What it offers to devices. */
  tunnel: z.strictObject({
    wireguardPublicKey: z.string().length(44),
    /** The host name or address that devices connect to, and the port. Empty: the control plane takes what it has. */
    endpointHost: z.string().max(253),
    endpointPort: udpPort,
    /** Absent: not spoken. */
    amneziawg: amneziawgOffer.optional(),
    /** Absent: not reached so. */
    tls: tlsOffer.optional(),
    /** Absent: not spoken. */
    openvpn: openVpnOffer.optional(),
  }),
  /** Where it is, as its operator says. */
  region: z.string().max(63).optional(),
  country: z.string().length(2).optional(),
  city: z.string().max(100).optional(),
  /** The version of the desired state that it has; 0 for none. It is answered by deltas from there, or a snapshot. */
  stateVersion: z.number().int().min(0),
  /** Addresses of its own that egress may be given. */
  addresses: z.array(z.string().max(45)).max(256),
});

export const acknowledge = z.strictObject({ kind: z.literal('acknowledge'), version: z.number().int().min(0) });

/** Observed state, batched. Counters are deltas since the last report that the connection carried. */
export const report = z.strictObject({
  kind: z.literal('report'),
  /**
   * Grows with every report of this gateway, over its restarts too (it starts with the clock's milliseconds). A report
   * that was not answered by `stored` is sent again as it was, with its number, and counts once.
   */
  number: z.number().int().min(1).optional(),
  devices: z
    .array(
      z.strictObject({
        id,
        /** Unix milliseconds, 0 for never. */
        lastHandshakeAt: count,
        sentBytes: count,
        receivedBytes: count,
      }),
    )
    .max(MAX_REPORT_DEVICES),
  health: z.enum(['healthy', 'degraded']),
  /** What is wrong, in words for an operator. */
  problems: z.array(z.string().max(300)).max(20),
  load: z.strictObject({
    /** Share of all cores in use, 0 to 1. */
    cpu: z.number().min(0).max(1),
    memoryBytes: count,
    receivedBitsPerSecond: count,
    sentBitsPerSecond: count,
    /** Devices with a handshake in the last three minutes. */
    activeDevices: z.number().int().min(0),
  }),
});

/** The longest user name, password and code that are looked at, in characters. */
export const MAX_LOGIN_TEXT = 512;
const loginText = z.string().max(MAX_LOGIN_TEXT);

/**
 * Somebody wants in with a device: may they? It is asked where a login is due, and for devices that the state doesn't hold,
 * whose users are told why, or come in by logging in.
 */
export const authenticate = z.strictObject({
  kind: z.literal('authenticate'),
  /** The gateway's own name for it, on this connection; the verdict brings it back. */
  number: z.number().int().min(1),
  deviceId: id,
  /** Where the device connects from: for limits against guessing, and for the page of a login in a browser. */
  address: z.string().max(45),
  /** What its program calls itself. */
  client: z.string().max(100),
  /** SHA-256 of the DER of the certificate that it showed, hexadecimal. */
  certificate: z
    .string()
    .regex(/^[0-9a-f]{64}$/)
    .optional(),
  proof: z.discriminatedUnion('kind', [
    /** With `challengeState` it is the answer to a challenge: `code` counts, and no password is looked at. */
    z.strictObject({
      kind: z.literal('password'),
      userName: loginText,
      password: loginText,
      code: loginText.optional(),
      challengeState: z.string().max(1000).optional(),
    }),
    /** The user is to log in by a browser. */
    z.strictObject({ kind: z.literal('web') }),
    /** None was shown: why isn't it let in? */
    z.strictObject({ kind: z.literal('none') }),
  ]),
});

/** Nobody waits any more for the verdict of this number. */
export const cancelAuthentication = z.strictObject({
  kind: z.literal('cancelAuthentication'),
  number: z.number().int().min(1),
});

export const pong = z.strictObject({ kind: z.literal('pong'), sent: z.number() });
/** Asks for a snapshot: the state at hand can't be used. */
export const resync = z.strictObject({ kind: z.literal('resync'), reason: z.string().max(200) });

/** Control plane: who the gateway is, and the public key (Ed25519, SPKI, base64) that its state will be signed with. */
export const welcome = z.strictObject({
  kind: z.literal('welcome'),
  protocolVersion: z.number().int().min(1),
  gatewayId: id,
  stateKey: z.string().max(100),
});

/** A snapshot or a delta: `payload` is the JSON text of a {@link SignedState}, `signature` is over its bytes. */
export const state = z.strictObject({ kind: z.literal('state'), payload: z.string(), signature: z.string().max(100) });

/** The report with this number, and those before it, are in the database. */
export const stored = z.strictObject({ kind: z.literal('stored'), number: z.number().int().min(1) });

/** To `authenticate`. `web` is followed by one of the others with the same number, within `timeoutSeconds`. */
export const authenticated = z.strictObject({
  kind: z.literal('authenticated'),
  number: z.number().int().min(1),
  verdict: z.discriminatedUnion('kind', [
    /**
     * The device is in the state that came before this. Where its user logged in, with what it shows from now on in place
     * of that: a login token, which counts where it is of the epoch that the state has.
     */
    z.strictObject({ kind: z.literal('admit'), token: z.string().max(200).optional() }),
    z.strictObject({
      kind: z.literal('refuse'),
      /** For the user: what is wrong, and what to do. */
      reason: z.string().max(500),
      /** What is asked for in a new connection. */
      challenge: z
        .strictObject({ state: z.string().max(1000), text: z.string().max(200), echo: z.boolean() })
        .optional(),
      retryAfterSeconds: z.number().int().min(1).max(86_400).optional(),
    }),
    z.strictObject({
      kind: z.literal('web'),
      url: z.url().max(500),
      timeoutSeconds: z.number().int().min(1).max(3600),
    }),
  ]),
});

export const ping = z.strictObject({ kind: z.literal('ping'), sent: z.number() });
/** The control plane ends the connection: `gone` means that the gateway was removed, `retry` that it should try again. */
export const goodbye = z.strictObject({
  kind: z.literal('goodbye'),
  reason: z.enum(['unknownGateway', 'tokenRefused', 'versionRefused', 'removed', 'retry', 'replaced']),
  message: z.string().max(300),
});

export const fromGateway = z.discriminatedUnion('kind', [
  hello,
  acknowledge,
  report,
  pong,
  resync,
  authenticate,
  cancelAuthentication,
]);
export const fromControl = z.discriminatedUnion('kind', [welcome, state, stored, authenticated, ping, goodbye]);
export type FromGateway = z.infer<typeof fromGateway>;
export type FromControl = z.infer<typeof fromControl>;
export type Hello = z.infer<typeof hello>;
export type Report = z.infer<typeof report>;
export type Authenticate = z.infer<typeof authenticate>;
export type AuthenticationVerdict = z.infer<typeof authenticated>['verdict'];
