/** What the ids in users and devices stand for. */
import type { Gateway, Group } from '@sallyport/api';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';

const all = { query: { limit: 1000 } };

function byId<T extends { readonly id: string }>(items: readonly T[] = []): ReadonlyMap<string, T> {
  return new Map(items.map((item) => [item.id, item]));
}

/** By name, `everyone` among them. */
export function useGroups(): ReadonlyMap<string, Group> {
  return byId(useQuery('listGroups', all, { enabled: may('groups:read') }).data?.items);
}

export function useGateways(): ReadonlyMap<string, Gateway> {
  return byId(useQuery('listGateways', all, { enabled: may('gateways:read') }).data?.items);
}

/** The one of these that a text is; undefined where it is none. */
export function oneOf<T extends string>(values: readonly T[], text: string): T | undefined {
  return values.find((value) => value === text);
}
