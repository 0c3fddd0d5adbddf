/**
 * The file of a backup: JSON lines, the same for every database. The first line is the header, then for each table a line
 * `{"table":…,"columns":[…]}` and a line for each row (the values in the order of the columns); the last line,
 * `{"rows":…,"sha256":…}`, holds the number of rows and the SHA-256 of all bytes before it.
 *
 * It holds the master key, and so everything that the service keeps secret. With a passphrase the master key is sealed,
 * the rest is not.
 */
import { Secret } from '@sallyport/core';
import { createHash, scryptSync, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { open, rename, rm, type FileHandle } from 'node:fs/promises';
import { once } from 'node:events';
import { dirname } from 'node:path';
import { seal, unseal } from '../store/secrets.ts';

const format = 'sallyport-backup';
const formatVersion = 1;
const sensitive =
  'SENSITIVE: this file holds the keys of the service and what it knows of its users. Keep it encrypted and private.';
/** Lines are longer only where the file is none of ours. */
const lineLimit = 16 << 20;
// scrypt as RFC 7914 recommends for interactive use, doubled twice.
const scrypt = { N: 1 << 16, r: 8, p: 1, maxmem: 128 << 20 };

export interface BackupHeader {
  /** The database's version. */
  readonly schema: number;
  /** RFC 3339. */
  readonly createdAt: string;
  readonly dialect: string;
  /** Base64; sealed under a passphrase where there is a salt. Null where the store had none. */
  readonly masterKey: string | null;
  readonly salt: string | null;
}

export type BackupLine =
  | { readonly kind: 'table'; readonly table: string; readonly columns: readonly string[] }
  | { readonly kind: 'row'; readonly values: readonly (string | number | null)[] };

/** Puts a master key into a header. */
export function packMasterKey(
  key: Secret<Buffer> | undefined,
  passphrase: Secret<string> | undefined,
): Pick<BackupHeader, 'masterKey' | 'salt'> {
  if (key === undefined) return { masterKey: null, salt: null };
  if (passphrase === undefined) return { masterKey: key.reveal().toString('base64'), salt: null };
  const salt = randomBytes(16).toString('base64');
  return { masterKey: seal(derive(passphrase, salt), format, key.reveal()), salt };
}

/** @throws Error when a passphrase is needed, or it is the wrong one */
export function unpackMasterKey(
  { masterKey, salt }: BackupHeader,
  passphrase: Secret<string> | undefined,
): Secret<Buffer> | undefined {
  if (masterKey === null) return undefined;
  if (salt === null) return new Secret(Buffer.from(masterKey, 'base64'));
  if (passphrase === undefined)
    throw new Error('The master key in the backup is sealed: its passphrase is needed (--passphrase)');
  const key = unseal(derive(passphrase, salt), format, masterKey);
  if (key === undefined) throw new Error('The passphrase is not the one that the backup was made with');
  return new Secret(key);
}

function derive(passphrase: Secret<string>, salt: string): Secret<Buffer> {
  return new Secret(scryptSync(passphrase.reveal().normalize('NFKC'), Buffer.from(salt, 'base64'), 32, scrypt));
}

/** Writes the file under another name and renames it once it is whole and durable. */
export class BackupWriter {
  readonly #path: string;
  readonly #partPath: string;
  readonly #stream: ReturnType<typeof createWriteStream>;
  readonly #hash = createHash('sha256');
  #failure: Error | undefined;
  #rows = 0;

  /** @throws Error when the file can't be made */
  static async create(path: string, header: BackupHeader): Promise<BackupWriter> {
    const writer = new BackupWriter(path);
    await Promise.race([
      once(writer.#stream, 'open'),
      once(writer.#stream, 'error').then(([error]) => Promise.reject(error as Error)),
    ]);
    await writer.#line({ format, formatVersion, sensitive, ...header });
    return writer;
  }

  private constructor(path: string) {
    this.#path = path;
    this.#partPath = `${path}.part`;
    this.#stream = createWriteStream(this.#partPath, { flags: 'wx', mode: 0o600, flush: true });
    this.#stream.on('error', (error) => (this.#failure = error));
  }

  get rows(): number {
    return this.#rows;
  }

  async table(table: string, columns: readonly string[]): Promise<void> {
    await this.#line({ table, columns });
  }

  async row(values: readonly unknown[]): Promise<void> {
    this.#rows += 1;
    await this.#line(values);
  }

  async finish(): Promise<void> {
    const sha256 = this.#hash.digest('hex');
    this.#stream.end(`${JSON.stringify({ rows: this.#rows, sha256 })}\n`);
    if (!this.#stream.closed) await once(this.#stream, 'close');
    if (this.#failure !== undefined) throw this.#failure;
    await rename(this.#partPath, this.#path);
    const folder = await open(dirname(this.#path));
    await folder.sync();
    await folder.close();
  }

  async discard(): Promise<void> {
    this.#stream.destroy();
    await rm(this.#partPath, { force: true });
  }

  async #line(content: unknown): Promise<void> {
    const line = `${JSON.stringify(content)}\n`;
    this.#hash.update(line);
    if (!this.#stream.write(line) && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#stream.once('drain', resolve);
        this.#stream.once('error', () => resolve());
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }
}

/** Reads a whole backup, checks it, and returns its header. @throws Error that says what is wrong with the file */
export async function verifyBackup(
  path: string,
  file: FileHandle,
): Promise<{ readonly header: BackupHeader; readonly rows: number; readonly sha256: string }> {
  const hash = createHash('sha256');
  let header: BackupHeader | undefined;
  let rows = 0;
  let end: { rows: number; sha256: string } | undefined;
  for await (const line of lines(path, file)) {
    if (end !== undefined) throw damaged(path, 'something follows its end');
    if (header === undefined) {
      header = parseHeader(path, line);
    } else if (line.startsWith('[')) {
      rows += 1;
    } else if (line.startsWith('{"rows":')) {
      end = JSON.parse(line) as { rows: number; sha256: string };
      continue;
    }
    hash.update(line).update('\n');
  }
  if (header === undefined) throw damaged(path, 'it is empty');
  if (end === undefined) throw damaged(path, 'its end is missing');
  const sha256 = hash.digest('hex');
  if (end.rows !== rows || end.sha256 !== sha256) throw damaged(path, 'its checksum is wrong');
  return { header, rows, sha256 };
}

/** The tables and rows of a backup that was verified. @throws Error when it is not what was verified */
export async function* readBackup(path: string, file: FileHandle, sha256: string): AsyncGenerator<BackupLine> {
  const hash = createHash('sha256');
  let first = true;
  for await (const line of lines(path, file)) {
    if (!first && line.startsWith('{"rows":')) {
      if (hash.digest('hex') !== sha256) throw damaged(path, 'it was changed while it was read');
      return;
    }
    hash.update(line).update('\n');
    if (!first) {
      const content = JSON.parse(line) as { table: string; columns: string[] } | (string | number | null)[];
      yield Array.isArray(content) ? { kind: 'row', values: content } : { kind: 'table', ...content };
    }
    first = false;
  }
  throw damaged(path, 'its end is missing');
}

async function* lines(path: string, file: FileHandle): AsyncGenerator<string> {
  // Not by readline, which ends lines at U+2028 as well.
  const input: AsyncIterable<string> = file.createReadStream({
    encoding: 'utf8',
    highWaterMark: 1 << 18,
    start: 0,
    autoClose: false,
  });
  let rest = '';
  for await (const text of input) {
    const parts = (rest + text).split('\n');
    rest = parts.pop() ?? '';
    if (rest.length > lineLimit) throw damaged(path, 'a line is too long');
    yield* parts;
  }
  if (rest !== '') throw damaged(path, 'its end is missing');
}

function parseHeader(path: string, line: string): BackupHeader {
  let content: { format?: unknown; formatVersion?: unknown };
  try {
    content = JSON.parse(line) as typeof content;
  } catch {
    throw damaged(path, 'it is no backup of Sallyport');
  }
  if (content.format !== format) throw damaged(path, 'it is no backup of Sallyport');
  if (content.formatVersion !== formatVersion) {
    throw damaged(path, `its format ${String(content.formatVersion)} is one that this program does not know`);
  }
  return content as unknown as BackupHeader;
}

function damaged(path: string, reason: string): Error {
  return new Error(`The backup ${path} cannot be used: ${reason}`);
}
