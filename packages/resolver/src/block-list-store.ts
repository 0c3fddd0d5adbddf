import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { get as getPlain, type IncomingMessage } from 'node:http';
import { get as getEncrypted } from 'node:https';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { SecureContext } from 'node:tls';
import { BlockListReader } from './block-list.ts';
import { NameSetBuilder, type NameSet } from './name-set.ts';

export interface BlockListStoreOptions {
  /** Where the last good copy of each list lies. */
  readonly folder: string;
  readonly onNames: (names: NameSet) => void;
  /** What a person should know; lists are told of by their URL. */
  readonly onProblem: (message: string) => void;
  readonly context?: SecureContext;
  readonly refreshMs?: number;
  readonly retryMs?: number;
}

export const MAX_LIST_BYTES = 32 * 1024 * 1024;
const DAY_MS = 24 * 3600 * 1000;
const FIRST_RETRY_MS = 5 * 60 * 1000;
const MAX_REDIRECTS = 5;
/** From the first byte asked for to the last. */
const FETCH_MS = 120_000;

/** Keeps block lists: fetches each daily, and has its last good copy where that fails. */
export class BlockListStore {
  readonly #options: BlockListStoreOptions;
  readonly #timers = new Map<string, NodeJS.Timeout>();
  readonly #stop = new AbortController();
  #urls: readonly string[] = [];
  /** One after the other: reading, fetching and sorting take memory. */
  #work: Promise<void> = Promise.resolve();

  constructor(options: BlockListStoreOptions) {
    this.#options = options;
  }

  /** From now on these, at once as far as there are copies. */
  setUrls(urls: readonly string[]): void {
    this.#urls = [...new Set(urls)];
    for (const timer of this.#timers.values()) clearTimeout(timer);
    this.#timers.clear();
    this.#do(async () => {
      await this.#removeOthers();
      await this.#load();
      for (const url of this.#urls) this.#schedule(url, await this.#dueInMs(url));
    });
  }

  close(): void {
    this.#stop.abort();
    for (const timer of this.#timers.values()) clearTimeout(timer);
  }

  #do(work: () => Promise<void>): void {
    this.#work = this.#work
      .then(() => (this.#stop.signal.aborted ? undefined : work()))
      .catch((error: unknown) => {
        if (this.#stop.signal.aborted) return;
        this.#options.onProblem(`the block lists can't be kept: ${error instanceof Error ? error.message : ''}`);
      });
  }

  #schedule(url: string, inMs: number, retryMs = this.#options.retryMs ?? FIRST_RETRY_MS): void {
    if (this.#stop.signal.aborted || !this.#urls.includes(url)) return;
    const refreshMs = this.#options.refreshMs ?? DAY_MS;
    const timer = setTimeout(() => {
      this.#do(async () => {
        if (!this.#urls.includes(url)) return;
        try {
          await this.#fetch(url);
          await this.#load();
          this.#schedule(url, refreshMs);
        } catch (error) {
          if (this.#stop.signal.aborted) return;
          const reason = error instanceof Error ? error.message : String(error);
          this.#options.onProblem(`the block list ${url} can't be renewed: ${reason}`);
          this.#schedule(url, retryMs, Math.min(retryMs * 2, refreshMs));
        }
      });
    }, inMs).unref();
    this.#timers.set(url, timer);
  }

  async #dueInMs(url: string): Promise<number> {
    const copy = await stat(this.#path(url)).catch(() => undefined);
    if (copy === undefined) return 0;
    return Math.min(Math.max(copy.mtimeMs + (this.#options.refreshMs ?? DAY_MS) - Date.now(), 0), DAY_MS);
  }

  #path(url: string): string {
    return join(this.#options.folder, `${createHash('sha256').update(url).digest('hex').slice(0, 32)}.list`);
  }

  async #removeOthers(): Promise<void> {
    const kept = new Set(this.#urls.map((url) => this.#path(url)));
    for (const name of await readdir(this.#options.folder)) {
      const path = join(this.#options.folder, name);
      if (/\.(?:list|new)$/.test(name) && !kept.has(path)) await rm(path, { force: true });
    }
  }

  /** All copies to one set. */
  async #load(): Promise<void> {
    const builder = new NameSetBuilder();
    let isFull = false;
    for (const url of this.#urls) {
      const reader = new BlockListReader((name) => builder.add(name));
      try {
        for await (const chunk of createReadStream(this.#path(url))) reader.push(chunk as Buffer);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
      reader.end();
      isFull ||= reader.isFull;
    }
    if (isFull) this.#options.onProblem('the block lists hold too many names; the last of them are left out');
    this.#options.onNames(builder.finish());
  }

  async #fetch(url: string): Promise<void> {
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(FETCH_MS)]);
    const response = await open(url, signal, this.#options.context);
    const path = this.#path(url);
    const reader = new BlockListReader(() => true);
    let bytes = 0;
    const checked = async function* (chunks: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
      for await (const chunk of chunks) {
        bytes += chunk.length;
        if (bytes > MAX_LIST_BYTES) throw new Error(`it is longer than ${MAX_LIST_BYTES} bytes`);
        reader.push(chunk);
        yield chunk;
      }
      reader.end();
    };
    try {
      await pipeline(response, checked, createWriteStream(`${path}.new`, { mode: 0o600 }), { signal });
      if (!reader.isList) throw new Error('it is no list of names');
      await rename(`${path}.new`, path);
    } catch (error) {
      await rm(`${path}.new`, { force: true });
      throw error;
    }
  }
}

async function open(first: string, signal: AbortSignal, context: SecureContext | undefined): Promise<IncomingMessage> {
  let url = new URL(first);
  for (let i = 0; i <= MAX_REDIRECTS; i++) {
    const isEncrypted = url.protocol === 'https:';
    // A list by HTTPS is not fetched without, wherever it is said to be now.
    if (!isEncrypted && (url.protocol !== 'http:' || new URL(first).protocol === 'https:'))
      throw new Error('it leads to an address that is no URL of HTTPS');
    const { promise, resolve, reject } = Promise.withResolvers<IncomingMessage>();
    const headers = { 'user-agent': 'sallyport', accept: 'text/plain, */*;q=0.1' };
    const request = isEncrypted
      ? getEncrypted(url, { signal, headers, ...(context === undefined ? {} : { secureContext: context }) }, resolve)
      : getPlain(url, { signal, headers }, resolve);
    request.on('error', reject);
    const response = await promise;
    const { statusCode = 0, headers: answered } = response;
    if (statusCode === 200) return response;
    response.destroy();
    if (![301, 302, 303, 307, 308].includes(statusCode) || answered.location === undefined)
      throw new Error(`the server answered with status ${statusCode}`);
    url = new URL(answered.location, url);
  }
  throw new Error('it leads from one address to the next without an end');
}
