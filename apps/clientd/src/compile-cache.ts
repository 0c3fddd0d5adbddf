import { lstatSync, mkdirSync } from 'node:fs';

const FOLDER = '/var/cache/sallyport';

/**
 * The folder in which Node keeps what it made of the program's files, so that the next start need not compile, nor load
 * a compiler for TypeScript. Root's alone, as what is in it is run as root. Undefined where there can't be one, which
 * costs nothing but that.
 */
export function compileCacheFolder(): string | undefined {
  try {
    mkdirSync(FOLDER, { recursive: true, mode: 0o700 });
  } catch {
    return undefined;
  }
  const stat = lstatSync(FOLDER, { throwIfNoEntry: false });
  return stat?.isDirectory() === true && stat.uid === 0 && (stat.mode & 0o022) === 0 ? FOLDER : undefined;
}
