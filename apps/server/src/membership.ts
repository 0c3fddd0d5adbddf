/** On a machine that is only a gateway: which control plane it belongs to, as `sallyport gateway join` wrote it. */
import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';

const membership = z.strictObject({
  url: z.url({ protocol: /^https?$/ }),
  joinToken: z.string().max(200).optional(),
  /** What the gateway says of itself where the configuration leaves it open; keys of its [gateway]. */
  self: z
    .strictObject({
      name: z.string(),
      region: z.string(),
      country: z.string(),
      city: z.string(),
      public_address: z.string(),
    })
    .partial()
    .optional(),
});
/** Where the control plane is, and the token that lets the gateway in the first time. */
export type Membership = z.infer<typeof membership>;

/** Undefined where it has joined none. Throws an Error where the file can't be read. */
export function readMembership(path: string): Membership | undefined {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const result = membership.safeParse(JSON.parse(text));
  if (result.success) return result.data;
  throw new Error(`${path} is damaged; run "sallyport gateway join URL TOKEN" again`);
}

/** For root alone: the token is good until it was used. */
export function writeMembership(path: string, value: Membership): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  const temporary = `${path}.new`;
  const file = openSync(temporary, 'w', 0o600);
  try {
    writeSync(file, `${JSON.stringify(membership.parse(value))}\n`);
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  renameSync(temporary, path);
}
