export interface ListQuery {
  readonly limit: number;
  readonly after?: string | undefined;
  readonly search?: string | undefined;
}

/**
 * A page of a list that is short enough to be read whole, as those of gateways and regions are. `keyOf` gives what it is
 * ordered by, which no two have in common, and `textsOf` what is searched.
 */
export function pageOfAll<T>(
  all: readonly T[],
  { limit, after, search }: ListQuery,
  keyOf: (item: T) => string,
  textsOf: (item: T) => readonly (string | null)[],
): { items: T[]; next: string | null } {
  const wanted = search?.toLowerCase();
  const rest = all
    .filter((item) => wanted === undefined || textsOf(item).some((text) => text?.toLowerCase().includes(wanted)))
    .map((item) => ({ key: keyOf(item), item }))
    .filter(({ key }) => after === undefined || key > after)
    .sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  const page = rest.slice(0, limit);
  return { items: page.map(({ item }) => item), next: rest.length > limit ? (page.at(-1)?.key ?? null) : null };
}
