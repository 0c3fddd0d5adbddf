import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';

/** The root of the unified hierarchy (cgroup v2), or undefined where this system mounts none. */
export function cgroupRoot(mounts = readFileSync('/proc/self/mounts', 'utf8')): string | undefined {
  for (const line of mounts.split('\n')) {
    const [, folder, kind] = line.split(' ');
    if (kind === 'cgroup2' && folder !== undefined && existsSync(`${folder}/cgroup.procs`)) return folder;
  }
  return undefined;
}

/**
 * A cgroup (v2) of the top level: processes are moved into it, what they start is born there, and the packet filter can
 * tell them by it.
 */
export class Cgroup {
  readonly name: string;
  readonly #folder: string;

  private constructor(name: string, folder: string) {
    this.name = name;
    this.#folder = folder;
  }

  /** Makes it where it isn't there yet. Throws where the system has no cgroup v2, or a caller that isn't root. */
  static ensure(name: string): Cgroup {
    const root = cgroupRoot();
    if (root === undefined) throw new Error('this system has no cgroup v2');
    const folder = `${root}/${name}`;
    mkdirSync(folder, { recursive: true });
    return new Cgroup(name, folder);
  }

  /** Moves a process with all its threads. Throws where there is no such process. */
  add(pid: number): void {
    writeFileSync(`${this.#folder}/cgroup.procs`, String(pid));
  }

  processes(): number[] {
    return readFileSync(`${this.#folder}/cgroup.procs`, 'utf8').trim().split('\n').filter(Boolean).map(Number);
  }

  /** Removes it where no process is left in it; says whether it is gone. */
  remove(): boolean {
    try {
      rmdirSync(this.#folder);
      return true;
    } catch {
      return !existsSync(this.#folder);
    }
  }
}
