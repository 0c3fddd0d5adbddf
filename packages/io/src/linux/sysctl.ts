import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import type { CommandRunner } from './run.ts';

const ROOT = '/proc/sys';

/** Kernel settings. A key is written with slashes, since an interface's name may hold a dot: `net/ipv4/ip_forward`. */
export class Sysctl {
  readonly #runner: CommandRunner;

  constructor(runner: CommandRunner) {
    this.#runner = runner;
  }

  /** A setting's value, or undefined where this kernel has no such setting. */
  read(key: string): string | undefined {
    try {
      return readFileSync(`${ROOT}/${key}`, 'utf8').trim();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw error;
    }
  }

  write(key: string, value: string): void {
    this.#runner.tell(`sysctl -w ${key}=${value}`);
    writeFileSync(`${ROOT}/${key}`, value);
  }

  /** The names below a key: those of the interfaces below `net/ipv6/conf`, and `all` and `default`. */
  list(key: string): string[] {
    try {
      return readdirSync(`${ROOT}/${key}`);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
      throw error;
    }
  }
}
