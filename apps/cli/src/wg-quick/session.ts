import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { DnsMethod } from './dns.ts';

/** What `wg up` did that is not gone with the interface, so that `wg down` undoes just that. */
export interface UpRecord {
  /** The configuration file, as an absolute path. */
  readonly configFile: string;
  /** The routing table, and mark, of the default routes; absent where there are none. */
  defaultTable?: number;
  defaultFamilies?: (4 | 6)[];
  /** The value that net.ipv4.conf.all.src_valid_mark had. */
  srcValidMark?: string;
  dns?: DnsMethod;
}

/** Where records are kept, for root alone, until the machine restarts. */
export const STATE_FOLDER = '/run/sallyport';

function recordPath(name: string): string {
  return join(STATE_FOLDER, `${name}.json`);
}

export function writeRecord(name: string, record: UpRecord): void {
  mkdirSync(STATE_FOLDER, { recursive: true, mode: 0o700 });
  writeWhole(recordPath(name), `${JSON.stringify(record, null, 2)}\n`);
}

/** The record of a tunnel, or undefined where `wg up` left none, or none that can be read. */
export function readRecord(name: string): UpRecord | undefined {
  try {
    const record = JSON.parse(readFileSync(recordPath(name), 'utf8')) as Partial<UpRecord>;
    return typeof record.configFile === 'string' ? { ...record, configFile: record.configFile } : undefined;
  } catch {
    return undefined;
  }
}

/** Removes a record; false where another process has done so: the tunnel is that one's to take down. */
export function claimRecord(name: string): boolean {
  try {
    rmSync(recordPath(name));
    return true;
  } catch {
    return false;
  }
}

/** Writes a file that others see either as it was or whole, readable by its owner alone. */
export function writeWhole(path: string, text: string): void {
  const temporary = `${path}.${String(process.pid)}.tmp`;
  try {
    rmSync(temporary, { force: true });
    writeFileSync(temporary, text, { mode: 0o600, flag: 'wx', flush: true });
    renameSync(temporary, path);
  } catch (error) {
    rmSync(temporary, { force: true });
    throw error;
  }
}
