import type { Secret } from '@sallyport/core';
import { Kysely, sql, type Dialect, type Transaction } from 'kysely';
import { AsyncLocalStorage } from 'node:async_hooks';
import { existsSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Logger } from 'pino';
import { appendAudit } from '../audit/audit-log.ts';
import { ChangeFeed, changeRetentionMs, newestChange, type ChangeRow } from './change-feed.ts';
import { isOfTheFuture, isTransient, isUnanswered, unavailable } from './database-errors.ts';
import { describeDatabaseUrl, parseDatabaseUrl } from './database-url.ts';
import { migrate } from './migrations.ts';
import { Mutex } from './mutex.ts';
import { PostgresDialect } from './postgres-dialect.ts';
import { CHANGE_CHANNEL, PostgresListener } from './postgres-listener.ts';
import type { Database } from './schema.ts';
import { openMasterKey } from './secrets.ts';
import { SqliteDialect } from './sqlite-dialect.ts';
import type { Change, ChangeListener, Origin, Store, Writing } from './store.ts';

/** Changes that wait for their turn on this node. */
const waitingLimit = 1000;
/** Waits before a change that the database undid is tried again. */
const retryMs = [50, 250, 1000];
/** Waits before a change whose commit got no answer is looked up. */
const lookUpMs = [...retryMs, 3000];
/** The number of the advisory lock that all control nodes write under. */
const writeLock = 7_250_421;
const trimEvery = 256;
const oldestPostgres = 130_000;

export interface StoreOptions {
  /** `sqlite:PATH` or `postgresql://…` */
  readonly url: string;
  /** 32 bytes, made where the database is new. Without it no sealed secret can be had. */
  readonly masterKeyFile?: string | undefined;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly log: Pick<Logger, 'info' | 'warn' | 'error'>;
}

/**
 * Opens the database and brings it to this program's version.
 * @throws Error that says what is wrong and what to do; it never holds the URL's password
 */
export async function openStore({ url, masterKeyFile, now, log }: StoreOptions): Promise<Store> {
  const { db, dialect, scope } = openDatabase(url, log);
  try {
    if (dialect === 'postgresql') await checkServer(db);
    const { masterKey, from, to, newest } = await db.transaction().execute(async (transaction) => {
      await lockWrites(transaction, dialect);
      const migrated = await migrate(transaction, dialect, now());
      return {
        ...migrated,
        masterKey: masterKeyFile === undefined ? undefined : await openMasterKey(transaction, masterKeyFile),
        newest: await newestChange(transaction),
      };
    });
    if (from !== to) log.info({ from, to }, 'the database has been brought to a newer version');
    const store = new SqlStore(url, db, dialect, scope, masterKey, new ChangeFeed(db, newest, now, log), now);
    if (dialect === 'postgresql') await store.listen(log);
    return store;
  } catch (error) {
    await db.destroy();
    const reason =
      error instanceof Error ? (error.cause instanceof Error ? error.cause : error).message : String(error);
    const place = describeDatabaseUrl(url);
    throw new Error(`The database ${place} cannot be used: ${reason}${remedyOf(reason)}`, { cause: error });
  }
}

/** What to do where SQLite's own words don't say it. */
function remedyOf(reason: string): string {
  if (/disk is full/.test(reason)) return '; make room there, and start again';
  if (!/not a database|malformed/.test(reason)) return '';
  return '; move it away, and put a backup in its place (sallyport restore FILE)';
}

/** Marks what runs within a change, so that what would wait for itself fails instead. */
type Scope = AsyncLocalStorage<{ ended: boolean }>;

/** The database by itself: no migration, no feed of changes. */
export function openDatabase(
  url: string,
  log: Pick<Logger, 'warn'>,
): { readonly db: Kysely<Database>; readonly dialect: Store['dialect']; readonly scope: Scope } {
  const location = parseDatabaseUrl(url);
  const scope: Scope = new AsyncLocalStorage();
  let dialect: Dialect;
  if (location.dialect === 'sqlite') {
    if (!existsSync(dirname(location.path))) {
      throw new Error(`The folder of the database does not exist: mkdir -p ${dirname(location.path)}`);
    }
    dialect = new SqliteDialect({ path: location.path, beforeWriting: () => refuseInside(scope) });
  } else {
    dialect = new PostgresDialect({
      url: location.url,
      onConnectionLost: (error) => log.warn({ err: error }, 'a connection to the database is lost'),
    });
  }
  return { db: new Kysely<Database>({ dialect }), dialect: location.dialect, scope };
}

