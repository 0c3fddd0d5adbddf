import type { Secret } from '@sallyport/core';
import { sql, type Kysely } from 'kysely';
import { databaseVersion } from '../store/migrations.ts';
import type { Database } from '../store/schema.ts';
import type { Store } from '../store/store.ts';
import { BackupWriter, packMasterKey } from './backup-file.ts';
import { BACKED_UP } from './tables.ts';

const pageSize = 1000;

export interface BackupOptions {
  /** Seals the master key in the file. */
  readonly passphrase?: Secret<string> | undefined;
  /** Called now and then with the rows that are done, of all. */
  readonly onProgress?: (rows: number, of: number) => void;
  /** Runs what opens, renames or removes the file itself; for who reads the database as another user. */
  readonly onFile?: FileWork;
}

export type FileWork = <T>(work: () => Promise<T>) => Promise<T>;

export const justDo: FileWork = (work) => work();

/**
 * Writes the whole database as it is at one moment to a new file (mode 0600), while the service runs on. The file holds
 * the master key, if the store was opened with it. A file at `path` is replaced once the new one is whole.
 * @throws Error, leaving what was there, when the file can't be written or the database doesn't answer
 */
export async function backup(store: Store, path: string, options: BackupOptions = {}): Promise<{ rows: number }> {
  return store.snapshot(async (db) => {
    const schema = await databaseVersion(db, store.dialect);
    const total = await countRows(db);
    const { onFile = justDo } = options;
    const header = {
      schema,
      createdAt: new Date(store.now()).toISOString(),
      dialect: store.dialect,
      ...packMasterKey(store.masterKey, options.passphrase),
    };
    const writer = await onFile(() => BackupWriter.create(path, header));
    try {
      for (const [table, key] of BACKED_UP) {
        let columns: string[] | undefined;
        for await (const row of tableRows(db, table, key)) {
          if (columns === undefined) {
            columns = Object.keys(row);
            await writer.table(table, columns);
          }
          await writer.row(columns.map((column) => row[column]));
          if (writer.rows % pageSize === 0) options.onProgress?.(writer.rows, total);
        }
      }
      options.onProgress?.(writer.rows, total);
      await onFile(() => writer.finish());
      return { rows: writer.rows };
    } catch (error) {
      await onFile(() => writer.discard());
      throw error;
    }
  });
}

async function* tableRows(
  db: Kysely<Database>,
  table: string,
  key: readonly string[],
): AsyncGenerator<Record<string, unknown>> {
  const order = sql.join(key.map((column) => sql.ref(column)));
  let after: unknown[] | undefined;
  for (;;) {
    const where = after === undefined ? sql`` : sql`where (${order}) > (${sql.join(after)})`;
    const { rows } = await sql<Record<string, unknown>>`
      select * from ${sql.table(table)} ${where} order by ${order} limit ${sql.lit(pageSize)}
    `.execute(db);
    yield* rows;
    const last = rows.at(-1);
    if (last === undefined || rows.length < pageSize) return;
    after = key.map((column) => last[column]);
    // SQLite answers at once; others get their turn between two pages.
    await new Promise((resolve) => setImmediate(resolve));
  }
}

async function countRows(db: Kysely<Database>): Promise<number> {
  let total = 0;
  for (const [table] of BACKED_UP) {
    const { rows } = await sql<{ count: number }>`select count(*) as count from ${sql.table(table)}`.execute(db);
    total += rows[0]?.count ?? 0;
  }
  return total;
}
