import { readFileSync, realpathSync, statSync } from 'node:fs';
import { basename, dirname, resolve, sep } from 'node:path';
import { parseProfile, type OpenVpnProfile } from '@sallyport/openvpn';
import { CommandFailure, EXIT_BAD_INPUT, EXIT_NO_INPUT, EXIT_USAGE, FileFaults } from '../command.ts';
import { isInterfaceName } from '../wg-quick/locate.ts';

const MAX_FILE_BYTES = 4 * 1024 * 1024;
const MAX_NAME_LENGTH = 15;

export interface LoadedProfile {
  /** The interface's. */
  readonly name: string;
  /** The file's absolute path, links followed. */
  readonly path: string;
  readonly profile: OpenVpnProfile;
  /** Each with its place. */
  readonly warnings: readonly string[];
}

/** The interface of a profile has the name of its file, as far as it can: `office.ovpn` is `office`. */
export function interfaceNameOf(argument: string): string {
  const name = basename(argument)
    .replace(/\.(?:ovpn|conf)$/i, '')
    .replace(/[^a-zA-Z0-9_=+.-]+/g, '-')
    .slice(0, MAX_NAME_LENGTH);
  if (isInterfaceName(name)) return name;
  throw new CommandFailure(
    EXIT_USAGE,
    `"${argument}" names no interface; rename the file to something like office.ovpn`,
  );
}

/** Reads and parses a profile. All its faults are in the failure's message, one a line. */
export function loadProfile(argument: string): LoadedProfile {
  const name = interfaceNameOf(argument);
  let path: string;
  let text: string;
  let readableByAll: boolean;
  try {
    path = realpathSync(argument);
    text = readSmall(path);
    readableByAll = (statSync(path).mode & statSync(dirname(path)).mode & 0o007) !== 0;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const why =
      code === 'ENOENT'
        ? 'there is no such file'
        : code === 'EACCES'
          ? 'it may not be read; run this as root'
          : message;
    throw new CommandFailure(EXIT_NO_INPUT, `${argument}: ${why}`, { cause: error });
  }
  const parsed = parseProfile(text, { read: (file) => readBeside(dirname(path), file) });
  const place = ({ line, message }: { line: number; message: string }): string =>
    `${argument}:${String(line)}: ${message}`;
  if (!parsed.ok) throw new FileFaults(parsed.faults.map(place));
  const { profile } = parsed;
  const warnings = parsed.warnings.map(place);
  const holdsSecrets = profile.key !== undefined || profile.wrapping.kind !== 'none' || profile.login?.password;
  if (readableByAll && holdsSecrets) {
    warnings.unshift(`${argument} can be read by everyone, and holds keys; run: chmod 600 ${argument}`);
  }
  return { name, path, profile, warnings };
}

/**
 * A file that a profile names: in the profile's own folder or below. This runs as root, and what the profile names may be
 * sent to the server that it names: a profile from elsewhere could ask for any file.
 */
function readBeside(folder: string, file: string): string | undefined {
  try {
    const path = realpathSync(resolve(folder, file));
    return path.startsWith(folder === sep ? sep : folder + sep) ? readSmall(path) : undefined;
  } catch {
    return undefined;
  }
}

function readSmall(path: string): string {
  const { size } = statSync(path);
  if (size > MAX_FILE_BYTES) throw new CommandFailure(EXIT_BAD_INPUT, `${path}: too large to be a profile`);
  return readFileSync(path, 'utf8');
}
