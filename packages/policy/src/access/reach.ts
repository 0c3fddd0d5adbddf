/** Which rule, if any, lets a user reach a destination. The plain reading of the rules that the firewall is tested against. */
import { internetRanges } from '../firewall/special-ranges.ts';
import type { AccessModel, ResourceModel, RuleModel, UserModel } from '../model.ts';
import type { Destination, Grant, Protocol } from '../state.ts';
import { appliesAt, compileRules, grantsOf, type RulesByGroup } from './grants.ts';
import { parseAddress, parsePrefix, prefixContains } from './ip.ts';
import type { IpAddress, IpPrefix } from './ip.ts';
import { admits } from './requirements.ts';
import { groupsOf } from './standing.ts';

/** What somebody wants to reach. */
export interface Target {
  /** An address, or a DNS name that a resource has. */
  readonly destination: string;
  readonly protocol: Exclude<Protocol, 'any'>;
  /** Null, for tcp and udp: any port, which only a grant of all ports gives. */
  readonly port: number | null;
}

/** A target, read once. */
export interface ParsedTarget extends Target {
  readonly address: IpAddress | undefined;
  readonly internet: boolean;
}

/** A rule that allows, with the part of it that does. */
export interface Allowance {
  readonly rule: RuleModel;
  readonly resource: ResourceModel;
  readonly group: string;
}

/** Reads a target. What a gateway's own addresses are, which no internet includes either, the organisation doesn't know. */
export function parseTarget(model: AccessModel, target: Target): ParsedTarget {
  const address = parseAddress(target.destination);
  const internet =
    address !== undefined &&
    internetRanges(address.family, [model.pool4, model.pool6, ...networksOf(model)]).some(
      ({ first, last }) => first <= address.value && address.value <= last,
    );
  return { ...target, destination: target.destination.toLowerCase(), address, internet };
}

/** The networks behind devices, which no internet includes. */
function networksOf({ devices }: AccessModel): readonly string[] {
  let found = networks.get(devices);
  if (found === undefined) {
    found = [...devices.values()].flatMap((device) => device.networks ?? []);
    networks.set(devices, found);
  }
  return found;
}
// Models don't change.
const networks = new WeakMap<AccessModel['devices'], readonly string[]>();

/** All rules that let a user reach a target, at whichever gateways they count; each rule once, in the order of their ids. */
export function allowancesOf(rules: RulesByGroup, user: UserModel, target: ParsedTarget): readonly Allowance[] {
  const found = new Map<string, Allowance>();
  for (const group of groupsOf(user)) {
    for (const { rule, resources } of rules.get(group) ?? []) {
      if (found.has(rule.id)) continue;
      const resource = resources.find((candidate) => resourceHolds(candidate, target));
      if (resource !== undefined) found.set(rule.id, { rule, resource, group });
    }
  }
  return [...found.values()].sort((a, b) => (a.rule.id < b.rule.id ? -1 : 1));
}

export function resourceHolds(resource: ResourceModel, target: ParsedTarget): boolean {
  return grantsOf(resource).some((grant) => serviceHolds(grant, target) && destinationHolds(grant.destination, target));
}

function serviceHolds(grant: Omit<Grant, 'rule'>, target: ParsedTarget): boolean {
  if (grant.protocol !== 'any' && grant.protocol !== target.protocol) return false;
  if (target.protocol === 'icmp' || grant.ports.length === 0) return true;
  const { port } = target;
  return port !== null && grant.ports.some(({ from, to }) => from <= port && port <= to);
}

function destinationHolds(destination: Destination, target: ParsedTarget): boolean {
  switch (destination.kind) {
    case 'internet':
      return target.internet;
    case 'name':
      return target.address === undefined && destination.name === target.destination;
    case 'network': {
      const prefix = prefixOf(destination);
      return target.address !== undefined && prefix !== undefined && prefixContains(prefix, target.address);
    }
  }
}

// Destinations are plain data that doesn't change.
const prefixes = new WeakMap<Destination, IpPrefix>();

function prefixOf(destination: Destination & { readonly kind: 'network' }): IpPrefix | undefined {
  const known = prefixes.get(destination) ?? parsePrefix(destination.prefix);
  if (known !== undefined) prefixes.set(destination, known);
  return known;
}

/** The gateways through which a user's groups reach anything and that they leave to their members, by id. */
export function gatewaysOf(model: AccessModel, user: UserModel): readonly string[] {
  const byGroup = compileRules(model);
  const rules = groupsOf(user).flatMap((group) => byGroup.get(group) ?? []);
  const granting = rules.filter(({ grants }) => grants.length > 0);
  return [...model.gateways.values()]
    .filter((gateway) => admits(model, user, gateway) && granting.some(({ rule }) => appliesAt(rule, gateway.id)))
    .map(({ id }) => id)
    .sort();
}
