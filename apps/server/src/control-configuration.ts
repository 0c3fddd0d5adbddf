import { z } from 'zod';
import { plainText } from './plain-text.ts';

const listen = z.array(z.strictObject({ host: z.string(), port: z.number().int().min(0).max(65_535) })).min(1);

/** What the control plane's process reads from its standard input; the supervisor writes it. */
export const controlConfiguration = z.strictObject({
  /** Its own folder: database, keys, certificates. */
  folder: z.string().startsWith('/'),
  listen,
  publicUrl: z.url(),
  tls: z.discriminatedUnion('kind', [
    z.strictObject({ kind: z.literal('off') }),
    z.strictObject({ kind: z.literal('selfSigned'), hosts: z.array(z.string()).min(1) }),
    /** PEM: the files are root's. */
    z.strictObject({ kind: z.literal('files'), chain: z.string(), key: z.string() }),
    z.strictObject({
      kind: z.literal('acme'),
      domains: z.array(z.string()).min(1),
      email: z.string(),
      directory: z.url(),
      directoryCa: z.string().optional(),
      listen,
    }),
  ]),
  /** Take OpenVPN over TCP by the same addresses, for the carrier. */
  openvpnOnWeb: z.boolean().default(false),
  trustedProxies: z.array(z.string()),
  databaseUrl: z.string(),
  pool4: z.string(),
  pool6: z.string().optional(),
  /** Whom to become once the addresses are taken. Absent: stays who it is, for tests. */
  user: z.strictObject({ uid: z.number().int().min(1), gid: z.number().int().min(1) }).optional(),
  /** Make a token by which the gateway of this machine joins. */
  joinToken: z.boolean(),
  /** The folder of the console's built files; what isn't there isn't served. */
  console: z.string().startsWith('/'),
  logLevel: z.enum(['error', 'warn', 'info', 'debug']),
  software: z.string(),
});

export type ControlConfiguration = z.infer<typeof controlConfiguration>;

/** What the control plane's process tells the supervisor. */
export const controlMessage = z.discriminatedUnion('kind', [
  /** It listens and has no privileges any more; the database is opened now. */
  z.strictObject({
    kind: z.literal('listening'),
    addresses: z.array(z.strictObject({ host: plainText(64), port: z.number().int() })).max(16),
    /** SHA-256 of the certificate, where it is self-signed. */
    fingerprint: plainText(200).optional(),
  }),
  /** It can't serve yet, for this reason, and tries again. */
  z.strictObject({ kind: z.literal('waiting'), reason: plainText(2000) }),
  z.strictObject({
    kind: z.literal('ready'),
    publicUrl: plainText(300),
    /** While there is no administrator: where the first one is created. */
    setupUrl: plainText(500).optional(),
    joinToken: z.string().max(200).optional(),
  }),
  /** It ends, and would again. */
  z.strictObject({ kind: z.literal('failed'), message: plainText(2000) }),
]);

export type ControlMessage = z.infer<typeof controlMessage>;

/** What the supervisor tells it after the start: the certificate's files have changed. */
export const certificateMessage = z.strictObject({
  kind: z.literal('certificate'),
  chain: z.string().max(1_000_000),
  key: z.string().max(100_000),
});

/** Ends with this where starting it again would change nothing. */
export const EXIT_CONFIGURATION = 78;
