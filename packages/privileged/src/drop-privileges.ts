import { excessPrivileges, processPrivileges } from './process-privileges.ts';

/**
 * Turns this process, which runs as root, into one of an unprivileged user for good, in all of its threads. Call it
 * from the main thread; workers may run already or start later. Throws where a privilege is left: the process must end
 * then.
 *
 * The process was started with no_new_privs, or it could gain by a setuid program what it has given away here. The
 * kernel marks it as not dumpable too: another process of the same user can't read its memory.
 */
export function dropPrivileges(uid: number, gid: number): void {
  if (uid <= 0 || gid <= 0) throw new Error('an unprivileged user and group are needed, not those of root');
  // The group first: afterwards it may not be changed any more. The C library does it in each of its threads.
  process.setgroups?.([]);
  process.setgid?.(gid);
  process.setuid?.(uid);
  const excess = processPrivileges('self').flatMap((thread) => excessPrivileges(thread, uid, gid));
  if (process.getuid?.() !== uid || process.geteuid?.() !== uid || process.getegid?.() !== gid)
    excess.push('the process kept its ids');
  if (canBecomeRoot()) excess.push('the process can become root again');
  if (excess.length > 0) throw new Error(`privileges are left after giving them up: ${excess.join('; ')}`);
}

function canBecomeRoot(): boolean {
  try {
    process.setuid?.(0);
    return true;
  } catch {
    return false;
  }
}
