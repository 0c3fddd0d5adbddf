/** What to do for who may not use the daemon's socket: only the group's members may. */
import { readFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { CLIENT_GROUP } from '@sallyport/client';

/** Who was added to the group after their login is none of it yet. */
export function groupRemedy(): string {
  const name = userName();
  const [, , , members = ''] = groupsFile().find(([group]) => group === CLIENT_GROUP) ?? [];
  const only = `only root and the group ${CLIENT_GROUP} may use the client`;
  if (name === undefined)
    return `${only}; the system knows no name for your user (${String(process.getuid?.())}), so it can’t be added to it: use sudo, or a user that has a name`; // prettier-ignore
  return members.trim().split(',').includes(name)
    ? `you are in the group ${CLIENT_GROUP}, but not yet in this session: log in again, or run: newgrp ${CLIENT_GROUP}`
    : `${only}; run: sudo usermod -aG ${CLIENT_GROUP} ${name}, and log in again`;
}

/** Undefined where there is none, as in a container that is given a number of its own. */
function userName(): string | undefined {
  try {
    return userInfo().username;
  } catch {
    return undefined;
  }
}

function groupsFile(): string[][] {
  try {
    return readFileSync('/etc/group', 'utf8')
      .split('\n')
      .map((line) => line.split(':'));
  } catch {
    return [];
  }
}
