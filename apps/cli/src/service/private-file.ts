import { closeSync, fchmodSync, openSync, rmSync, writeSync } from 'node:fs';
import { CommandFailure, EXIT_FAILED } from '../command.ts';

/** A file that its owner alone may read, or the standard output where no path is given. */
export class PrivateOutput {
  readonly #path: string | undefined;
  readonly #file: number | undefined;

  /** Before anything is made: what can't be written would lose a key. Throws where the file exists already. */
  constructor(path: string | undefined) {
    this.#path = path;
    this.#file = path === undefined ? undefined : createPrivately(path);
  }

  write(text: string): void {
    if (this.#file === undefined) process.stdout.write(text);
    else writeSync(this.#file, text);
  }

  /** Closes the file. */
  close(): void {
    if (this.#file !== undefined) closeSync(this.#file);
  }

  /** Removes what was not written whole. */
  discard(): void {
    if (this.#path !== undefined) rmSync(this.#path, { force: true });
  }
}

function createPrivately(path: string): number {
  try {
    const file = openSync(path, 'wx', 0o600);
    fchmodSync(file, 0o600);
    return file;
  } catch (error) {
    const exists = (error as NodeJS.ErrnoException).code === 'EEXIST';
    const remedy = exists ? `${path} exists: name another file, or remove it first` : (error as Error).message;
    throw new CommandFailure(EXIT_FAILED, remedy, { cause: error });
  }
}
