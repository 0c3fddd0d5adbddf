import type { Region } from '@sallyport/api';
import type { Kysely } from 'kysely';
import type { Database } from '../store/schema.ts';
import type { Writing } from '../store/store.ts';
import { pageOfAll, type ListQuery } from './small-list.ts';

/** By id. */
export async function listRegions(
  db: Kysely<Database>,
  query: ListQuery,
): Promise<{ items: Region[]; next: string | null }> {
  const regions: Region[] = await db.selectFrom('region').selectAll().execute();
  return pageOfAll(
    regions,
    query,
    ({ id }) => id,
    ({ id, name }) => [id, name],
  );
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
