import type { Settings } from '@sallyport/api';
import type { Kysely } from 'kysely';
import type { Database } from '../store/schema.ts';
import type { Writing } from '../store/store.ts';

/** The one row. */
const SETTINGS_ID = 1;

export async function readSettings(db: Kysely<Database>): Promise<Settings> {
  const row = await db.selectFrom('settings').selectAll().where('id', '=', SETTINGS_ID).executeTakeFirstOrThrow();
  return { ...(JSON.parse(row.value) as Omit<Settings, 'version'>), version: row.version };
}

export async function writeSettings(writing: Writing, before: Settings, after: Settings): Promise<Settings> {
  const { version: _, ...value } = after;
  const settings = { ...value, version: before.version + 1 };
  await writing.db
    .updateTable('settings')
    .set({ value: JSON.stringify(value), version: settings.version })
    .where('id', '=', SETTINGS_ID)
    .execute();
  await writing.audit('settings.update', { kind: 'settings', id: null, name: 'settings' }, before, settings);
  writing.changed('settings', 'settings');
  return settings;
}
