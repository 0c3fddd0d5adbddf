import type { Region } from '@sallyport/api';
import type { Kysely } from 'kysely';
import type { Database } from '../store/schema.ts';
import type { Writing } from '../store/store.ts';
import { cursorOf, pageOf } from './pages.ts';
import { afterCursor, holds, type PageRequest } from './search.ts';

/** By id. */
export async function listRegions(db: Kysely<Database>, { limit, after, search }: PageRequest) {
  let query = db.selectFrom('region').selectAll();
  if (search !== undefined) {
    query = query.where((eb) => eb.or((['id', 'name'] as const).map((column) => holds(eb.ref(column), search))));
  }
  const cursor = cursorOf(after);
  if (cursor !== undefined) query = query.where((eb) => afterCursor(eb.ref('id'), eb.ref('id'), cursor));
  const rows: Region[] = await query
    .orderBy('id')
    .limit(limit + 1)
    .execute();
  const { items, next } = pageOf(
    rows.map((region) => ({ id: region.id, name: region.id, region })),
    limit,
  );
  return { items: items.map(({ region }) => region), next };
}

export async function findRegion(db: Kysely<Database>, id: string): Promise<Region | undefined> {
  return await db.selectFrom('region').selectAll().where('id', '=', id).executeTakeFirst();
}

export async function insertRegion(writing: Writing, { id, name }: Omit<Region, 'version'>): Promise<Region> {
  const region = { id, name, version: 1 };
  await writing.db.insertInto('region').values(region).execute();
  await writing.audit('region.create', targetOf(region), undefined, region);
  writing.changed('region', id);
  return region;
}

export async function renameRegion(writing: Writing, before: Region, name: string): Promise<Region> {
  const region = { ...before, name, version: before.version + 1 };
  await writing.db.updateTable('region').set(region).where('id', '=', before.id).execute();
  await writing.audit('region.update', targetOf(before), before, region);
  writing.changed('region', before.id);
  return region;
}

export async function deleteRegion(writing: Writing, region: Region): Promise<void> {
  await writing.db.deleteFrom('region').where('id', '=', region.id).execute();
  await writing.audit('region.delete', targetOf(region), region);
  writing.changed('region', region.id);
}

function targetOf({ id, name }: Region) {
  return { kind: 'region', id, name };
}
