import { readFileSync } from 'node:fs';

/** The number of a group of this system, or undefined where there is none of that name. */
export function groupIdOf(name: string, groups = readFileSync('/etc/group', 'utf8')): number | undefined {
  for (const line of groups.split('\n')) {
    const [group, , id] = line.split(':');
    if (group === name && id !== undefined && /^\d+$/.test(id)) return Number(id);
  }
  return undefined;
}
