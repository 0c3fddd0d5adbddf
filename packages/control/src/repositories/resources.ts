import { randomUUID } from 'node:crypto';
import type { Resource } from '@sallyport/api';
import type { Kysely, Selectable } from 'kysely';
import type { Database, ResourceTable } from '../store/schema.ts';
import type { Writing } from '../store/store.ts';
import { cursorOf, pageOf } from './pages.ts';
import { afterCursor, holds, type PageRequest } from './search.ts';

export type ResourceValue = Omit<Resource, 'id' | 'version'>;

export function resourceOf(row: Selectable<ResourceTable>): Resource {
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    kind: row.kind as Resource['kind'],
    prefixes: JSON.parse(row.prefixes) as string[],
    domain: row.domain,
    services: JSON.parse(row.services) as Resource['services'],
    version: row.version,
  };
}

export async function listResources(db: Kysely<Database>, { limit, after, search }: PageRequest) {
  let query = db.selectFrom('resource').selectAll();
  if (search !== undefined) {
    query = query.where((eb) =>
      eb.or((['name', 'description', 'domain', 'prefixes'] as const).map((column) => holds(eb.ref(column), search))),
    );
  }
  const cursor = cursorOf(after);
  if (cursor !== undefined) query = query.where((eb) => afterCursor(eb.ref('name'), eb.ref('id'), cursor));
  const rows = await query
    .orderBy('name')
    .orderBy('id')
    .limit(limit + 1)
    .execute();
  const { items, next } = pageOf(rows, limit);
  return { items: items.map(resourceOf), next };
}

export async function allResources(db: Kysely<Database>): Promise<Resource[]> {
  return (await db.selectFrom('resource').selectAll().orderBy('name').execute()).map(resourceOf);
}

/** By id or name. */
export async function findResource(db: Kysely<Database>, reference: string): Promise<Resource | undefined> {
  const row =
    (await db.selectFrom('resource').selectAll().where('id', '=', reference).executeTakeFirst()) ??
    (await db.selectFrom('resource').selectAll().where('name', '=', reference).executeTakeFirst());
  return row && resourceOf(row);
}

export async function insertResource(writing: Writing, value: ResourceValue): Promise<Resource> {
  const resource = { ...value, id: randomUUID(), version: 1 };
  await writing.db.insertInto('resource').values(rowOf(resource)).execute();
  await writing.audit('resource.create', targetOf(resource), undefined, resource);
  writing.changed('resource', resource.id);
  return resource;
}

export async function updateResource(writing: Writing, before: Resource, value: ResourceValue): Promise<Resource> {
  const resource = { ...value, id: before.id, version: before.version + 1 };
  await writing.db.updateTable('resource').set(rowOf(resource)).where('id', '=', before.id).execute();
  await writing.audit('resource.update', targetOf(resource), before, resource);
  writing.changed('resource', resource.id);
  return resource;
}

export async function deleteResource(writing: Writing, resource: Resource): Promise<void> {
  await writing.db.deleteFrom('resource').where('id', '=', resource.id).execute();
  await writing.audit('resource.delete', targetOf(resource), resource);
  writing.changed('resource', resource.id);
}

function rowOf({ prefixes, services, ...rest }: Resource): Selectable<ResourceTable> {
  return { ...rest, prefixes: JSON.stringify(prefixes), services: JSON.stringify(services) };
}

function targetOf({ id, name }: Resource) {
  return { kind: 'resource', id, name };
}
