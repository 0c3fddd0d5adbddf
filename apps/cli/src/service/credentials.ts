import { chmodSync, mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { CommandFailure, EXIT_NO_INPUT } from '../command.ts';

const credentials = z.strictObject({
  url: z.url(),
  token: z.string(),
  /** SHA-256 of the server's certificate, hexadecimal, where it is not signed by an authority of the system's. */
  fingerprint: z.string().optional(),
  /** Proves at the next login that this client has logged in before. */
  knownClient: z.string().optional(),
});

/** Where this user is logged in. */
export type Credentials = z.infer<typeof credentials>;

function path(): string {
  const folder = process.env['XDG_CONFIG_HOME'] ?? join(homedir(), '.config');
  return process.env['SALLYPORT_CREDENTIALS'] ?? join(folder, 'sallyport', 'credentials.json');
}

/** Undefined where nobody is logged in. @throws CommandFailure when the file is damaged or open to others. */
export function readCredentials(): Credentials | undefined {
  let text: string;
  try {
    if ((statSync(path()).mode & 0o077) !== 0)
      throw new CommandFailure(EXIT_NO_INPUT, `${path()} can be read by others; run: chmod 600 ${path()}`);
    text = readFileSync(path(), 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    parsed = undefined;
  }
  const result = credentials.safeParse(parsed);
  if (!result.success)
    throw new CommandFailure(EXIT_NO_INPUT, `${path()} is damaged; remove it and run: sallyport login URL --user NAME`);
  return result.data;
}

export function writeCredentials(value: Credentials): void {
  const file = path();
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(`${file}.new`, `${JSON.stringify(value, undefined, 2)}\n`, { mode: 0o600 });
  chmodSync(`${file}.new`, 0o600);
  renameSync(`${file}.new`, file);
}

export function removeCredentials(): void {
  rmSync(path(), { force: true });
}
