import type { RouteContract } from '@sallyport/api';
import type { Connection } from './connection.ts';

/** The items of a list that comes in pages: of all of them. */
export async function readPages(
  connection: Connection,
  contract: RouteContract,
  request: { readonly params?: unknown; readonly query?: Readonly<Record<string, unknown>> } = {},
): Promise<unknown[]> {
  const items: unknown[] = [];
  let after: string | null = null;
  do {
    const query: Record<string, unknown> = { ...request.query, limit: 1000, ...(after === null ? {} : { after }) };
    const page = (await connection.call(contract, { ...request, query })) as { items: unknown[]; next?: string | null };
    items.push(...page.items);
    after = page.next ?? null;
  } while (after !== null);
  return items;
}
