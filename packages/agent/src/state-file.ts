import { open, readFile, rename, type FileHandle } from 'node:fs/promises';
import { decodeStateKey, verifyState, type StateMessage } from '@sallyport/link';
import { applyChange, type DesiredState } from '@sallyport/policy';
import { replaceFile } from './durable-file.ts';

/** Deltas beyond the size of their snapshot that are kept before another snapshot is worth its price. */
const SLACK_BYTES = 1024 * 1024;

const FORMAT = 'sallyport gateway state 1';

/** A desired state, and which one it is. */
export interface VersionedState {
  readonly version: number;
  readonly state: DesiredState;
}

/** What was found in a file. */
export interface LoadedState extends VersionedState {
  /** The control plane's key (SPKI, base64) that signed it. */
  readonly stateKey: string;
  /** Why what comes after it in the file was cut off. */
  readonly damage?: string | undefined;
}

/**
 * The last state that the control plane signed: a line for whom it is and by which key, one for the snapshot, one for each
 * delta since. Each state is on the disk when its promise settles. Calls wait for one another.
 */
export class StateFile {
  readonly #path: string;
  #file: FileHandle | undefined;
  #bytes = 0;
  #snapshotBytes = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(path: string) {
    this.#path = path;
  }

  /** Whether a delta can follow: not before a snapshot, nor after a failure, as it would leave a gap. */
  get usable(): boolean {
    return this.#file !== undefined;
  }

  /** Whether it has grown so much that a snapshot should take its place. */
  get large(): boolean {
    return this.#bytes > 2 * this.#snapshotBytes + SLACK_BYTES;
  }

  /**
   * The state for this gateway, as far as the file is whole and signed; undefined where there is none. What follows a
   * damage is cut off. Throws the file system's errors.
   */
  load(gatewayId: string): Promise<LoadedState | undefined> {
    return this.#next(async () => {
      await this.#drop();
      let text: Buffer;
      try {
        text = await readFile(this.#path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
        throw error;
      }
      const read = readStates(text, gatewayId);
      if (read === undefined) return undefined;
      const file = await open(this.#path, 'r+');
      try {
        if (read.bytes < text.length) {
          await file.truncate(read.bytes);
          await file.sync();
        }
      } catch {
        // It is served all the same. Nothing is appended to it, and the next snapshot replaces it.
        await file.close();
        return read.loaded;
      }
      this.#file = file;
      this.#bytes = read.bytes;
      this.#snapshotBytes = read.snapshotBytes;
      return read.loaded;
    });
  }

  /** Begins anew with a snapshot. Throws the file system's errors; what was there before is there still then. */
  replace(gatewayId: string, stateKey: string, snapshot: StateMessage): Promise<void> {
    return this.#next(async () => {
      const text = `${JSON.stringify({ format: FORMAT, gatewayId, stateKey })}\n${lineOf(snapshot)}`;
      await this.#drop();
      await replaceFile(this.#path, text);
      this.#file = await open(this.#path, 'r+');
      this.#bytes = Buffer.byteLength(text);
      this.#snapshotBytes = this.#bytes;
    });
  }

  /** Adds a delta. Throws the file system's errors; nothing can follow then but a snapshot. */
  append(delta: StateMessage): Promise<void> {
    return this.#next(async () => {
      const file = this.#file;
      if (file === undefined) throw new Error(`${this.#path} has a gap: it needs a snapshot`);
      const line = Buffer.from(lineOf(delta));
      try {
        for (let done = 0; done < line.length;) {
          const { bytesWritten } = await file.write(line, done, line.length - done, this.#bytes + done);
          done += bytesWritten;
        }
        await file.datasync();
        this.#bytes += line.length;
      } catch (error) {
        // Half a line would be cut off at the next start just as well.
        await file.truncate(this.#bytes).catch(() => undefined);
        await this.#drop();
        throw error;
      }
    });
  }

  /** Puts it aside under `path`.SUFFIX, where nobody reads it any more but a person. */
  setAside(suffix: string): Promise<void> {
    return this.#next(async () => {
      await this.#drop();
      await rename(this.#path, `${this.#path}.${suffix}`).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      });
    });
  }

  close(): Promise<void> {
    return this.#next(() => this.#drop());
  }

  async #drop(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.close().catch(() => undefined);
  }

  #next<T>(task: () => Promise<T>): Promise<T> {
    const result = this.#last.then(task);
    this.#last = result.catch(() => undefined);
    return result;
  }
}

function lineOf({ payload, signature }: StateMessage): string {
  return `${JSON.stringify({ payload, signature })}\n`;
}

function readStates(
  text: Buffer,
  gatewayId: string,
): { readonly loaded: LoadedState; readonly bytes: number; readonly snapshotBytes: number } | undefined {
  let at = 0;
  const nextLine = (): Record<string, unknown> | undefined => {
    const end = text.indexOf(0x0a, at);
    if (end < 0) return undefined;
    try {
      const value: unknown = JSON.parse(text.toString('utf8', at, end));
      if (typeof value !== 'object' || value === null) return undefined;
      at = end + 1;
      return value as Record<string, unknown>;
    } catch {
      return undefined;
    }
  };
  const head = nextLine();
  const stateKey = head?.['stateKey'];
  if (head?.['format'] !== FORMAT || head['gatewayId'] !== gatewayId || typeof stateKey !== 'string') return undefined;
  const key = decodeStateKey(stateKey);
  if (key === undefined) return undefined;
  let current: VersionedState | undefined;
  let bytes = at;
  let snapshotBytes = 0;
  let damage: string | undefined;
  while (at < text.length) {
    const { payload, signature } = nextLine() ?? {};
    if (typeof payload !== 'string' || typeof signature !== 'string') {
      damage = 'a line is broken';
      break;
    }
    const verified = verifyState({ payload, signature }, key, gatewayId);
    if (!verified.ok) {
      damage = verified.fault;
      break;
    }
    const { version, base, change } = verified.state;
    if (base !== (current?.version ?? 0)) {
      damage = 'a state does not follow the one before it';
      break;
    }
    current = { version, state: applyChange(current?.state, change) };
    bytes = at;
    if (base === 0) snapshotBytes = bytes;
  }
  return current && { loaded: { ...current, stateKey, damage }, bytes, snapshotBytes };
}
