/** What rules grant, in the form that gateways take: per group, and per gateway. */
import type { AccessModel, ResourceModel, RuleModel } from '../model.ts';
import type { Destination, Grant, GroupPlan, PortRange, Protocol } from '../state.ts';
import { formatPrefix, parsePrefix } from './ip.ts';

/** An enabled rule with what it grants; the same object as long as neither the rule nor its resources change. */
export interface CompiledRule {
  readonly rule: RuleModel;
  readonly resources: readonly ResourceModel[];
  readonly grants: readonly Grant[];
}

/** The enabled rules of each group, by id. */
export type RulesByGroup = ReadonlyMap<string, readonly CompiledRule[]>;

/** The rules of all groups, or of those in `wanted`. */
export function compileRules(model: AccessModel, wanted?: ReadonlySet<string>): RulesByGroup {
  const isWanted = (group: string): boolean => wanted === undefined || wanted.has(group);
  const rules: RuleModel[] = [];
  for (const rule of model.rules.values()) if (rule.enabled && rule.groups.some(isWanted)) rules.push(rule);
  const byGroup = new Map<string, CompiledRule[]>();
  for (const rule of rules.sort(byId)) {
    const compiled = compileRule(model, rule);
    for (const group of new Set(rule.groups.filter(isWanted))) {
      const list = byGroup.get(group);
      if (list === undefined) byGroup.set(group, [compiled]);
      else list.push(compiled);
    }
  }
  return byGroup;
}

/**
 * The groups that may be granted something else in one of two models than in the other, where these share what is the same
 * in both.
 */
export function groupsOfChangedRules(a: AccessModel, b: AccessModel): ReadonlySet<string> {
  const groups = new Set<string>();
  if (a.rules === b.rules && a.resources === b.resources) return groups;
  const resources = a.resources === b.resources ? undefined : changedResources(a, b);
  for (const [from, to] of [
    [a, b],
    [b, a],
  ] as const)
    for (const rule of from.rules.values())
      if (to.rules.get(rule.id) !== rule || (resources !== undefined && rule.resources.some((id) => resources.has(id))))
        for (const group of rule.groups) groups.add(group);
  return groups;
}

function changedResources(a: AccessModel, b: AccessModel): ReadonlySet<string> {
  const changed = new Set<string>();
  for (const [id, resource] of a.resources) if (b.resources.get(id) !== resource) changed.add(id);
  for (const id of b.resources.keys()) if (!a.resources.has(id)) changed.add(id);
  return changed;
}

/** What a group reaches through a gateway, or undefined where that is nothing. */
export function groupPlanAt(group: string, rules: readonly CompiledRule[], gatewayId: string): GroupPlan | undefined {
  const grants: Grant[] = [];
  for (const compiled of rules) {
    if (appliesAt(compiled.rule, gatewayId)) for (const grant of compiled.grants) grants.push(grant);
  }
  return grants.length === 0 ? undefined : { id: group, grants };
}

export function appliesAt(rule: RuleModel, gatewayId: string): boolean {
  return rule.gateways.length === 0 || rule.gateways.includes(gatewayId);
}

/** Whether all rules of a list count at every gateway. */
export function applyEverywhere(rules: readonly CompiledRule[]): boolean {
  return rules.every(({ rule }) => rule.gateways.length === 0);
}

// Rules and resources are plain data that doesn't change.
const compiledRules = new WeakMap<RuleModel, CompiledRule>();
const resourceGrants = new WeakMap<ResourceModel, readonly Omit<Grant, 'rule'>[]>();

function compileRule(model: AccessModel, rule: RuleModel): CompiledRule {
  const resources = rule.resources.flatMap((id) => model.resources.get(id) ?? []);
  const known = compiledRules.get(rule);
  if (known?.resources.length === resources.length && known.resources.every((item, i) => item === resources[i])) {
    return known;
  }
  const grants = resources.flatMap((resource) => grantsOf(resource).map((grant) => ({ rule: rule.id, ...grant })));
  const compiled = { rule, resources, grants };
  compiledRules.set(rule, compiled);
  return compiled;
}

/** What a resource is, one destination and one protocol each. */
export function grantsOf(resource: ResourceModel): readonly Omit<Grant, 'rule'>[] {
  let grants = resourceGrants.get(resource);
  if (grants === undefined) {
    const services = servicesOf(resource);
    grants = destinationsOf(resource).flatMap((destination) =>
      services.map((service) => ({ destination, ...service })),
    );
    resourceGrants.set(resource, grants);
  }
  return grants;
}

function destinationsOf(resource: ResourceModel): readonly Destination[] {
  switch (resource.kind) {
    case 'internet':
      return [{ kind: 'internet' }];
    case 'name':
      return resource.domain === null ? [] : [{ kind: 'name', name: resource.domain.toLowerCase() }];
    case 'network':
      return resource.prefixes.flatMap((text) => {
        const prefix = parsePrefix(text);
        return prefix === undefined ? [] : [{ kind: 'network', prefix: formatPrefix(prefix) }];
      });
  }
}

interface Service {
  readonly protocol: Protocol;
  readonly ports: readonly PortRange[];
}

function servicesOf(resource: ResourceModel): readonly Service[] {
  if (resource.services.length === 0) return [{ protocol: 'any', ports: [] }];
  return resource.services.flatMap(({ protocol, ports }): Service[] => {
    if (protocol === 'icmp') return [{ protocol, ports: [] }];
    // Ports of any protocol are those of the protocols that have ports.
    if (protocol === 'any' && ports.length > 0) {
      return (['tcp', 'udp'] as const).map((withPorts) => ({ protocol: withPorts, ports }));
    }
    return [{ protocol, ports }];
  });
}

function byId(a: { readonly id: string }, b: { readonly id: string }): number {
  return a.id < b.id ? -1 : a.id > b.id ? 1 : 0;
}
