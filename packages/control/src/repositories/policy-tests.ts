import { randomUUID } from 'node:crypto';
import type { PolicyTest } from '@sallyport/api';
import type { Kysely, Selectable } from 'kysely';
import type { Database, PolicyTestTable } from '../store/schema.ts';
import type { Writing } from '../store/store.ts';
import { cursorOf, pageOf } from './pages.ts';
import { afterCursor, holds, type PageRequest } from './search.ts';

export type PolicyTestValue = Omit<PolicyTest, 'id' | 'version'>;

export function policyTestOf(row: Selectable<PolicyTestTable>): PolicyTest {
  return {
    id: row.id,
    name: row.name,
    userId: row.user_id,
    destination: row.destination,
    protocol: row.protocol as PolicyTest['protocol'],
    port: row.port,
    gatewayId: row.gateway_id,
    expect: row.expect as PolicyTest['expect'],
    version: row.version,
  };
}

export async function listPolicyTests(db: Kysely<Database>, { limit, after, search }: PageRequest) {
  let query = db.selectFrom('policy_test').selectAll();
  if (search !== undefined) {
    query = query.where((eb) => eb.or([holds(eb.ref('name'), search), holds(eb.ref('destination'), search)]));
  }
  const cursor = cursorOf(after);
  if (cursor !== undefined) query = query.where((eb) => afterCursor(eb.ref('name'), eb.ref('id'), cursor));
  const rows = await query
    .orderBy('name')
    .orderBy('id')
    .limit(limit + 1)
    .execute();
  const { items, next } = pageOf(rows, limit);
  return { items: items.map(policyTestOf), next };
}

export async function allPolicyTests(db: Kysely<Database>): Promise<PolicyTest[]> {
  return (await db.selectFrom('policy_test').selectAll().orderBy('name').execute()).map(policyTestOf);
}

/** By id or name. */
export async function findPolicyTest(db: Kysely<Database>, reference: string): Promise<PolicyTest | undefined> {
  const row =
    (await db.selectFrom('policy_test').selectAll().where('id', '=', reference).executeTakeFirst()) ??
    (await db.selectFrom('policy_test').selectAll().where('name', '=', reference).executeTakeFirst());
  return row && policyTestOf(row);
}

export async function insertPolicyTest(writing: Writing, value: PolicyTestValue): Promise<PolicyTest> {
  const test = { ...value, id: randomUUID(), version: 1 };
  await writing.db.insertInto('policy_test').values(rowOf(test)).execute();
  await writing.audit('policyTest.create', targetOf(test), undefined, test);
  writing.changed('policyTest', test.id);
  return test;
}

export async function updatePolicyTest(
  writing: Writing,
  before: PolicyTest,
  value: PolicyTestValue,
): Promise<PolicyTest> {
  const test = { ...value, id: before.id, version: before.version + 1 };
  await writing.db.updateTable('policy_test').set(rowOf(test)).where('id', '=', before.id).execute();
  await writing.audit('policyTest.update', targetOf(test), before, test);
  writing.changed('policyTest', test.id);
  return test;
}

export async function deletePolicyTest(writing: Writing, test: PolicyTest): Promise<void> {
  await writing.db.deleteFrom('policy_test').where('id', '=', test.id).execute();
  await writing.audit('policyTest.delete', targetOf(test), test);
  writing.changed('policyTest', test.id);
}

function rowOf({ userId, gatewayId, ...rest }: PolicyTest): Selectable<PolicyTestTable> {
  return { ...rest, user_id: userId, gateway_id: gatewayId };
}

function targetOf({ id, name }: PolicyTest) {
  return { kind: 'policyTest', id, name };
}
