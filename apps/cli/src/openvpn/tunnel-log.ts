/*
 * What a tunnel in the background says once nobody listens: in a file beside its record, for root alone, until the tunnel is
 * taken down or the machine restarts.
 */
import { appendFileSync, existsSync, mkdirSync, renameSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { STATE_FOLDER } from '../wg-quick/session.ts';

/** Then a new file is begun, and the one before is kept. */
const MAX_BYTES = 256 * 1024;

function pathOf(name: string): string {
  return join(STATE_FOLDER, `openvpn-${name}.log`);
}

function pathBefore(name: string): string {
  return `${pathOf(name)}.before`;
}

/** Never throws: a tunnel is not to end because a disk is full. */
export function writeTunnelLog(name: string, line: string): void {
  const path = pathOf(name);
  try {
    mkdirSync(STATE_FOLDER, { recursive: true, mode: 0o700 });
    if (existsSync(path) && statSync(path).size >= MAX_BYTES) renameSync(path, pathBefore(name));
    appendFileSync(path, `${new Date().toISOString()} ${line}\n`, { mode: 0o600 });
  } catch {
    // There is nobody to tell.
  }
}

/** Where the log of a tunnel is; undefined where it has none. */
export function tunnelLogOf(name: string): string | undefined {
  return existsSync(pathOf(name)) ? pathOf(name) : undefined;
}

export function removeTunnelLog(name: string): void {
  for (const path of [pathOf(name), pathBefore(name)]) rmSync(path, { force: true });
}
