import { mkdirSync, readdirSync, readFileSync, realpathSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { findProgram } from '@sallyport/io';
import type { CommandRunner } from '@sallyport/io';
import { STATE_FOLDER, writeWhole } from './session.ts';

/** How the name servers of a tunnel were made known: the same way takes them back. */
export type DnsMethod = 'resolvconf' | 'resolved' | 'file';

export interface DnsSettings {
  readonly servers: readonly string[];
  readonly search: readonly string[];
}

const RESOLV_CONF = '/etc/resolv.conf';
const INTERFACE_ORDER = '/etc/resolvconf/interface-order';

/** The way that this machine keeps its name servers. */
export function dnsMethod(): DnsMethod {
  if (findProgram('resolvconf') !== undefined) return 'resolvconf';
  return findProgram('resolvectl') !== undefined && isResolvedInUse() ? 'resolved' : 'file';
}

/** Makes the tunnel's name servers the machine's. `takeDown` is the command that takes them back, for people. */
export async function setDns(
  runner: CommandRunner,
  method: DnsMethod,
  name: string,
  dns: DnsSettings,
  takeDown = `sallyport wg down ${name}`,
): Promise<void> {
  if (method === 'resolvconf') {
    await runner.change('resolvconf', ['-a', `${interfacePrefix()}${name}`, '-m', '0', '-x'], { input: lines(dns) });
  } else if (method === 'resolved') {
    if (dns.servers.length > 0) await runner.change('resolvectl', ['dns', name, ...dns.servers]);
    // "~." sends every name to these servers, not the tunnel's domains only.
    const all = dns.servers.length > 0 ? ['~.'] : [];
    await runner.change('resolvectl', ['domain', name, ...all, ...dns.search]);
  } else {
    runner.tell(`cat > ${RESOLV_CONF}`);
    replaceFile(name, dns, takeDown);
  }
}

/** Takes back what {@link setDns} did; a remark comes back where something else has changed the file meanwhile. */
export async function unsetDns(runner: CommandRunner, method: DnsMethod, name: string): Promise<string | undefined> {
  if (method === 'resolvconf') await runner.change('resolvconf', ['-d', `${interfacePrefix()}${name}`, '-f']);
  else if (method === 'resolved') await runner.change('resolvectl', ['revert', name]);
  else {
    runner.tell(`restore ${RESOLV_CONF}`);
    return restoreFile(name);
  }
  return undefined;
}

function lines(dns: DnsSettings): string {
  const servers = dns.servers.map((server) => `nameserver ${server}\n`).join('');
  return dns.search.length === 0 ? servers : `${servers}search ${dns.search.join(' ')}\n`;
}

/** Debian's resolvconf sorts by prefixes of interface names: `tun.` comes first. Other kinds want the bare name. */
function interfacePrefix(): string {
  const order = readIfThere(INTERFACE_ORDER) ?? '';
  const first = order.split('\n').flatMap((line) => /^([A-Za-z0-9-]+)\*$/.exec(line.trim())?.[1] ?? [])[0];
  return first === undefined ? '' : `${first}.`;
}

function isResolvedInUse(): boolean {
  try {
    if (realpathSync(RESOLV_CONF).startsWith('/run/systemd/resolve/')) return true;
  } catch {
    return false;
  }
  return /^\s*nameserver\s+127\.0\.0\.5[34]\b/m.test(readIfThere(RESOLV_CONF) ?? '');
}

/** A resolv.conf that was replaced: what it was (null: there was none), and what was written. */
interface Replaced {
  readonly original: string | null;
  readonly written: string;
}

const FILE_RECORDS = join(STATE_FOLDER, 'resolv.conf.d');

function recordOf(name: string): string {
  return join(FILE_RECORDS, `${name}.json`);
}

/** The file is written in place: it may be a mount point, or a link, and keeps its owner and mode. */
function replaceFile(name: string, dns: DnsSettings, takeDown: string): void {
  const original = readIfThere(RESOLV_CONF) ?? null;
  // Settings without servers, or without domains, leave the file's own.
  const keep = dns.servers.length > 0 ? /^(?!\s*(?:nameserver|search|domain)\b)/ : /^(?!\s*(?:search|domain)\b)/;
  const kept = (original ?? '').split('\n').filter((line) => line !== '' && !line.startsWith('#') && keep.test(line));
  const rest = kept.map((line) => `${line}\n`).join('');
  const written = `# Written by sallyport for ${name}; "${takeDown}" restores what was here.\n${lines(dns)}${rest}`;
  mkdirSync(FILE_RECORDS, { recursive: true, mode: 0o700 });
  writeWhole(recordOf(name), JSON.stringify({ original, written } satisfies Replaced));
  writeFileSync(RESOLV_CONF, written);
}

function restoreFile(name: string): string | undefined {
  const record = readReplaced(recordOf(name));
  if (record === undefined) return `no record of what ${RESOLV_CONF} held before ${name}; look at the file`;
  rmSync(recordOf(name));
  if (readIfThere(RESOLV_CONF) === record.written) {
    if (record.original === null) rmSync(RESOLV_CONF);
    else writeFileSync(RESOLV_CONF, record.original);
    return undefined;
  }
  // A tunnel that came up later has what this one wrote as its original: it is to restore what was before.
  for (const file of readdirSync(FILE_RECORDS)) {
    const path = join(FILE_RECORDS, file);
    const later = readReplaced(path);
    if (later?.original !== record.written) continue;
    writeWhole(path, JSON.stringify({ ...later, original: record.original } satisfies Replaced));
    return undefined;
  }
  return `${RESOLV_CONF} was changed by something else since ${name} came up, and was left as it is`;
}

function readReplaced(path: string): Replaced | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Replaced;
  } catch {
    return undefined;
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