/** Lets one transaction at a time write, over all control nodes; SQLite does so by itself. */
export async function lockWrites(db: Transaction<Database>, dialect: Store['dialect']): Promise<void> {
  if (dialect === 'postgresql') await sql`select pg_advisory_xact_lock(${writeLock})`.execute(db);
}

async function checkServer(db: Kysely<Database>): Promise<void> {
  const { rows } = await sql<{ version: string; encoding: string }>`
    select current_setting('server_version_num') as version, current_setting('server_encoding') as encoding
  `.execute(db);
  const { version, encoding } = rows[0] ?? { version: '0', encoding: '' };
  if (Number(version) < oldestPostgres) throw new Error('PostgreSQL 13 or newer is needed');
  if (encoding !== 'UTF8') {
    throw new Error(`its encoding is ${encoding} and must be UTF8: createdb --encoding=UTF8 --template=template0 NAME`);
  }
}

function refuseInside(scope: Scope): void {
  if (scope.getStore()?.ended === false) {
    throw new Error('Within a change, everything that writes goes through its transaction (writing.db)');
  }
}

class SqlStore implements Store {
  readonly db: Kysely<Database>;
  readonly dialect: Store['dialect'];
  readonly masterKey: Secret<Buffer> | undefined;
  readonly now: () => number;
  readonly #url: string;
  readonly #scope: Scope;
  readonly #feed: ChangeFeed;
  readonly #mutex = new Mutex(waitingLimit);
  #listener: PostgresListener | undefined;

  constructor(
    url: string,
    db: Kysely<Database>,
    dialect: Store['dialect'],
    scope: Scope,
    masterKey: Secret<Buffer> | undefined,
    feed: ChangeFeed,
    now: () => number,
  ) {
    this.#url = url;
    this.db = db;
    this.dialect = dialect;
    this.masterKey = masterKey;
    this.now = now;
    this.#scope = scope;
    this.#feed = feed;
  }

  get version(): number {
    return this.#feed.version;
  }

  onChange(listener: ChangeListener): () => void {
    return this.#feed.listen(listener);
  }

  /** Hears of other control nodes' changes from now on. */
  async listen(log: StoreOptions['log']): Promise<void> {
    this.#listener = new PostgresListener(
      this.#url,
      (version) => {
        if (!(version <= this.#feed.version)) void this.#feed.catchUp();
      },
      () => void this.#feed.catchUp(),
      log,
    );
    await this.#listener.connect();
  }

  async write<T>(origin: Origin, work: (writing: Writing) => Promise<T>): Promise<T> {
    refuseInside(this.#scope);
    const { result, trace } = await this.#mutex.run(async () => {
      // SQLite answers at once, and a long row of changes would let nothing else happen.
      if (this.dialect === 'sqlite') await new Promise((resolve) => setImmediate(resolve));
      return this.#attempt(origin, work);
    });
    noteWritten(origin);
    if (trace !== undefined) await this.#feed.catchUp();
    return result;
  }

  async snapshot<T>(work: (db: Kysely<Database>) => Promise<T>): Promise<T> {
    const location = parseDatabaseUrl(this.#url);
    if (location.dialect === 'postgresql') {
      return this.db.transaction().setIsolationLevel('repeatable read').setAccessMode('read only').execute(work);
    }
    const db = new Kysely<Database>({ dialect: new SqliteDialect({ path: location.path, snapshot: true }) });
    try {
      return await work(db);
    } finally {
      await db.destroy();
    }
  }

  async close(): Promise<void> {
    this.#feed.close();
    await this.#listener?.close();
    await this.db.destroy();
  }

  /** Tries again what the database undid; a change whose end is unknown is looked up first. */
  async #attempt<T>(origin: Origin, work: (writing: Writing) => Promise<T>): Promise<Written<T>> {
    for (let attempt = 0; ; attempt++) {
      try {
        return await this.#writeOnce(origin, work);
      } catch (error) {
        const delay = retryMs[attempt];
        if (delay === undefined || this.dialect === 'sqlite' || !isTransient(error)) throw error;
        await new Promise((resolve) => setTimeout(resolve, delay));
      }
    }
  }

