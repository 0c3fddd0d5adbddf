/** /etc/resolv.conf itself, replaced and given back exactly, whatever happens in between. */
import { lstat, open, readFile, readlink, realpath, rename, symlink, unlink, writeFile } from 'node:fs/promises';
import { watch, type FSWatcher } from 'node:fs';
import { basename, dirname, join, resolve } from 'node:path';
import { z } from 'zod';
import { JsonFile } from '../files/json-file.ts';
import { removeFile } from '../files/durable-file.ts';

/** What was there before. */
const original = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('absent') }),
  z.strictObject({ kind: z.literal('link'), target: z.string() }),
  /** Content in base64: it is given back byte by byte. */
  z.strictObject({
    kind: z.literal('file'),
    content: z.string(),
    mode: z.number().int(),
    uid: z.number().int(),
    gid: z.number().int(),
  }),
]);
type Original = z.infer<typeof original>;

/** Written before the file is touched, and removed after it was given back: a crash at any point can be told. */
const record = z.strictObject({
  original,
  /** What we wrote or were about to: the last, and the one before. */
  written: z.array(z.string()).max(2),
});
type Record = z.infer<typeof record>;

const SETTLE_MS = 50;
/** Somebody who rewrites the file without end is answered less and less often. */
const PATIENCE_MS = 5000;
const REWRITES_BEFORE_PATIENCE = 10;

export class ResolvConf {
  readonly #path: string;
  readonly #record: JsonFile<typeof record>;
  readonly #onFault: (message: string) => void;
  #wanted: string | undefined;
  #watchers: FSWatcher[] = [];
  #timer: NodeJS.Timeout | undefined;
  #rewrites: number[] = [];
  #queue: Promise<unknown> = Promise.resolve();

  /** `recordPath`: where what was there before is kept, on a disk that outlives a crash. */
  constructor(path: string, recordPath: string, onFault: (message: string) => void) {
    this.#path = path;
    this.#record = new JsonFile(recordPath, record);
    this.#onFault = onFault;
  }

