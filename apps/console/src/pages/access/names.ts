import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';

export interface Names {
  readonly groups: ReadonlyMap<string, string>;
  readonly resources: ReadonlyMap<string, string>;
  readonly gateways: ReadonlyMap<string, string>;
}

const input = { query: { limit: 1000 } };
const names = (items: readonly { readonly id: string; readonly name: string }[] = []): ReadonlyMap<string, string> =>
  new Map(items.map(({ id, name }) => [id, name]));

/** What the ids in rules stand for; ids that aren't known yet stay out. */
export function useNames(): Names {
  const groups = useQuery('listGroups', input, { enabled: may('groups:read') });
  const resources = useQuery('listResources', input);
  const gateways = useQuery('listGateways', input, { enabled: may('gateways:read') });
  return {
    groups: names(groups.data?.items),
    resources: names(resources.data?.items),
    gateways: names(gateways.data?.items),
  };
}
