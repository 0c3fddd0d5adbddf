import { sql, type Expression, type RawBuilder, type SqlBool } from 'kysely';
import { containing, type Cursor } from './pages.ts';

export interface PageRequest {
  readonly limit: number;
  readonly after?: string | undefined;
  readonly search?: string | undefined;
}

/** Whether a text holds what is searched for, in capital letters or small ones. */
export function holds(column: Expression<unknown>, search: string): RawBuilder<SqlBool> {
  // PostgreSQL takes no such character, so no text has it.
  if (search.includes('\0')) return sql<SqlBool>`1 = 0`;
  return sql<SqlBool>`lower(${column}) like ${containing(search)} escape '\\'`;
}

/** Whether a text begins with what is searched for; both as they are written. */
export function begins(column: Expression<unknown>, search: string): RawBuilder<SqlBool> {
  return sql<SqlBool>`substr(${column}, 1, ${search.length}) = ${search}`;
}

/** Whether a row comes after the last of the page before, in the order of name and id. */
export function afterCursor(name: Expression<unknown>, id: Expression<unknown>, cursor: Cursor): RawBuilder<SqlBool> {
  return sql<SqlBool>`(${name} > ${cursor.name} or (${name} = ${cursor.name} and ${id} > ${cursor.id}))`;
}
