import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { systemPath } from './run.ts';

/** Tells of every rule that anybody on this machine adds to a table or removes from it. */
export interface NftMonitor {
  stop(): void;
}

/**
 * Watches the rules of one table. `onChange` is also called for one's own changes, and once the program behind this has
 * ended without {@link NftMonitor.stop}, when nothing is watched any more: `watching` is false then.
 */
export function watchNftRules(family: string, table: string, onChange: (watching: boolean) => void): NftMonitor {
  // The program would outlive this process, since it writes only when something happens.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'nft', 'monitor', 'rules'], {
    env: { PATH: systemPath(), LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stopped = false;
  const words = ` ${family} ${table} `;
  const ofLine = (line: string): void => {
    // "ERROR: We lost some netlink events!" may stand for anything.
    if (!stopped && (line.includes(words) || line.includes('ERROR'))) onChange(true);
  };
  createInterface({ input: child.stdout }).on('line', ofLine);
  createInterface({ input: child.stderr }).on('line', ofLine);
  const ended = (): void => {
    if (stopped) return;
    stopped = true;
    onChange(false);
  };
  child.on('error', ended);
  child.on('close', ended);
  return {
    stop: () => {
      stopped = true;
      child.kill('SIGKILL');
    },
  };
}
