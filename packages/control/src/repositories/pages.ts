/** Lists in pages, by name and then by id, so that what is added or removed meanwhile neither repeats nor hides others. */
import { ApiError } from '../http/api-error.ts';

export interface Cursor {
  readonly name: string;
  readonly id: string;
}

/** Reads `after`. Throws an ApiError where it is none that this service gave. */
export function cursorOf(after: string | undefined): Cursor | undefined {
  if (after === undefined) return undefined;
  try {
    const parsed = JSON.parse(Buffer.from(after, 'base64url').toString('utf8')) as unknown;
    if (Array.isArray(parsed) && parsed.length === 2 && parsed.every((part) => typeof part === 'string')) {
      const [name, id] = parsed as [string, string];
      // PostgreSQL takes no such character.
      if (!name.includes('\0') && !id.includes('\0')) return { name, id };
    }
  } catch {
    // Said below.
  }
  throw noCursor();
}

export function noCursor(): ApiError {
  return new ApiError('invalidRequest', 'The parameter after is not the `next` of a page.', {
    faults: [{ at: '/query/after', message: 'not the `next` of a page' }],
  });
}

/** A page of `limit` items from rows of which one more was asked for. */
export function pageOf<T extends Cursor>(rows: readonly T[], limit: number): { items: T[]; next: string | null } {
  const items = rows.slice(0, limit);
  const last = items.at(-1);
  const next =
    rows.length > limit && last !== undefined
      ? Buffer.from(JSON.stringify([last.name, last.id])).toString('base64url')
      : null;
  return { items, next };
}

/** A LIKE pattern for a part of a text, with `\` as the escape, in lower case. */
export function containing(text: string): string {
  return `%${text.toLowerCase().replace(/[\\%_]/g, '\\$&')}%`;
}