  /** Makes `content` the file's, and keeps it so. */
  set(content: string): Promise<void> {
    return this.#inTurn(async () => {
      this.#wanted = content;
      await this.#put(content);
      await this.#watch(content);
    });
  }

  /** Gives back what was there; what somebody else wrote since is left. Nothing where nothing was replaced. */
  restore(): Promise<void> {
    return this.#inTurn(async () => {
      this.#wanted = undefined;
      this.#unwatch();
      const kept = await this.#record.read();
      if (kept === undefined) return;
      if (isOurs(await this.#look(), kept)) await this.#giveBack(kept.original);
      await this.#record.remove();
    });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #put(content: string): Promise<void> {
    const now = await this.#look();
    const kept = await this.#record.read();
    const ours = kept !== undefined && isOurs(now, kept);
    if (ours && isFile(now, content)) return;
    const next: Record = ours
      ? { original: kept.original, written: [content, ...kept.written.slice(0, 1)] }
      : { original: now, written: [content] };
    await this.#record.write(next);
    const { mode, uid, gid } = now.kind === 'file' && !ours ? now : attributesOf(next.original);
    // Ours need not be on the disk: the beginning of it, or nothing, is known for ours too.
    await this.#write(Buffer.from(content), { mode, uid, gid }, false);
  }

  async #giveBack(before: Original): Promise<void> {
    if (before.kind === 'absent') await removeFile(this.#path);
    else if (before.kind === 'file')
      await this.#write(Buffer.from(before.content, 'base64'), before, true); // prettier-ignore
    else {
      const next = `${this.#path}.sallyport`;
      await unlink(next).catch(() => undefined);
      await symlink(before.target, next);
      await rename(next, this.#path);
    }
  }

  /**
   * Whole by renaming, or in place where the file is a mount point: nothing is renamed over that, and the folder around it
   * may be another daemon's too (a network namespace has a resolv.conf of its own in the machine's /etc, ip-netns(8)).
   */
  async #write(content: Buffer, { mode, uid, gid }: Attributes, durable: boolean): Promise<void> {
    if (await isMountPoint(this.#path)) {
      await writeFile(this.#path, content, { flush: durable });
      return;
    }
    const next = `${this.#path}.sallyport`;
    try {
      await unlink(next).catch(() => undefined);
      const file = await open(next, 'wx', mode);
      try {
        await file.writeFile(content);
        await file.chown(uid, gid);
        await file.chmod(mode);
        if (durable) await file.sync();
      } finally {
        await file.close();
      }
      await rename(next, this.#path);
    } catch (error) {
      await unlink(next).catch(() => undefined);
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EBUSY' && code !== 'EXDEV' && code !== 'EROFS') throw error;
      await writeFile(this.#path, content, { flush: durable });
    }
  }

  async #look(): Promise<Original> {
    try {
      const stat = await lstat(this.#path);
      if (stat.isSymbolicLink()) return { kind: 'link', target: await readlink(this.#path) };
      const content = await readFile(this.#path, 'base64');
      return { kind: 'file', content, mode: stat.mode & 0o7777, uid: stat.uid, gid: stat.gid };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return { kind: 'absent' };
      throw error;
    }
  }

  /** DHCP clients and the like rewrite the file: what they wrote is what is given back later, and ours is put back. */
  async #watch(wanted: string): Promise<void> {
    this.#unwatch();
    const name = basename(this.#path);
    const look = (): void => {
      if (this.#timer !== undefined) return;
      this.#timer = setTimeout(() => {
        this.#timer = undefined;
        void this.#inTurn(() => this.#lookAgain());
      }, this.#pause());
    };
    try {
      // The folder for what is renamed into it, the file for a mount point, which has another parent.
      const ofFolder = watch(dirname(resolve(this.#path)), { persistent: false }, (_, changed) => {
        if (changed === null || changed === name) look();
      });
      this.#watchers.push(ofFolder);
      this.#watchers.push(watch(this.#path, { persistent: false }, look));
      for (const watcher of this.#watchers) watcher.on('error', look);
    } catch (error) {
      this.#onFault(`${this.#path} can't be watched: ${(error as Error).message}`);
    }
    // Of what was written after ours and before this, nobody tells.
    if (!isFile(await this.#look(), wanted)) look();
  }

  #unwatch(): void {
    for (const watcher of this.#watchers) watcher.close();
    this.#watchers = [];
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #pause(): number {
    const now = Date.now();
    this.#rewrites = this.#rewrites.filter((at) => now - at < 60_000);
    return this.#rewrites.length < REWRITES_BEFORE_PATIENCE ? SETTLE_MS : PATIENCE_MS;
  }

  async #lookAgain(): Promise<void> {
    const wanted = this.#wanted;
    if (wanted === undefined) return;
    try {
      if (!isFile(await this.#look(), wanted)) {
        this.#rewrites.push(Date.now());
        await this.#put(wanted);
        this.#onFault(`${this.#path} was changed by something else, and changed back`);
      }
      await this.#watch(wanted);
    } catch (error) {
      this.#onFault(`${this.#path}: ${(error as Error).message}`);
    }
  }
}

interface Attributes {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/** Of this process's mounts (proc_pid_mountinfo(5)); false where there is no /proc. */
async function isMountPoint(path: string): Promise<boolean> {
  try {
    const whole = join(await realpath(dirname(path)), basename(path));
    const escaped = whole.replace(
      /[ \t\n\\]/g,
      (character) => `\\${character.charCodeAt(0).toString(8).padStart(3, '0')}`,
    );
    return (await readFile('/proc/self/mountinfo', 'utf8')).split('\n').some((line) => line.split(' ')[4] === escaped);
  } catch {
    return false;
  }
}

function attributesOf(before: Original): Attributes {
  return before.kind === 'file' ? before : { mode: 0o644, uid: 0, gid: 0 };
}

function isFile(now: Original, content: string): boolean {
  return now.kind === 'file' && now.content === Buffer.from(content).toString('base64');
}

/** Whether the file is one that we wrote, or the beginning of one: of what was written in place when the machine died. */
function isOurs(now: Original, { original: before, written }: Record): boolean {
  if (now.kind !== 'file') return false;
  const content = Buffer.from(now.content, 'base64');
  const begun = written.some((text) => Buffer.from(text).subarray(0, content.length).equals(content));
  if (begun) return true;
  if (before.kind !== 'file') return false;
  // Or the beginning of what was being given back in place.
  const whole = Buffer.from(before.content, 'base64');
  return content.length < whole.length && whole.subarray(0, content.length).equals(content);
}
