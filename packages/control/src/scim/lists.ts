/** Lists of resources: filter, pages, attributes (RFC 7644, 3.4.2). */
import type { ResourceSchema, Values } from './attributes.ts';
import { MAX_RESULTS } from './discovery.ts';
import { invalidValue } from './fault.ts';
import { parseFilter, type Filter } from './filter.ts';
import { attributesOfFilter, matcherOf } from './matching.ts';
import { projectionOf, type Projection } from './resource.ts';

const LIST_URN = 'urn:ietf:params:scim:api:messages:2.0:ListResponse';
const defaultCount = 100;
/** Rows that are read and matched before others have their turn. */
const chunk = 500;

/** How resources of a kind are read. */
export interface ListSource<Row extends { readonly id: string }> {
  readonly count: () => Promise<number>;
  /** By id. */
  readonly page: (page: {
    readonly limit: number;
    readonly offset?: number;
    readonly after?: string;
  }) => Promise<Row[]>;
  /** As resources, with those of the attributes that cost something that `has` names. */
  readonly describe: (rows: readonly Row[], has: (name: string) => boolean) => Promise<Values[]>;
}

/** The filter of a request, where it has one. */
export function filterOf(url: URL): Filter | undefined {
  const text = url.searchParams.get('filter');
  return text === null || text.trim() === '' ? undefined : parseFilter(text);
}

export function projectionOfUrl(schema: ResourceSchema, url: URL): Projection {
  return projectionOf(schema, {
    attributes: url.searchParams.get('attributes'),
    excluded: url.searchParams.get('excludedAttributes'),
  });
}

export async function listResources<Row extends { readonly id: string }>(
  schema: ResourceSchema,
  url: URL,
  filter: Filter | undefined,
  source: ListSource<Row>,
): Promise<object> {
  // A value below 1 means 1, a count below 0 means 0 (3.4.2.4).
  const startIndex = Math.max(1, numberOf(url, 'startIndex') ?? 1);
  const count = Math.min(MAX_RESULTS, Math.max(0, numberOf(url, 'count') ?? defaultCount));
  const projection = projectionOfUrl(schema, url);
  if (filter === undefined) {
    const total = await source.count();
    const rows = count === 0 ? [] : await source.page({ limit: count, offset: startIndex - 1 });
    return listAnswer(total, startIndex, (await source.describe(rows, projection.has)).map(projection.apply));
  }
  const fits = matcherOf(schema, filter);
  const named = attributesOfFilter(schema, filter);
  const has = (name: string): boolean => named.has(name) || projection.has(name);
  const found: Values[] = [];
  let total = 0;
  for (let after: string | undefined, rows: Row[]; ; after = rows.at(-1)!.id) {
    rows = await source.page({ limit: chunk, ...(after === undefined ? {} : { after }) });
    for (const resource of (await source.describe(rows, has)).filter(fits)) {
      total++;
      if (total >= startIndex && found.length < count) found.push(projection.apply(resource));
    }
    if (rows.length < chunk) break;
    await new Promise((resolve) => setImmediate(resolve));
  }
  return listAnswer(total, startIndex, found);
}

export function listAnswer(totalResults: number, startIndex: number, resources: readonly object[]): object {
  return { schemas: [LIST_URN], totalResults, startIndex, itemsPerPage: resources.length, Resources: resources };
}

function numberOf(url: URL, name: string): number | undefined {
  const text = url.searchParams.get(name);
  if (text === null || text === '') return undefined;
  if (!/^-?\d{1,9}$/.test(text)) throw invalidValue(name, 'must be a whole number');
  return Number(text);
}
