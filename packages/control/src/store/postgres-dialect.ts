/** PostgreSQL through `pg`: a pool of connections; a transaction has one of them, a single statement takes any. */
import {
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  SelectQueryNode,
  type CompiledQuery,
  type DatabaseConnection,
  type Dialect,
  type Driver,
  type Kysely,
  type QueryResult,
} from 'kysely';
import pg from 'pg';
import { isConnectionLost, translatePostgresError } from './database-errors.ts';

/** Connections of one control node; changes are serialised and take one at a time. */
const poolSize = 8;
/** How long a dead or overloaded server can hold up who asks it. */
const connectTimeoutMs = 5000;
const statementTimeoutMs = 30_000;
/** A control node that hangs in the middle of a change gives the lock up to the others after this time. */
const idleInTransactionMs = 30_000;

// Object identifiers of types (pg_type.dat): bigint, and numeric, as which sums of bigint come.
const oidInt8 = 20;
const oidNumeric = 1700;

/** Options that every connection has. @throws Error without the URL when it makes no sense. */
export function connectionOptions(url: string): pg.ClientConfig {
  const options: pg.ClientConfig = {
    connectionString: url,
    application_name: 'sallyport',
    connectionTimeoutMillis: connectTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: 10_000,
    statement_timeout: statementTimeoutMs,
    lock_timeout: connectTimeoutMs,
    idle_in_transaction_session_timeout: idleInTransactionMs,
    query_timeout: statementTimeoutMs + connectTimeoutMs,
    types: {
      getTypeParser: (oid: number, format?: string) =>
        oid === oidInt8 || oid === oidNumeric ? (toNumber as never) : usualParser(oid, format),
    },
  };
  try {
    new pg.Client(options);
  } catch {
    // The parser's own error can quote the URL, password included.
    throw new Error('The database URL cannot be read; its form is postgresql://USER:PASSWORD@HOST:PORT/DATABASE');
  }
  return options;
}

const usualParser = pg.types.getTypeParser as (oid: number, format?: string) => never;

export interface PostgresDialectOptions {
  readonly url: string;
  /** An idle connection was lost; the pool opens another one when it is needed. */
  readonly onConnectionLost: (error: Error) => void;
}

export class PostgresDialect implements Dialect {
  readonly #options: PostgresDialectOptions;

  constructor(options: PostgresDialectOptions) {
    this.#options = options;
  }

  createDriver(): Driver {
    return new PostgresDriver(this.#options);
  }

  createQueryCompiler(): PostgresQueryCompiler {
    return new PostgresQueryCompiler();
  }

  createAdapter(): PostgresAdapter {
    return new PostgresAdapter();
  }

  createIntrospector(db: Kysely<unknown>): PostgresIntrospector {
    return new PostgresIntrospector(db);
  }
}

class PostgresDriver implements Driver {
  readonly #pool: pg.Pool;

  constructor({ url, onConnectionLost }: PostgresDialectOptions) {
    this.#pool = new pg.Pool({ ...connectionOptions(url), max: poolSize, idleTimeoutMillis: 60_000 });
    this.#pool.on('error', onConnectionLost);
  }

  async init(): Promise<void> {
    // The pool connects when it is first asked.
  }

  acquireConnection(): Promise<PostgresConnection> {
    return Promise.resolve(new PostgresConnection(this.#pool));
  }

  async beginTransaction(
    connection: PostgresConnection,
    settings: { readonly isolationLevel?: string; readonly accessMode?: string },
  ): Promise<void> {
    // By a server's own default, a transaction could see what was there before it got the lock to write.
    const { isolationLevel = 'read committed', accessMode = '' } = settings;
    await connection.begin(`begin isolation level ${isolationLevel} ${accessMode}`);
  }

  async commitTransaction(connection: PostgresConnection): Promise<void> {
    await connection.end('commit');
  }

  async rollbackTransaction(connection: PostgresConnection): Promise<void> {
    await connection.end('rollback');
  }

  async releaseConnection(connection: PostgresConnection): Promise<void> {
    await connection.end('rollback');
  }

  async destroy(): Promise<void> {
    await this.#pool.end();
  }
}

class PostgresConnection implements DatabaseConnection {
  readonly #pool: pg.Pool;
  #session: Session | undefined;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    try {
      if (this.#session !== undefined) return await this.#session.query<R>(query.sql, query.parameters);
      try {
        return await this.#executeAlone<R>(query);
      } catch (error) {
        // A pooled connection may have died unnoticed; what only reads is asked again on a fresh one.
        if (!isConnectionLost(error) || !SelectQueryNode.is(query.query)) throw error;
        return await this.#executeAlone<R>(query);
      }
    } catch (error) {
      throw translatePostgresError(error);
    }
  }

  async *streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    await Promise.reject(new Error('Long results are read in pages'));
  }

  async begin(sql: string): Promise<void> {
    try {
      const session = await Session.take(this.#pool);
      try {
        await session.query(sql, []);
      } catch (error) {
        session.release(error);
        throw error;
      }
      this.#session = session;
    } catch (error) {
      throw translatePostgresError(error);
    }
  }

  async end(how: 'commit' | 'rollback'): Promise<void> {
    const session = this.#session;
    if (session === undefined) return;
    this.#session = undefined;
    try {
      const { command } = await session.query(how, []);
      // PostgreSQL answers COMMIT with ROLLBACK when a statement of the transaction had failed.
      if (how === 'commit' && command !== 'COMMIT') throw new Error('The transaction had failed and was undone');
      session.release();
    } catch (error) {
      session.release(error);
      if (how === 'commit') throw translatePostgresError(error);
    }
  }

  async #executeAlone<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const session = await Session.take(this.#pool);
    try {
      const result = await session.query<R>(query.sql, query.parameters);
      session.release();
      return result;
    } catch (error) {
      // A connection whose statement was refused serves on.
      session.release(/^[0-9A-Z]{5}$/.test(String((error as { code?: unknown }).code)) ? undefined : error);
      throw error;
    }
  }
}

/** A connection taken from the pool. */
class Session {
  readonly #client: pg.PoolClient;
  #lost: Error | undefined;
  readonly #onError = (error: Error): void => {
    this.#lost = error;
  };

  private constructor(client: pg.PoolClient) {
    this.#client = client;
    // The pool listens only while a connection is idle; without a listener a lost one would end the process.
    client.on('error', this.#onError);
  }

  static async take(pool: pg.Pool): Promise<Session> {
    return new Session(await pool.connect());
  }

  async query<R>(sql: string, parameters: readonly unknown[]): Promise<QueryResult<R> & { readonly command: string }> {
    const { command, rowCount, rows } = await this.#client.query<R & pg.QueryResultRow>(sql, [...parameters]);
    const affects = command === 'INSERT' || command === 'UPDATE' || command === 'DELETE';
    return affects ? { command, rows, numAffectedRows: BigInt(rowCount ?? 0) } : { command, rows };
  }

  /** Gives the connection back, or closes it where something went wrong with it. */
  release(error?: unknown): void {
    this.#client.off('error', this.#onError);
    if (error !== undefined || this.#lost !== undefined) this.#client.on('error', () => undefined);
    this.#client.release(error !== undefined || this.#lost !== undefined);
  }
}

function toNumber(text: string): number {
  const value = Number(text);
  if (Math.abs(value) > Number.MAX_SAFE_INTEGER) throw new RangeError('The database holds a number beyond 2^53');
  return value;
}
