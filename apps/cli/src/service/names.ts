/** Names in the place of ids, for people: an answer holds ids, because names may change. */
import { routes, type RouteContract } from '@sallyport/api';
import { CommandFailure } from '../command.ts';
import type { Connection } from './connection.ts';
import { readPages } from './pages.ts';

const KINDS: Readonly<Record<string, RouteContract>> = {
  userId: routes.listUsers,
  groups: routes.listGroups,
  groupId: routes.listGroups,
  resources: routes.listResources,
  gateways: routes.listGateways,
  gatewayId: routes.listGateways,
};
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/** The answer with names; where the caller may not read them, or there are none any more, ids stay. */
export async function withNames(connection: Connection, answer: unknown): Promise<unknown> {
  const wanted = new Set<RouteContract>();
  visit(answer, (kind, id) => {
    wanted.add(kind);
    return id;
  });
  const names = new Map<string, string>();
  for (const kind of wanted) {
    try {
      for (const { id, name } of (await readPages(connection, kind)) as { id: string; name: string }[])
        names.set(id, name);
    } catch (error) {
      if (!(error instanceof CommandFailure)) throw error;
    }
  }
  return visit(answer, (_kind, id) => names.get(id) ?? id);
}

/** A copy in which `rename` has seen every id that stands for something with a name. */
function visit(value: unknown, rename: (kind: RouteContract, id: string) => string, key = ''): unknown {
  const kind = Object.hasOwn(KINDS, key) ? KINDS[key] : undefined;
  if (typeof value === 'string') return kind !== undefined && ID.test(value) ? rename(kind, value) : value;
  if (Array.isArray(value)) return value.map((item) => visit(item, rename, key));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) => {
      // Some answers hold the name beside the id.
      const isNamed = name.endsWith('Id') && Object.hasOwn(value, name.replace(/Id$/, 'Name'));
      return [name, isNamed ? inner : visit(inner, rename, name)];
    }),
  );
}
