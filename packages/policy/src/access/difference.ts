/** What a change of rules, resources or memberships means: who gains and who loses what, where. */
import type { AccessModel } from '../model.ts';
import { compileRules, grantsOf } from './grants.ts';
import type { RulesByGroup } from './grants.ts';
import { sameGroup } from '../change.ts';
import { groupsOf } from './standing.ts';

export interface AccessDifference {
  readonly userId: string;
  readonly resourceId: string;
  /** `changes`: the user keeps the resource, but it is something else than before. */
  readonly change: 'gains' | 'loses' | 'changes';
  /** None means every gateway. */
  readonly gateways: readonly string[];
}

export interface AccessDifferences {
  readonly items: readonly AccessDifference[];
  /** There are more than `items` holds. */
  readonly truncated: boolean;
}

/** Who reaches which resources where after a change but not before it, and the other way round, by the rules alone; at most `limit` items. */
export function accessDifference(before: AccessModel, after: AccessModel, limit = 1000): AccessDifferences {
  const reachBefore = reachByGroup(compileRules(before));
  const reachAfter = reachByGroup(compileRules(after));
  const changedResources = resourcesThatChange(before, after);
  // Users in the same groups reach the same: each combination is compared once.
  const known = new Map<string, readonly Omit<AccessDifference, 'userId'>[]>();
  const items: AccessDifference[] = [];
  for (const id of new Set([...before.users.keys(), ...after.users.keys()])) {
    const [groupsBefore, groupsAfter] = [before, after].map((model) => {
      const user = model.users.get(id);
      return user === undefined ? [] : groupsOf(user);
    }) as [readonly string[], readonly string[]];
    const key = JSON.stringify([groupsBefore, groupsAfter]);
    let differences = known.get(key);
    if (differences === undefined) {
      differences = compare(union(reachBefore, groupsBefore), union(reachAfter, groupsAfter), changedResources, [
        ...after.gateways.keys(),
      ]);
      known.set(key, differences);
    }
    for (const difference of differences) {
      if (items.length === limit) return { items, truncated: true };
      items.push({ userId: id, ...difference });
    }
  }
  return { items, truncated: false };
}

/** By resource, the gateways where it is reached; `all` where a rule counts everywhere. */
type Reach = ReadonlyMap<string, ReadonlySet<string> | 'all'>;

function reachByGroup(rules: RulesByGroup): ReadonlyMap<string, Reach> {
  const byGroup = new Map<string, Reach>();
  for (const [group, list] of rules) {
    const reach = new Map<string, Set<string> | 'all'>();
    for (const { rule, resources } of list) {
      for (const { id } of resources) {
        const known = reach.get(id);
        if (rule.gateways.length === 0) reach.set(id, 'all');
        else if (known !== 'all') reach.set(id, new Set([...(known ?? []), ...rule.gateways]));
      }
    }
    byGroup.set(group, reach);
  }
  return byGroup;
}

function union(byGroup: ReadonlyMap<string, Reach>, groups: readonly string[]): Reach {
  const all = new Map<string, ReadonlySet<string> | 'all'>();
  for (const group of groups) {
    for (const [resource, gateways] of byGroup.get(group) ?? []) {
      const known = all.get(resource);
      if (gateways === 'all' || known === 'all') all.set(resource, 'all');
      else all.set(resource, known === undefined ? gateways : new Set([...known, ...gateways]));
    }
  }
  return all;
}

function compare(
  before: Reach,
  after: Reach,
  changed: ReadonlySet<string>,
  everyGateway: readonly string[],
): readonly Omit<AccessDifference, 'userId'>[] {
  const differences: Omit<AccessDifference, 'userId'>[] = [];
  for (const resourceId of new Set([...before.keys(), ...after.keys()])) {
    const then = before.get(resourceId);
    const now = after.get(resourceId);
    for (const [change, gateways] of [
      ['gains', without(now, then, everyGateway)],
      ['loses', without(then, now, everyGateway)],
    ] as const) {
      if (gateways !== undefined) differences.push({ resourceId, change, gateways });
    }
    if (then !== undefined && now !== undefined && changed.has(resourceId)) {
      differences.push({ resourceId, change: 'changes', gateways: now === 'all' ? [] : [...now] });
    }
  }
  return differences;
}

/** The gateways of `a` that aren't in `b`, or undefined where there are none. */
function without(
  a: ReadonlySet<string> | 'all' | undefined,
  b: ReadonlySet<string> | 'all' | undefined,
  everyGateway: readonly string[],
): readonly string[] | undefined {
  if (a === undefined || b === 'all') return undefined;
  if (a === 'all' && b === undefined) return [];
  const left = (a === 'all' ? everyGateway : [...a]).filter((id) => b?.has(id) !== true);
  return left.length === 0 ? undefined : left;
}

function resourcesThatChange(before: AccessModel, after: AccessModel): ReadonlySet<string> {
  const changed = new Set<string>();
  for (const [id, resource] of after.resources) {
    const old = before.resources.get(id);
    if (old === undefined || old === resource) continue;
    const plan = (of: typeof resource) => ({ id, grants: grantsOf(of).map((grant) => ({ rule: '', ...grant })) });
    if (!sameGroup(plan(old), plan(resource))) changed.add(id);
  }
  return changed;
}
