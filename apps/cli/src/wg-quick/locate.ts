import { existsSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CommandFailure, FileFaults, EXIT_BAD_INPUT, EXIT_NO_INPUT, EXIT_USAGE } from '../command.ts';
import type { Remark, WgQuickConfig } from './config.ts';
import { parseConfig } from './parse.ts';
import { readRecord } from './session.ts';

/** Where configurations are looked for by the interface's name. */
const FOLDERS = ['/etc/sallyport', '/etc/wireguard'];
const MAX_FILE_BYTES = 128 * 1024 * 1024;
const INTERFACE_NAME = /^[a-zA-Z0-9_=+.-]{1,15}$/;

export interface Located {
  readonly name: string;
  /** The configuration file as it was written, for messages; undefined where there is none. */
  readonly file: string | undefined;
}

/** Whether a text can be the name of an interface. */
export function isInterfaceName(text: string): boolean {
  return INTERFACE_NAME.test(text) && text !== '.' && text !== '..';
}

/**
 * The configuration file that an argument means: a path, or the name of an interface. With `recorded`, the file that a
 * tunnel of this name was brought up from comes first.
 */
export function locate(argument: string, { recorded = false } = {}): Located {
  if (isInterfaceName(argument) && !argument.endsWith('.conf')) {
    const first = recorded ? readRecord(argument)?.configFile : undefined;
    const candidates = [...(first === undefined ? [] : [first]), ...FOLDERS.map((f) => join(f, `${argument}.conf`))];
    return { name: argument, file: candidates.find((file) => existsSync(file)) };
  }
  const file = basename(argument);
  const name = file.slice(0, -'.conf'.length);
  if (!file.endsWith('.conf') || !isInterfaceName(name)) {
    throw new CommandFailure(
      EXIT_USAGE,
      `"${argument}" names no interface; the file's name has to be the interface's, 1 to 15 letters, digits or _=+.-, and ".conf": wg0.conf`,
    );
  }
  return { name, file: existsSync(argument) ? argument : undefined };
}

export interface Loaded {
  readonly config: WgQuickConfig;
  /** The file's absolute path, links followed. */
  readonly path: string;
  /** Warnings, each with its place. */
  readonly warnings: readonly string[];
}

/** Reads and parses a configuration file. All its faults are in the failure's message, one a line. */
export function loadConfig(argument: string, { file, name }: Located): Loaded {
  if (file === undefined) {
    const where =
      argument === name
        ? `neither ${FOLDERS.map((f) => join(f, `${name}.conf`)).join(' nor ')} exists`
        : 'there is no such file';
    throw new CommandFailure(EXIT_NO_INPUT, `${argument}: ${where}`);
  }
  const { path, text, readableByAll } = readConfigFile(file);
  const parsed = parseConfig(text);
  const place = ({ line, message }: Remark) => `${file}:${String(line)}: ${message}`;
  if (!parsed.ok) throw new FileFaults(parsed.faults.map(place));
  const warnings = parsed.warnings.map(place);
  if (readableByAll) warnings.unshift(`${file} can be read by everyone, and holds keys; run: chmod 600 ${file}`);
  return { config: parsed.config, path, warnings };
}

function readConfigFile(file: string): { path: string; text: string; readableByAll: boolean } {
  try {
    const path = realpathSync(file);
    const { mode, size } = statSync(path);
    if (size > MAX_FILE_BYTES)
      throw new CommandFailure(EXIT_BAD_INPUT, `${file}: too large to be a configuration file`);
    const readableByAll = (mode & statSync(dirname(path)).mode & 0o007) !== 0;
    return { path, text: readFileSync(path, 'utf8'), readableByAll };
  } catch (error) {
    if (error instanceof CommandFailure) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const why = code === 'EACCES' ? 'may not be read; run this as root' : code === 'EISDIR' ? 'is a folder' : message;
    throw new CommandFailure(EXIT_NO_INPUT, `${file} ${why}`, { cause: error });
  }
}