  async #writeOnce<T>(origin: Origin, work: (writing: Writing) => Promise<T>): Promise<Written<T>> {
    const transaction = await this.db.startTransaction().execute();
    const scope = { ended: false };
    let written: Written<T>;
    let transactionId: string | undefined;
    try {
      await lockWrites(transaction, this.dialect);
      if (this.dialect === 'postgresql') transactionId = await currentTransactionId(transaction);
      const pending: Omit<Change, 'version'>[] = [];
      const now = this.now();
      const writing: Writing = {
        db: transaction,
        now,
        pending,
        audit: (action, target, before, after) => appendAudit(transaction, now, origin, action, target, before, after),
        changed: (kind, id) => {
          if (!pending.some((change) => change.kind === kind && change.id === id)) pending.push({ kind, id });
        },
      };
      const result = await this.#scope.run(scope, () => work(writing));
      written = { result, trace: await this.#appendChanges(transaction, pending, now) };
    } catch (error) {
      // The first fault is the one that counts; a connection that is lost undoes the transaction by itself.
      await transaction
        .rollback()
        .execute()
        .catch(() => undefined);
      throw error;
    } finally {
      scope.ended = true;
    }
    try {
      await transaction.commit().execute();
    } catch (error) {
      if (transactionId === undefined || !(isTransient(error) || isUnanswered(error))) throw error;
      const isMade = await this.#wasCommitted(transactionId, written.trace, error).catch((unknown: unknown) => {
        noteWritten(origin);
        throw unknown;
      });
      if (!isMade) throw error;
    }
    return written;
  }

  /** Returns the newest row, if there is one. */
  async #appendChanges(
    db: Transaction<Database>,
    pending: readonly Omit<Change, 'version'>[],
    at: number,
  ): Promise<ChangeRow | undefined> {
    let newest: ChangeRow | undefined;
    for (let from = 0; from < pending.length; from += 1000) {
      const rows = await db
        .insertInto('change')
        .values(pending.slice(from, from + 1000).map(({ kind, id }) => ({ kind, id, at })))
        .returning(['version', 'kind', 'id', 'at'])
        .execute();
      for (const row of rows) if (newest === undefined || row.version > newest.version) newest = row;
    }
    if (newest === undefined) return undefined;
    const { version } = newest;
    if (version % trimEvery < pending.length) {
      await db
        .deleteFrom('change')
        .where('at', '<', at - changeRetentionMs)
        .execute();
    }
    if (this.dialect === 'postgresql') {
      await sql`select pg_notify(${CHANGE_CHANNEL}, ${String(version)})`.execute(db);
    }
    return newest;
  }

  /**
   * Whether a transaction whose commit got no answer took effect. A server that crashed may have forgotten it, and given its
   * number to another one since: `trace` is a row that none but this one wrote. One without changes is taken by its number.
   * @throws ApiError `unavailable` when nobody can tell now
   */
  async #wasCommitted(transactionId: string, trace: ChangeRow | undefined, cause: unknown): Promise<boolean> {
    for (const delay of lookUpMs) {
      await new Promise((resolve) => setTimeout(resolve, delay));
      try {
        const { rows } = await sql<{ status: string | null }>`
          select pg_xact_status(${transactionId}::xid8) as status
        `.execute(this.db);
        const status = rows[0]?.status;
        if (status === 'committed') return trace === undefined || (await this.#isThere(trace));
        if (status === 'aborted') return false;
      } catch (error) {
        if (isOfTheFuture(error)) return false;
        if (!isTransient(error) && !isUnanswered(error)) throw error;
      }
    }
    const error = unavailable('The connection to the database broke off; the change may have been made', cause);
    // What may have been done is not done again.
    error.cause = new Error('The end of a transaction is unknown', { cause });
    throw error;
  }

  async #isThere({ version, kind, id, at }: ChangeRow): Promise<boolean> {
    const found = this.db.selectFrom('change').select('version').where('version', '=', version);
    return (await found.where('kind', '=', kind).where('id', '=', id).where('at', '=', at).executeTakeFirst()) !== undefined; // prettier-ignore
  }
}

interface Written<T> {
  readonly result: T;
  /** The newest change, if it made any. */
  readonly trace: ChangeRow | undefined;
}

/** Something was made for this request, or nobody knows that it was not. */
function noteWritten({ outcome }: Origin): void {
  if (outcome !== undefined) outcome.written = true;
}

async function currentTransactionId(db: Transaction<Database>): Promise<string> {
  const { rows } = await sql<{ id: string }>`select pg_current_xact_id()::text as id`.execute(db);
  return rows[0]?.id ?? '';
}
