/** Whether the packet filter can hold what groups reach, so that a policy is refused before a gateway has to. */
import {
  applyEverywhere,
  compileRules,
  groupPlanAt,
  groupsOfChangedRules,
  type CompiledRule,
} from '../access/grants.ts';
import type { AccessModel } from '../model.ts';
import type { GroupPlan } from '../state.ts';
import { disjointBoxes } from './boxes.ts';
import { claimsOf } from './compile.ts';
import { FirewallPlanError } from './plan-error.ts';
import { internetRanges } from './special-ranges.ts';

const FAMILIES = [4, 6] as const;

/**
 * Why gateways could not hold what a group reaches after a change and could before, in words; undefined where there is no
 * such group. What names resolve to is not known here and counts as nothing.
 */
export function faultOfGroupSize(before: AccessModel, after: AccessModel): string | undefined {
  const changed = groupsOfChangedRules(before, after);
  const rulesBefore = compileRules(before, changed);
  for (const [group, rules] of compileRules(after, changed)) {
    const known = rulesBefore.get(group) ?? [];
    const fault = faultOfRules(after, group, rules);
    // From what was too much already less can be made step by step.
    if (fault !== undefined && faultOfRules(before, group, known) === undefined) return fault;
  }
  return undefined;
}

function faultOfRules(model: AccessModel, group: string, rules: readonly CompiledRule[]): string | undefined {
  const fault = faultOfGrants(
    model,
    group,
    rules.flatMap(({ grants }) => grants),
  );
  if (fault === undefined || applyEverywhere(rules)) return fault;
  // No gateway may have all of them.
  for (const id of model.gateways.keys()) {
    const there = faultOfGrants(model, group, groupPlanAt(group, rules, id)?.grants ?? []);
    if (there !== undefined) return there;
  }
  return undefined;
}

function faultOfGrants({ pool4, pool6, groups }: AccessModel, group: string, grants: GroupPlan['grants']) {
  const internet = { 4: internetRanges(4, [pool4, pool6]), 6: internetRanges(6, [pool4, pool6]) };
  const claims = claimsOf({ id: group, grants }, new Map(), internet);
  try {
    for (const family of FAMILIES) disjointBoxes(family, claims[family], groups.get(group)?.name ?? group);
    return undefined;
  } catch (error) {
    if (error instanceof FirewallPlanError) return error.message;
    throw error;
  }
}
