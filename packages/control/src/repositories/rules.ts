import { randomUUID } from 'node:crypto';
import type { Rule } from '@sallyport/api';
import type { Kysely, Selectable } from 'kysely';
import type { Database, RuleTable } from '../store/schema.ts';
import type { Writing } from '../store/store.ts';
import { cursorOf, pageOf } from './pages.ts';
import { afterCursor, holds, type PageRequest } from './search.ts';

export type RuleValue = Omit<Rule, 'id' | 'version'>;

export function ruleOf(row: Selectable<RuleTable>): Rule {
  return {
    id: row.id,
    name: row.name,
    enabled: row.enabled === 1,
    groups: JSON.parse(row.groups) as string[],
    resources: JSON.parse(row.resources) as string[],
    gateways: JSON.parse(row.gateways) as string[],
    version: row.version,
  };
}

export async function listRules(db: Kysely<Database>, { limit, after, search }: PageRequest) {
  let query = db.selectFrom('rule').selectAll();
  if (search !== undefined) query = query.where((eb) => holds(eb.ref('name'), search));
  const cursor = cursorOf(after);
  if (cursor !== undefined) query = query.where((eb) => afterCursor(eb.ref('name'), eb.ref('id'), cursor));
  const rows = await query
    .orderBy('name')
    .orderBy('id')
    .limit(limit + 1)
    .execute();
  const { items, next } = pageOf(rows, limit);
  return { items: items.map(ruleOf), next };
}

export async function allRules(db: Kysely<Database>): Promise<Rule[]> {
  return (await db.selectFrom('rule').selectAll().orderBy('name').execute()).map(ruleOf);
}

/** By id or name. */
export async function findRule(db: Kysely<Database>, reference: string): Promise<Rule | undefined> {
  const row =
    (await db.selectFrom('rule').selectAll().where('id', '=', reference).executeTakeFirst()) ??
    (await db.selectFrom('rule').selectAll().where('name', '=', reference).executeTakeFirst());
  return row && ruleOf(row);
}

/** The names of the rules that name a group, resource or gateway, which therefore can't be removed. */
export async function rulesUsing(
  db: Kysely<Database>,
  kind: 'groups' | 'resources' | 'gateways',
  id: string,
): Promise<string[]> {
  return (await allRules(db)).filter((rule) => rule[kind].includes(id)).map(({ name }) => name);
}

export async function insertRule(writing: Writing, value: RuleValue): Promise<Rule> {
  const rule = { ...value, id: randomUUID(), version: 1 };
  await writing.db.insertInto('rule').values(rowOf(rule)).execute();
  await writing.audit('rule.create', targetOf(rule), undefined, rule);
  writing.changed('rule', rule.id);
  return rule;
}

export async function updateRule(writing: Writing, before: Rule, value: RuleValue): Promise<Rule> {
  const rule = { ...value, id: before.id, version: before.version + 1 };
  await writing.db.updateTable('rule').set(rowOf(rule)).where('id', '=', before.id).execute();
  await writing.audit('rule.update', targetOf(rule), before, rule);
  writing.changed('rule', rule.id);
  return rule;
}

export async function deleteRule(writing: Writing, rule: Rule): Promise<void> {
  await writing.db.deleteFrom('rule').where('id', '=', rule.id).execute();
  await writing.audit('rule.delete', targetOf(rule), rule);
  writing.changed('rule', rule.id);
}

function rowOf({ enabled, groups, resources, gateways, ...rest }: Rule): Selectable<RuleTable> {
  return {
    ...rest,
    enabled: enabled ? 1 : 0,
    groups: JSON.stringify(groups),
    resources: JSON.stringify(resources),
    gateways: JSON.stringify(gateways),
  };
}

function targetOf({ id, name }: Rule) {
  return { kind: 'rule', id, name };
}
