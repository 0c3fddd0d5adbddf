import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { Secret } from '@sallyport/core';
import { z } from 'zod';
import { storeFile } from '../store-file.ts';

const stored = z.strictObject({
  path: z.string().regex(/^\/[A-Za-z0-9_-]{16,100}$/),
  /** PEM. */
  chain: z.string(),
  key: z.string(),
});

/** What a carrier is known by: kept for as long as its gateway lives, for clients pin the certificate. */
export interface CarrierIdentity {
  /** Where the tunnel is; to everybody who does not know it, there is an empty web server. */
  readonly path: string;
  readonly chain: string;
  readonly key: Secret<string>;
  /** SHA-256, hexadecimal. */
  readonly certificateSha256: string;
}

/** Made, and not kept yet. */
export type NewIdentity = string;

/**
 * An identity for a folder that has none; undefined where it has. The program that makes certificates is large, so a
 * process of its own runs it, once. As root: afterwards this program's files may be out of reach.
 */
export async function newIdentityFor(folder: string, hosts: readonly string[]): Promise<NewIdentity | undefined> {
  if (existsSync(fileIn(folder))) return undefined;
  const program = fileURLToPath(new URL('./make-identity.ts', import.meta.url));
  const { stdout } = await promisify(execFile)(process.execPath, [program, ...hosts]);
  return stdout;
}

/** The identity of a folder, where there is none `made`. As the folder's owner. Throws where it can't be used. */
export function openIdentity(folder: string, made: NewIdentity | undefined): CarrierIdentity {
  const file = fileIn(folder);
  if (made !== undefined) storeFile(file, made);
  let parsed: z.infer<typeof stored>;
  let certificate: X509Certificate;
  try {
    parsed = stored.parse(JSON.parse(readFileSync(file, 'utf8')));
    certificate = new X509Certificate(parsed.chain);
  } catch {
    // The parser's words would quote the key.
    throw new Error(`${file} can't be used: restore it, or remove it for a new identity`);
  }
  const { path, chain, key } = parsed;
  const certificateSha256 = certificate.fingerprint256.replaceAll(':', '').toLowerCase();
  return { path, chain, key: new Secret(key), certificateSha256 };
}

function fileIn(folder: string): string {
  return join(folder, 'identity.json');
}
