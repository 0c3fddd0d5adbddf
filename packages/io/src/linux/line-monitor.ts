import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { systemPath } from './run.ts';

/** Something that tells of changes until it is stopped. */
export interface Monitor {
  stop(): void;
}

/**
 * Runs a program that writes a line for whatever happens, on its standard output or error. `onEnd` is called where it ends
 * without {@link Monitor.stop}.
 */
export function watchLines(argv: readonly string[], onLine: (line: string) => void, onEnd: () => void): Monitor {
  // The program would outlive this process, since it writes only when something happens.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', '--', ...argv], {
    env: { PATH: systemPath(), LC_ALL: 'C' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stopped = false;
  const take = (line: string): void => {
    if (!stopped) onLine(line);
  };
  createInterface({ input: child.stdout }).on('line', take);
  createInterface({ input: child.stderr }).on('line', take);
  const ended = (): void => {
    if (stopped) return;
    stopped = true;
    onEnd();
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
