import { mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { STATE_FOLDER, writeWhole } from '../wg-quick/session.ts';

const PREFIX = 'openvpn-';

/** What a tunnel is while it is up, for people and programs. */
export const upFacts = z.object({
  interface: z.string(),
  server: z.string(),
  transport: z.enum(['udp', 'tcp']),
  cipher: z.string(),
  ipv4: z.string().nullable(),
  ipv6: z.string().nullable(),
  mtu: z.number(),
});
export type UpFacts = z.infer<typeof upFacts>;

const record = z.object({
  /** The process that keeps the tunnel up, and when it began, by which it is told from a later one with its number. */
  pid: z.number().int(),
  began: z.string(),
  profile: z.string(),
  /** Of the tunnel's own datagrams; the table of its default routes has the same number. */
  mark: z.number().int(),
  /** Since when it is connected, in Unix milliseconds, and how; undefined: it isn't. */
  up: upFacts.extend({ since: z.number() }).optional(),
  /** What is to be undone, and is not gone with the interface. */
  undo: z.object({
    /** Arguments of `ip`, the last first. */
    ip: z.array(z.array(z.string())),
    /** The tunnel's table of nftables. */
    filter: z.boolean(),
    /** The value that net.ipv4.conf.all.src_valid_mark had. */
    srcValidMark: z.string().optional(),
    dns: z.enum(['resolvconf', 'resolved', 'file']).optional(),
  }),
});
export type TunnelRecord = z.infer<typeof record>;
export type Undo = TunnelRecord['undo'];

function pathOf(name: string): string {
  return join(STATE_FOLDER, `${PREFIX}${name}.json`);
}

export function writeTunnelRecord(name: string, value: TunnelRecord): void {
  mkdirSync(STATE_FOLDER, { recursive: true, mode: 0o700 });
  writeWhole(pathOf(name), `${JSON.stringify(value, null, 2)}\n`);
}

/** Undefined where there is none, or none that can be read. */
export function readTunnelRecord(name: string): TunnelRecord | undefined {
  try {
    return record.parse(JSON.parse(readFileSync(pathOf(name), 'utf8')));
  } catch {
    return undefined;
  }
}

export function removeTunnelRecord(name: string): void {
  rmSync(pathOf(name), { force: true });
}

/** The tunnels that there are, and those whose process was killed; by name. */
export function tunnelNames(): string[] {
  let files: string[] = [];
  try {
    files = readdirSync(STATE_FOLDER);
  } catch {
    // There was never a tunnel.
  }
  return files
    .filter((file) => file.startsWith(PREFIX) && file.endsWith('.json'))
    .map((file) => file.slice(PREFIX.length, -'.json'.length))
    .sort();
}

/** The marks of the tunnels that there are. */
export function marksInUse(): Set<number> {
  return new Set(tunnelNames().flatMap((name) => readTunnelRecord(name)?.mark ?? []));
}

/** When a process began, in the kernel's ticks; undefined where none of this number runs. */
export function beginningOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    // Behind the program's name, which is in parentheses and may hold anything (proc(5)).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    // One that has ended stays listed until its parent has heard of it, which first processes of containers may never do.
    return fields[0] === 'Z' ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

export function isRunning({ pid, began }: TunnelRecord): boolean {
  return beginningOf(pid) === began;
}
