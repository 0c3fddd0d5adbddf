import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  statSync,
} from 'node:fs';
import { dirname, join } from 'node:path';

/** The folders below the data folder, each of one process alone. */
export interface DataFolders {
  readonly control: string;
  readonly gateway: string;
  readonly carrier: string;
  readonly names: string;
  /** Of a machine that is only a gateway: where its control plane is; root's alone. */
  readonly joinFile: string;
}

/** The data folder can't be used; the message names the remedy. */
export class DataFolderError extends Error {
  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DataFolderError';
  }
}

export function dataFolders(data: string): DataFolders {
  return {
    control: join(data, 'control'),
    gateway: join(data, 'gateway'),
    carrier: join(data, 'carrier'),
    names: join(data, 'names'),
    joinFile: join(data, 'join.json'),
  };
}

/**
 * Makes the data folder, root's, and in it the folders of the processes, each readable by its user alone. Throws
 * {@link DataFolderError}.
 */
export function prepareDataFolders(
  data: string,
  owners: { readonly control?: number; readonly gateway?: number; readonly carrier?: number; readonly names?: number },
): DataFolders {
  const folders = dataFolders(data);
  asDataFolder(data, () => {
    makeDataFolder(data);
    if (owners.control !== undefined) giveFolder(folders.control, owners.control);
    if (owners.gateway !== undefined) giveFolder(folders.gateway, owners.gateway);
    if (owners.carrier !== undefined) giveFolder(folders.carrier, owners.carrier);
    if (owners.names !== undefined) giveFolder(folders.names, owners.names);
  });
  return folders;
}

/**
 * Takes the data folder for this process alone until it ends or calls the result: two servers would each take what the
 * other one has changed for their own. Throws {@link DataFolderError}.
 */
export function lockDataFolder(data: string): () => void {
  return asDataFolder(data, () => {
    makeDataFolder(data);
    const path = join(data, 'lock');
    const file = openSync(path, 'w', 0o600);
    // The lock is the open file's, which this process has as well: it stays when flock has ended.
    const { status, error } = spawnSync('flock', ['-n', '3'], { stdio: ['ignore', 'ignore', 'ignore', file] });
    if (status === 0) {
      return () => {
        closeSync(file);
      };
    }
    closeSync(file);
    if (error !== undefined) throw new Error(`flock can't be run: ${error.message} (it is in the package util-linux)`);
    throw new DataFolderError(
      `another Sallyport server has the data folder ${data} (fuser -v ${path} shows it); end that one, or name another ` +
        'folder with --data',
    );
  });
}

function asDataFolder<T>(data: string, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof DataFolderError) throw error;
    const reason = error instanceof Error ? error.message : String(error);
    throw new DataFolderError(`the data folder ${data} can't be used: ${reason}; name another with --data`, {
      cause: error,
    });
  }
}

function makeDataFolder(data: string): void {
  if (!exists(data)) {
    mkdirSync(data, { recursive: true, mode: 0o711 });
    // Whatever the umask is.
    chmodSync(data, 0o711);
  }
  checkPassage(data);
}

/** The processes are not root, so every folder above theirs must let them pass. */
function checkPassage(data: string): void {
  for (let folder = data; folder !== '/'; folder = dirname(folder)) {
    const stat = statSync(folder);
    if (!stat.isDirectory()) throw new DataFolderError(`${folder} is no folder; name another with --data`);
    if ((stat.mode & 0o001) !== 0) continue;
    throw new DataFolderError(
      `${folder} is closed to other users, and the processes that keep their data below it are not root; ` +
        `open it (chmod o+x ${folder}) or name another folder with --data`,
    );
  }
}

/** Gives a folder with all that is in it to a user, what root put there meanwhile (a restored backup) too. */
function giveFolder(folder: string, user: number): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  give(folder, user, 0);
}

const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
/** Deeper than anything that is kept there. */
const MAX_DEPTH = 16;

/**
 * Gives what is at a path away. A process of that user may run, one that somebody took over, and put links to what is
 * root's in the place of what was looked at: so everything is opened first, without following a link, and what is open
 * is looked at and given away.
 */
function give(path: string, user: number, depth: number): void {
  let file: number;
  try {
    file = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  } catch (error) {
    // A link, a socket, or gone meanwhile.
    if (depth > 0 && ['ELOOP', 'ENXIO', 'ENOENT'].includes((error as NodeJS.ErrnoException).code ?? '')) return;
    throw error;
  }
  try {
    const stat = fstatSync(file);
    const isFolder = stat.isDirectory();
    if (isFolder && depth < MAX_DEPTH) {
      const inside = `/proc/self/fd/${String(file)}`;
      for (const name of readdirSync(inside)) give(join(inside, name), user, depth + 1);
    }
    // A second name of a file that is elsewhere is not ours to give away.
    if (!isFolder && stat.nlink > 1) return;
    if (stat.uid !== user || stat.gid !== user) fchownSync(file, user, user);
    if (depth === 0) fchmodSync(file, 0o700);
  } finally {
    closeSync(file);
  }
}

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}
