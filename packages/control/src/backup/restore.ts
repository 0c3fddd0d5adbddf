import type { Secret } from '@sallyport/core';
import { sql, type Kysely, type Transaction } from 'kysely';
import { existsSync, renameSync } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { appendAudit } from '../audit/audit-log.ts';
import { EVERYTHING } from '../store/change-feed.ts';
import { lockWrites, openDatabase, type StoreOptions } from '../store/open-store.ts';
import { currentVersion, migrate } from '../store/migrations.ts';
import { CHANGE_CHANNEL } from '../store/postgres-listener.ts';
import type { Database } from '../store/schema.ts';
import { readMasterKey, writeMasterKey } from '../store/secrets.ts';
import { SYSTEM, type Store } from '../store/store.ts';
import { readBackup, unpackMasterKey, verifyBackup, type BackupHeader } from './backup-file.ts';
import { justDo, type FileWork } from './backup.ts';
import { BACKED_UP, LEFT_OUT } from './tables.ts';

/** Rows in one statement; the databases allow some 32,000 values. */
const batchSize = 500;

export interface RestoreOptions extends StoreOptions {
  readonly masterKeyFile: string;
  readonly passphrase?: Secret<string> | undefined;
  /** Replaces what the database holds. The former master key, where it is another one, is kept beside as `….replaced`. */
  readonly force?: boolean;
  readonly onProgress?: (rows: number, of: number) => void;
  /** Runs what opens the file; for who writes the database as another user. */
  readonly onFile?: FileWork;
}

/**
 * Puts a backup into an empty database of either kind, brings it to this program's version, and writes the master key.
 * Nothing is touched before the whole file was verified, and the database is changed all at once or not at all.
 * @throws Error that says what is wrong and what to do
 */
export async function restore(path: string, options: RestoreOptions): Promise<{ header: BackupHeader; rows: number }> {
  const { onFile = justDo } = options;
  const file = await onFile(() => open(path));
  try {
    return await restoreFile(path, file, options);
  } finally {
    await file.close();
  }
}

async function restoreFile(
  path: string,
  file: FileHandle,
  options: RestoreOptions,
): Promise<{ header: BackupHeader; rows: number }> {
  const { header, rows, sha256 } = await verifyBackup(path, file);
  if (header.schema > currentVersion) {
    throw new Error(
      `The backup was made by a newer Sallyport (its database is of version ${header.schema}, this program knows ` +
        `versions up to ${currentVersion}): restore it with that one`,
    );
  }
  const masterKey = unpackMasterKey(header, options.passphrase);
  const presentKey = readMasterKey(options.masterKeyFile);
  const sameKey = masterKey !== undefined && presentKey?.reveal().equals(masterKey.reveal()) === true;
  if (presentKey !== undefined && masterKey !== undefined && !sameKey && options.force !== true) {
    throw new Error(`There is another master key at ${options.masterKeyFile}: --force replaces it`);
  }
  const { db, dialect } = openDatabase(options.url, options.log);
  try {
    await db.transaction().execute(async (transaction) => {
      await lockWrites(transaction, dialect);
      const newest = await clear(transaction, dialect, options.force === true);
      await migrate(transaction, dialect, options.now(), header.schema);
      for (const table of [...tables].reverse()) await sql`delete from ${sql.table(table)}`.execute(transaction);
      await insertRows(transaction, { path, file, sha256 }, (done) => options.onProgress?.(done, rows));
      await migrate(transaction, dialect, options.now());
      const target = { kind: 'backup', id: null, name: header.createdAt };
      await appendAudit(transaction, options.now(), SYSTEM, 'backup.restore', target, undefined, { rows });
      await announce(transaction, dialect, newest, options.now());
    });
    if (masterKey !== undefined && !sameKey) {
      if (existsSync(options.masterKeyFile)) renameSync(options.masterKeyFile, `${options.masterKeyFile}.replaced`);
      writeMasterKey(options.masterKeyFile, masterKey);
    }
  } finally {
    await db.destroy();
  }
  return { header, rows };
}

const tables: readonly string[] = [...BACKED_UP.map(([table]) => table), ...Object.keys(LEFT_OUT)];

/** Removes this service's tables where that is wanted. Returns the newest change that there was. */
async function clear(db: Transaction<Database>, dialect: Store['dialect'], force: boolean): Promise<number> {
  const existing = await tableNames(db, dialect);
  if (existing.length > 0 && !force) {
    throw new Error('The database is not empty: --force replaces what it holds');
  }
  let newest = 0;
  if (existing.includes('change')) {
    const { rows } = await sql<{ version: number | null }>`select max(version) as version from change`.execute(db);
    newest = rows[0]?.version ?? 0;
  }
  for (const table of [...tables, 'migration'].reverse()) {
    if (existing.includes(table)) await sql`drop table ${sql.table(table)}`.execute(db);
  }
  return newest;
}

async function tableNames(db: Kysely<Database>, dialect: Store['dialect']): Promise<string[]> {
  const { rows } =
    dialect === 'sqlite'
      ? await sql<{ name: string }>`
          select name from sqlite_schema where type = 'table' and name not like 'sqlite%'
        `.execute(db)
      : await sql<{ name: string }>`
          select tablename as name from pg_tables where schemaname = current_schema()
        `.execute(db);
  return rows.map(({ name }) => name);
}

async function insertRows(
  db: Transaction<Database>,
  from: { readonly path: string; readonly file: FileHandle; readonly sha256: string },
  onProgress: (rows: number) => void,
): Promise<void> {
  let target = sql``;
  let batch: (readonly unknown[])[] = [];
  let done = 0;
  const flush = async (): Promise<void> => {
    if (batch.length === 0) return;
    const values = sql.join(batch.map((row) => sql`(${sql.join(row)})`));
    await sql`insert into ${target} values ${values}`.execute(db);
    done += batch.length;
    batch = [];
    onProgress(done);
  };
  for await (const line of readBackup(from.path, from.file, from.sha256)) {
    if (line.kind === 'table') {
      await flush();
      if (!tables.includes(line.table)) throw new Error(`The backup holds a table that is unknown: ${line.table}`);
      target = sql`${sql.table(line.table)} (${sql.join(line.columns.map((column) => sql.ref(column)))})`;
    } else {
      batch.push(line.values);
      if (batch.length === batchSize) await flush();
    }
  }
  await flush();
}

/** Continues the count of changes behind what was restored and what was there, and tells control nodes to read all again. */
async function announce(db: Transaction<Database>, dialect: Store['dialect'], newest: number, at: number) {
  const row = await db
    .selectFrom('change')
    .select(({ fn }) => fn.max('version').as('version'))
    .executeTakeFirst();
  const version = Math.max(newest, row?.version ?? 0) + 1;
  await sql`insert into change (version, kind, id, at) values (${version}, ${EVERYTHING}, '', ${at})`.execute(db);
  if (dialect === 'postgresql') {
    await sql`select setval(pg_get_serial_sequence('change', 'version'), ${version})`.execute(db);
    await sql`select pg_notify(${CHANGE_CHANNEL}, ${String(version)})`.execute(db);
  }
}
