/**
 * SQLite through `node:sqlite`: one connection writes, another one reads, so that reading goes on during a transaction and
 * never sees what is not yet committed. A transaction has the writing connection for itself; a single statement that
 * writes waits for it in line.
 */
import {
  SelectQueryNode,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
} from 'kysely';
import { closeSync, openSync } from 'node:fs';
import { DatabaseSync, type SQLInputValue, type StatementSync } from 'node:sqlite';
import { translateSqliteError, unavailable } from './database-errors.ts';
import { Mutex } from './mutex.ts';

/** Statements that wait for the writing connection. */
const waitingLimit = 10_000;
/** Prepared statements kept for each connection; the longest unused goes first. */
const statementLimit = 500;
/** How long another process (a backup, a command) may hold the lock; this one stands still meanwhile. */
const busyTimeoutMs = 2000;

export interface SqliteDialectOptions {
  readonly path: string;
  /** Only reads, and sees the database as it is when first asked. */
  readonly snapshot?: boolean;
  /** Called before a statement outside of a transaction waits for its turn to write; may throw. */
  readonly beforeWriting?: () => void;
}

export class SqliteDialect implements Dialect {
  readonly #options: SqliteDialectOptions;

  constructor(options: SqliteDialectOptions) {
    this.#options = options;
  }

  createDriver(): Driver {
    return new SqliteDriver(this.#options);
  }

  createQueryCompiler(): SqliteQueryCompiler {
    return new SqliteQueryCompiler();
  }

  createAdapter(): SqliteAdapter {
    return new SqliteAdapter();
  }

  createIntrospector(db: Kysely<unknown>): SqliteIntrospector {
    return new SqliteIntrospector(db);
  }
}

class SqliteDriver implements Driver {
  readonly #options: SqliteDialectOptions;
  readonly mutex = new Mutex(waitingLimit);
  #writer: Session | undefined;
  #reader: Session | undefined;

  constructor(options: SqliteDialectOptions) {
    this.#options = options;
  }

  init(): Promise<void> {
    const { path, snapshot } = this.#options;
    if (snapshot === true) {
      this.#reader = new Session(path, true, 'BEGIN');
      return Promise.resolve();
    }
    // SQLite gives its journal files the mode of the database's file.
    closeSync(openSync(path, 'a', 0o600));
    const pragmas = 'PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON';
    try {
      this.#writer = new Session(path, false, pragmas);
      this.#reader = new Session(path, true, '');
    } catch (error) {
      this.#writer?.close();
      throw translateSqliteError(error);
    }
    return Promise.resolve();
  }

  acquireConnection(): Promise<SqliteConnection> {
    if (this.#reader === undefined) throw new Error('The database is closed');
    return Promise.resolve(new SqliteConnection(this, this.#writer ?? this.#reader, this.#reader));
  }

  async beginTransaction(connection: SqliteConnection): Promise<void> {
    await connection.begin();
  }

  commitTransaction(connection: SqliteConnection): Promise<void> {
    connection.end('COMMIT');
    return Promise.resolve();
  }

  rollbackTransaction(connection: SqliteConnection): Promise<void> {
    connection.end('ROLLBACK');
    return Promise.resolve();
  }

  releaseConnection(): Promise<void> {
    return Promise.resolve();
  }

  async destroy(): Promise<void> {
    await this.mutex.lock();
    const [writer, reader] = [this.#writer, this.#reader];
    this.#writer = this.#reader = undefined;
    this.mutex.unlock();
    reader?.close();
    writer?.close();
  }

  checkBeforeWriting(): void {
    this.#options.beforeWriting?.();
    if (this.#writer === undefined) throw new Error('The database is closed');
  }
}

class SqliteConnection implements DatabaseConnection {
  readonly #driver: SqliteDriver;
  readonly #writer: Session;
  readonly #reader: Session;
  #inTransaction = false;

  constructor(driver: SqliteDriver, writer: Session, reader: Session) {
    this.#driver = driver;
    this.#writer = writer;
    this.#reader = reader;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    if (this.#inTransaction) {
      // After some faults SQLite undoes the transaction by itself; what came then would commit one by one.
      if (!this.#writer.isTransaction) throw unavailable('The database undid the change', undefined);
      return this.#writer.run(query);
    }
    if (isReading(query)) return this.#reader.run(query);
    this.#driver.checkBeforeWriting();
    return this.#driver.mutex.run(() => this.#writer.run(query));
  }

  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    await Promise.reject(new Error('Long results are read in pages'));
  }

  async begin(): Promise<void> {
    await this.#driver.mutex.lock();
    try {
      this.#writer.exec('BEGIN IMMEDIATE');
      this.#inTransaction = true;
    } catch (error) {
      this.#driver.mutex.unlock();
      throw error;
    }
  }

  end(how: 'COMMIT' | 'ROLLBACK'): void {
    if (!this.#inTransaction) return;
    this.#inTransaction = false;
    try {
      if (this.#writer.isTransaction) this.#writer.exec(how);
      else if (how === 'COMMIT') throw unavailable('The database undid the change', undefined);
    } finally {
      try {
        // A commit that failed leaves the transaction open.
        if (this.#writer.isTransaction) this.#writer.exec('ROLLBACK');
      } finally {
        this.#driver.mutex.unlock();
      }
    }
  }
}

interface Prepared {
  readonly statement: StatementSync;
  readonly answers: boolean;
}

/** A connection with its prepared statements. */
class Session {
  readonly #db: DatabaseSync;
  readonly #prepared = new Map<string, Prepared>();

  constructor(path: string, readOnly: boolean, pragmas: string) {
    this.#db = new DatabaseSync(path, { readOnly, timeout: busyTimeoutMs });
    try {
      this.#db.exec(pragmas);
    } catch (error) {
      this.#db.close();
      throw error;
    }
  }

  get isTransaction(): boolean {
    return this.#db.isTransaction;
  }

  exec(sql: string): void {
    try {
      this.#db.exec(sql);
    } catch (error) {
      throw translateSqliteError(error);
    }
  }

  run<R>(query: CompiledQuery): QueryResult<R> {
    try {
      const { statement, answers } = this.#prepare(query.sql);
      const parameters = query.parameters.map(bindable);
      // Rows come without a prototype; callers get ordinary objects from every database.
      if (answers) return { rows: statement.all(...parameters).map((row) => ({ ...row })) as R[] };
      const { changes } = statement.run(...parameters);
      return { rows: [], numAffectedRows: BigInt(changes) };
    } catch (error) {
      throw translateSqliteError(error);
    }
  }

  close(): void {
    this.#db.close();
  }

  #prepare(sql: string): Prepared {
    let prepared = this.#prepared.get(sql);
    if (prepared === undefined) {
      const statement = this.#db.prepare(sql);
      prepared = { statement, answers: statement.columns().length > 0 };
      for (const oldest of this.#prepared.keys()) {
        if (this.#prepared.size < statementLimit) break;
        this.#prepared.delete(oldest);
      }
    } else {
      this.#prepared.delete(sql);
    }
    this.#prepared.set(sql, prepared);
    return prepared;
  }
}

/** A number is bound as floating point by itself, and `? + 1` would give 2.0. */
function bindable(value: unknown): SQLInputValue {
  return Number.isSafeInteger(value) ? BigInt(value as number) : (value as SQLInputValue);
}

function isReading(query: CompiledQuery): boolean {
  return SelectQueryNode.is(query.query) || (query.query.kind === 'RawNode' && /^\s*select\b/i.test(query.sql));
}
