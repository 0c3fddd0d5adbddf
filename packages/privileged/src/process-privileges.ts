import { readdirSync, readFileSync } from 'node:fs';

/** What one thread may do, as /proc/PID/task/TID/status says. Capabilities are bit sets (capabilities(7)). */
export interface ThreadPrivileges {
  readonly thread: number;
  readonly name: string;
  /** Real, effective, saved, file system. */
  readonly userIds: readonly number[];
  readonly groupIds: readonly number[];
  readonly supplementaryGroups: readonly number[];
  readonly inheritable: bigint;
  readonly permitted: bigint;
  readonly effective: bigint;
  readonly bounding: bigint;
  readonly ambient: bigint;
  readonly noNewPrivileges: boolean;
}

/** What each thread of a process may do. `pid` is a number or `self`. Throws where there is no such process. */
export function processPrivileges(pid: number | 'self'): ThreadPrivileges[] {
  const folder = `/proc/${String(pid)}/task`;
  return readdirSync(folder).flatMap((thread) => {
    try {
      return [parseStatus(Number(thread), readFileSync(`${folder}/${thread}/status`, 'utf8'))];
    } catch (error) {
      // A thread that ended meanwhile can do nothing.
      if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return [];
      throw error;
    }
  });
}

/** What the thread has that an unprivileged process of `uid` and `gid` has not; empty where there is nothing. */
export function excessPrivileges(thread: ThreadPrivileges, uid: number, gid: number): string[] {
  const excess: string[] = [];
  const note = (isExcess: boolean, what: string): void => {
    if (isExcess) excess.push(`thread ${String(thread.thread)} (${thread.name}) ${what}`);
  };
  note(
    thread.userIds.some((id) => id !== uid),
    `has user ids ${thread.userIds.join(' ')}`,
  );
  note(
    thread.groupIds.some((id) => id !== gid),
    `has group ids ${thread.groupIds.join(' ')}`,
  );
  note(
    thread.supplementaryGroups.some((id) => id !== gid),
    `is in groups ${thread.supplementaryGroups.join(' ')}`,
  );
  for (const set of ['inheritable', 'permitted', 'effective', 'ambient'] as const)
    note(thread[set] !== 0n, `has ${set} capabilities ${thread[set].toString(16)}`);
  note(!thread.noNewPrivileges, 'could gain privileges by a setuid program');
  return excess;
}

function parseStatus(thread: number, status: string): ThreadPrivileges {
  const fields = new Map(
    status.split('\n').map((line) => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon), line.slice(colon + 1).trim()];
    }),
  );
  const field = (name: string): string => {
    const value = fields.get(name);
    if (value === undefined) throw new Error(`/proc says no "${name}" of a thread: is this Linux 4.10 or later?`);
    return value;
  };
  const ids = (name: string): number[] => field(name).split(/\s+/).filter(Boolean).map(Number);
  const capabilities = (name: string): bigint => BigInt(`0x${field(name)}`);
  return {
    thread,
    name: field('Name'),
    userIds: ids('Uid'),
    groupIds: ids('Gid'),
    supplementaryGroups: ids('Groups'),
    inheritable: capabilities('CapInh'),
    permitted: capabilities('CapPrm'),
    effective: capabilities('CapEff'),
    bounding: capabilities('CapBnd'),
    ambient: capabilities('CapAmb'),
    noNewPrivileges: field('NoNewPrivs') === '1',
  };
}
