/** Who may have a process go beside the tunnel: its owner, and root. */
import { readFileSync, statSync } from 'node:fs';
import { DaemonFailure, messageOf } from './failure.ts';
import type { OutsideGroup } from './network/split-group.ts';
import type { Caller } from './socket/socket-server.ts';

/** Throws a DaemonFailure where the process is not the caller's, or there is no such group here. */
export async function letOutside(
  pid: number,
  caller: Caller | undefined,
  open: () => Promise<Pick<OutsideGroup, 'cgroup'>>,
): Promise<void> {
  const meant = permitted(pid, caller);
  let cgroup: OutsideGroup['cgroup'];
  try {
    ({ cgroup } = await open());
  } catch (error) {
    throw failed(error);
  }
  // Meanwhile it may have ended, and another process have its number.
  if (permitted(pid, caller) !== meant) throw new DaemonFailure('badRequest', `process ${String(pid)} has ended`);
  try {
    cgroup.add(pid);
  } catch (error) {
    throw failed(error);
  }
}

function failed(error: unknown): DaemonFailure {
  return new DaemonFailure('failed', `programs can't go beside the tunnel here: ${messageOf(error)}`);
}

/** What tells the process from a later one of the same number: when it was started. */
function permitted(pid: number, caller: Caller | undefined): string {
  const found = lookAt(pid);
  if (found === undefined) throw new DaemonFailure('badRequest', `there is no process ${String(pid)}`);
  if (caller === undefined || (caller.uid !== 0 && caller.uid !== found.owner))
    throw new DaemonFailure('notPermitted', `process ${String(pid)} is somebody else's`);
  return found.started;
}

/** Undefined where there is none, or it has ended and nobody has taken notice. */
function lookAt(pid: number): { readonly owner: number; readonly started: string } | undefined {
  try {
    const { uid } = statSync(`/proc/${String(pid)}`);
    // A program that gave itself other rights is shown as root's: the real user is meant.
    const real = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1];
    // proc_pid_stat(5): the name, in brackets, may hold anything; the state is the 3rd field, the start the 22nd.
    const fields =
      readFileSync(`/proc/${String(pid)}/stat`, 'utf8')
        .split(') ')
        .at(-1)
        ?.split(' ') ?? [];
    const [state, started] = [fields[0], fields[19]];
    return /^[ZX]$/.test(state) ? undefined : { owner: real === undefined ? uid : Number(real), started };
  } catch {
    return undefined;
  }
}
