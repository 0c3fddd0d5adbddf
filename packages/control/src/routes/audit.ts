import { routes } from '@sallyport/api';
import type { Expression, Kysely, SqlBool } from 'kysely';
import { sql } from 'kysely';
import { auditEntry, exportAudit, verifyAudit, type AuditVerdict } from '../audit/audit-log.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { noCursor } from '../repositories/pages.ts';
import type { Database } from '../store/schema.ts';

export function auditRoutes(): RouteImplementation[] {
  // It reads the whole log: whoever asks while it runs gets its answer.
  let verifying: Promise<AuditVerdict> | undefined;
  return [
    implement(routes.listAudit, async ({ query, services }) => {
      const { limit, after, search, action, actor, target, from, until } = query;
      let entries = services.store.db.selectFrom('audit').selectAll();
      if (after !== undefined) entries = entries.where('number', '<', numberOf(after));
      if (from !== undefined) entries = entries.where('at', '>=', Date.parse(from));
      if (until !== undefined) entries = entries.where('at', '<', Date.parse(until));
      if (action !== undefined) {
        entries = entries.where((eb) =>
          eb.or([eb('action', '=', action), like(eb.ref('action'), `${escape(action)}.%`)]),
        );
      }
      if (actor !== undefined) entries = entries.where((eb) => names(eb.ref('actor'), actor));
      if (target !== undefined) entries = entries.where((eb) => names(eb.ref('target'), target));
      if (search !== undefined) {
        entries = entries.where((eb) =>
          eb.or(
            (['action', 'actor', 'target', 'after'] as const).map((column) =>
              like(eb.ref(column), `%${escape(inJson(search))}%`),
            ),
          ),
        );
      }
      const rows = await entries
        .orderBy('number', 'desc')
        .limit(limit + 1)
        .execute();
      const shown = rows.slice(0, limit);
      return {
        items: shown.map(auditEntry),
        next: rows.length > limit ? String(shown.at(-1)!.number) : null,
      };
    }),
    implement(routes.exportAudit, async ({ query, services }) => {
      const { db } = services.store;
      const before = query.from === undefined ? 0 : (await firstAt(db, Date.parse(query.from))) - 1;
      const end = query.until === undefined ? Infinity : await firstAt(db, Date.parse(query.until));
      return linesBetween(exportAudit(db, before), end - before - 1);
    }),
    implement(routes.verifyAudit, async ({ services }) => {
      verifying ??= verifyAudit(services.store.db).finally(() => (verifying = undefined));
      const { ok, entries, expired, newest, firstFault } = await verifying;
      return { valid: ok, entries, expired, newest, firstFault: firstFault ?? null };
    }),
  ];
}

function numberOf(after: string): number {
  if (/^\d{1,15}$/.test(after)) return Number(after);
  throw noCursor();
}

/** The number of the first entry from a time on, or what the next entry will have. */
async function firstAt(db: Kysely<Database>, time: number): Promise<number> {
  const { first } = await db
    .selectFrom('audit')
    .select(({ fn }) => fn.min('number').as('first'))
    .where('at', '>=', time)
    .executeTakeFirstOrThrow();
  if (first !== null) return first;
  const { last } = await db
    .selectFrom('audit')
    .select(({ fn }) => fn.max('number').as('last'))
    .executeTakeFirstOrThrow();
  return (last ?? 0) + 1;
}

/** Entries are numbered without gaps. */
async function* linesBetween(lines: AsyncIterable<string>, count: number): AsyncGenerator<string> {
  let left = count;
  if (left <= 0) return;
  for await (const line of lines) {
    yield line;
    if (--left <= 0) return;
  }
}

/** Whether the JSON of an actor or target has this name or id. */
function names(column: Expression<unknown>, text: string): Expression<SqlBool> {
  const quoted = escape(inJson(text));
  return sql<SqlBool>`(${like(column, `%"name":"${quoted}"%`)} or ${like(column, `%"id":"${quoted}"%`)})`;
}

function like(column: Expression<unknown>, pattern: string): Expression<SqlBool> {
  return sql<SqlBool>`lower(${column}) like ${pattern.toLowerCase()} escape '\\'`;
}

function escape(text: string): string {
  return text.replace(/[\\%_]/g, (letter) => `\\${letter}`);
}

function inJson(text: string): string {
  return JSON.stringify(text).slice(1, -1);
}
