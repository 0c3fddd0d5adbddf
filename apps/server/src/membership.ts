/** On a machine that is only a gateway: which control plane it belongs to, as `sallyport gateway join` wrote it. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { z } from 'zod';
import { readIfThere, storeFile } from './store-file.ts';

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
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  const result = membership.safeParse(JSON.parse(text));
  if (result.success) return result.data;
  throw new Error(`${path} is damaged; run "sallyport gateway join URL TOKEN" again`);
}

/** For root alone: the token is good until it was used. */
export function writeMembership(path: string, value: Membership): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o711 });
  storeFile(path, `${JSON.stringify(membership.parse(value))}\n`);
}
