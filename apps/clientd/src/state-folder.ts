/** What the daemon remembers across restarts, and where. */
import { chmodSync, chownSync, lstatSync, mkdirSync } from 'node:fs';
import { clientConfiguration } from '@sallyport/api';
import { clientSettings, TRANSPORTS } from '@sallyport/client';
import { z } from 'zod';
import { JsonFile } from './files/json-file.ts';

export const accountRecord = z.strictObject({
  url: z.string(),
  /** SHA-256 of the certificate where no authority vouches for it. */
  fingerprint: z.string().nullable(),
  token: z.string(),
  /** A session ends with the logout; an API token is its owner's. */
  tokenKind: z.enum(['session', 'api']),
  userName: z.string(),
  deviceId: z.string(),
  deviceName: z.string(),
  ipv4: z.string(),
  ipv6: z.string(),
  /** The device's key pair, base64. */
  privateKey: z.string(),
  publicKey: z.string(),
  /** Where the control plane answered, the last first; without names they are asked nowhere. */
  controlAddresses: z.array(z.string()),
});
export type AccountRecord = z.infer<typeof accountRecord>;

/** Null: nobody wants a tunnel. */
const intentRecord = z.strictObject({ target: z.string(), via: z.string().nullable() }).nullable();

/** Which ways worked in which network. */
const goodPaths = z.array(
  z.strictObject({
    networkId: z.string(),
    gatewayId: z.string(),
    transport: z.enum(TRANSPORTS),
    mtu: z.number().optional(),
  }),
);

export interface StateFolder {
  readonly path: string;
  readonly account: JsonFile<typeof accountRecord>;
  readonly settings: JsonFile<typeof clientSettings>;
  /** The last that the control plane gave. */
  readonly configuration: JsonFile<typeof clientConfiguration>;
  readonly intent: JsonFile<typeof intentRecord>;
  readonly good: JsonFile<typeof goodPaths>;
}

/** Opens the folder at `path`, making it where it isn't there, for root alone. */
export function openStateFolder(path: string): StateFolder {
  ensureFolder(path, 0o700, 0);
  return {
    path,
    account: new JsonFile(`${path}/account.json`, accountRecord),
    settings: new JsonFile(`${path}/settings.json`, clientSettings),
    configuration: new JsonFile(`${path}/configuration.json`, clientConfiguration),
    intent: new JsonFile(`${path}/intent.json`, intentRecord),
    good: new JsonFile(`${path}/good-paths.json`, goodPaths),
  };
}

/** Makes a folder of root's, or takes one that nobody else can write. Throws otherwise. */
export function ensureFolder(path: string, mode: number, groupId: number): void {
  mkdirSync(path, { recursive: true, mode });
  const stat = lstatSync(path);
  const own = process.getuid?.();
  if (!stat.isDirectory() || (own !== undefined && stat.uid !== own) || (stat.mode & 0o022) !== 0)
    throw new Error(`${path} has to be a folder that root owns and nobody else can write`);
  if (stat.gid !== groupId && own === 0) chownSync(path, 0, groupId);
  // The umask has taken its part of what mkdir was told.
  if ((stat.mode & 0o777) !== mode) chmodSync(path, mode);
}
