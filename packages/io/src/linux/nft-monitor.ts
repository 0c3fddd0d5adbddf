import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { systemPath } from './run.ts';

/** Tells of every rule that anybody on this machine adds to a table or removes from it. */
export interface NftMonitor {
  stop(): void;
}

export interface NftRuleChange {
  readonly chain: string;
  readonly removed: boolean;
}

/**
 * Watches the rules of one table. `onChange` gets each rule that was added or removed, one's own changes included, in
 * the order of the kernel's transactions; and undefined where that isn't known: when messages were lost, and once the
 * program behind this has ended without {@link NftMonitor.stop} (`watching` is false then, and nothing more comes).
 */
export function watchNftRules(
  family: string,
  table: string,
  onChange: (change: NftRuleChange | undefined, watching: boolean) => void,
): NftMonitor {
  // The program would outlive this process, since it writes only when something happens.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', 'nft', 'monitor', 'rules'], {
    env: { PATH: systemPath(), LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stopped = false;
  const rule = new RegExp(`^(add|insert|replace|delete|destroy) rule ${family} ${table} (\\S+)`);
  const ofLine = (line: string): void => {
    const [, verb = '', chain] = rule.exec(line) ?? [];
    // "ERROR: We lost some netlink events!" may stand for anything.
    if (stopped || (chain === undefined && !line.includes('ERROR'))) return;
    onChange(chain === undefined ? undefined : { chain, removed: verb.startsWith('de') }, true);
  };
  createInterface({ input: child.stdout }).on('line', ofLine);
  createInterface({ input: child.stderr }).on('line', ofLine);
  const ended = (): void => {
    if (stopped) return;
    stopped = true;
    onChange(undefined, false);
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
