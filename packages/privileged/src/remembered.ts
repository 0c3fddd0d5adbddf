import { mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';

/** What was changed on this machine, so that it can be put back by a process that starts after this one was killed. */
export interface Remembered {
  /** Kernel settings and what they were before, in the order in which they were changed. */
  settings: { readonly key: string; readonly before: string }[];
  /** Routing policy rules: the words behind `ip -FAMILY rule add`. */
  rules: { readonly family: 4 | 6; readonly words: readonly string[] }[];
}

/** Keeps {@link Remembered} in a file below /run, which the next boot forgets together with what it describes. */
export class Memory {
  readonly value: Remembered;
  readonly #path: string | undefined;

  /** Without a path it lasts as long as this process. */
  constructor(path: string | undefined) {
    this.#path = path;
    this.value = (path === undefined ? undefined : load(path)) ?? { settings: [], rules: [] };
  }

  save(): void {
    if (this.#path === undefined) return;
    mkdirSync(dirname(this.#path), { recursive: true, mode: 0o700 });
    const next = `${this.#path}.new`;
    writeFileSync(next, JSON.stringify(this.value), { mode: 0o600 });
    renameSync(next, this.#path);
  }

  /** Everything was put back. */
  forget(): void {
    this.value.settings = [];
    this.value.rules = [];
    if (this.#path !== undefined) rmSync(this.#path, { force: true });
  }
}

/** Only this process writes the file; one that can't be read is as good as none. */
function load(path: string): Remembered | undefined {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Remembered;
  } catch {
    return undefined;
  }
}
