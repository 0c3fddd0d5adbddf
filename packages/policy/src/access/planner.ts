import { EVERYONE } from '../model.ts';
import type { AccessModel } from '../model.ts';
import { isEmpty, sameGateway, sameGroup } from '../change.ts';
import type { DesiredState, DevicePlan, GatewayPlan, GroupPlan, Neighbour, StateChange } from '../state.ts';
import { DeviceChanges } from './device-changes.ts';
import { compileRules, groupsOfChangedRules, type RulesByGroup } from './grants.ts';
import { activeDevice, connectedNetworks, entrances, gatewayPlan, grantedGroups, groupPlanner, ownEgress, planDevice } from './plan.ts'; // prettier-ignore
import type { ActiveDevice, DeviceContext, GrantedGroups, GroupPlanner } from './plan.ts';
import { admits, demandedPlaces, placeOf, type Place } from './requirements.ts';
import { groupsOf } from './standing.ts';

interface PlannedGateway extends DeviceContext {
  readonly plan: GatewayPlan;
  readonly groups: ReadonlyMap<string, GroupPlan>;
}

/**
 * The desired states of all gateways, kept current. It finds what changed by comparing entities by identity, so a model
 * must share with the one before it what did not change (any other is planned right as well, only slower), and works
 * out devices once for all gateways at which they are the same.
 */
export class Planner {
  #model: AccessModel;
  #now: number;
  #rules: RulesByGroup;
  #active: Map<string, ActiveDevice>;
  #gateways: ReadonlyMap<string, PlannedGateway>;
  #nextExpiry: number;
  /** Of all gateways. */
  #entrances: readonly Neighbour[] = [];
  /** Behind all devices. */
  #connected: readonly string[] = [];
  /** The devices where the same groups reach anything, for the states that were asked for since a device's last change. */
  readonly #devices = new Map<GrantedGroups, ReadonlyMap<string, DevicePlan>>();

  /** Begins with no gateway: the first {@link update} gives the whole state of each. */
  constructor() {
    const none = new Map<string, never>();
    this.#model = {
      pool4: '',
      pool6: '',
      users: none,
      groups: none,
      devices: none,
      gateways: none,
      resources: none,
      rules: none,
      tests: none,
    };
    this.#now = -Infinity;
    this.#rules = none;
    this.#active = none;
    this.#gateways = none;
    this.#nextExpiry = Infinity;
  }

  /** When it must be updated next although nothing changes: the first moment at which a device's access ends. */
  get nextExpiry(): number | undefined {
    return this.#nextExpiry === Infinity ? undefined : this.#nextExpiry;
  }

  /** What a gateway is to do now; undefined where there is no such gateway. It isn't changed later. */
  state(gatewayId: string): DesiredState | undefined {
    const gateway = this.#gateways.get(gatewayId);
    if (gateway === undefined) return undefined;
    let devices = this.#devices.get(gateway.granted);
    if (devices === undefined) {
      devices = this.#planDevices({ granted: gateway.granted, egress: [] });
      this.#devices.set(gateway.granted, devices);
    }
    if (gateway.egress.length > 0) {
      const own = new Set(gateway.egress.flatMap(({ group }) => group ?? []));
      devices = new Map([...devices, ...this.#planDevices(gateway, own)]);
    }
    return { gateway: gateway.plan, groups: gateway.groups, devices };
  }

  /**
   * Whether a user's groups reach anything at a gateway and leave it to them, so that devices of theirs are there unless
   * something else keeps them out; undefined where there is no such gateway.
   */
  reaches(gatewayId: string, userId: string): boolean | undefined {
    const granted = this.#gateways.get(gatewayId)?.granted;
    const user = this.#model.users.get(userId);
    if (granted === undefined || user === undefined) return granted && false;
    return groupsOf(user).some((group) => granted.ids.has(group)) && admits(this.#model, user, granted.place);
  }

  /** The devices at a gateway, or those of the members of certain groups. */
  #planDevices(at: DeviceContext, groups?: ReadonlySet<string>): ReadonlyMap<string, DevicePlan> {
    const devices = new Map<string, DevicePlan>();
    for (const device of this.#model.devices.values()) {
      if (groups !== undefined) {
        const user = this.#model.users.get(device.userId);
        if (user === undefined || !intersects(user.groups, groups)) continue;
      }
      const plan = planDevice(this.#model, device, this.#active.get(device.id), at);
      if (plan !== undefined) devices.set(plan.id, plan);
    }
    return devices;
  }

  /** Takes in a changed model and the time. Answers with what changes at each gateway where something does. */
  update(model: AccessModel, now: number): ReadonlyMap<string, StateChange> {
    const before = { model: this.#model, active: this.#active };
    const gatewaysBefore = this.#gateways;
    const affected = this.#affectedDevices(model, now);
    const active = this.#activeAfter(model, now, affected);
    const changed = groupsOfChangedRules(this.#model, model);
    const rules = rulesAfter(this.#rules, model, changed);
    const gateways = this.#gatewaysAfter(model, rules, changed, affected);

    const deviceChanges = new DeviceChanges(before, { model, active }, affected);
    const changes = new Map<string, StateChange>();
    for (const [id, gateway] of gateways) {
      const old = gatewaysBefore.get(id);
      const change: StateChange = {
        ...(old?.plan === gateway.plan ? {} : { gateway: gateway.plan }),
        ...groupChange(old?.groups, gateway.groups),
        ...deviceChanges.between(old, gateway),
      };
      if (!isEmpty(change)) changes.set(id, change);
    }

    this.#model = model;
    this.#now = now;
    this.#rules = rules;
    this.#active = active;
    this.#gateways = gateways;
    const granted = new Set(Array.from(gateways.values(), (gateway) => gateway.granted));
    for (const known of this.#devices.keys()) if (affected.size > 0 || !granted.has(known)) this.#devices.delete(known);
    return changes;
  }

  /** The devices that may have another standing, other limits or other groups than before. */
  #affectedDevices(model: AccessModel, now: number): Set<string> {
    const affected = changedIds(this.#model.devices, model.devices);
    const users = changedIds(this.#model.users, model.users);
    const groups = changedIds(this.#model.groups, model.groups);
    // A clock that was set back may make devices active again.
    const all = groups.has(EVERYONE) || now < this.#now;
    if (groups.size > 0 && !all) {
      for (const user of model.users.values()) if (intersects(user.groups, groups)) users.add(user.id);
    }
    if (all || users.size > 0) {
      for (const device of model.devices.values()) if (all || users.has(device.userId)) affected.add(device.id);
    }
    if (now >= this.#nextExpiry) {
      for (const [id, { validUntil }] of this.#active) if ((validUntil ?? Infinity) <= now) affected.add(id);
    }
    return affected;
  }

  #activeAfter(model: AccessModel, now: number, affected: ReadonlySet<string>): Map<string, ActiveDevice> {
    if (affected.size === 0) return this.#active;
    const active = new Map(this.#active);
    for (const id of affected) {
      const device = model.devices.get(id);
      const facts = device && activeDevice(model, device, now);
      if (facts === undefined) active.delete(id);
      else active.set(id, facts);
    }
    let next = Infinity;
    for (const { validUntil } of active.values()) if (validUntil !== undefined && validUntil < next) next = validUntil;
    this.#nextExpiry = next;
    return active;
  }

  #gatewaysAfter(
    model: AccessModel,
    rules: RulesByGroup,
    changed: ReadonlySet<string>,
    affected: ReadonlySet<string>,
  ): ReadonlyMap<string, PlannedGateway> {
    const old = this.#model;
    const samePools = old.pool4 === model.pool4 && old.pool6 === model.pool6;
    const sameForAll =
      (old.names ?? null) === (model.names ?? null) && (old.openvpn ?? null) === (model.openvpn ?? null);
    const samePlaces = old.groups === model.groups && old.gateways === model.gateways;
    const connected = this.#connectedAfter(model, affected);
    const sameConnected = connected === this.#connected;
    this.#connected = connected;
    if (rules === this.#rules && samePools && sameForAll && samePlaces && sameConnected) return this.#gateways;
    const all = old.gateways === model.gateways ? this.#entrances : keepEqual(this.#entrances, entrances(model));
    const sameNeighbours = all === this.#entrances;
    this.#entrances = all;
    const demanded = demandedPlaces(model);
    const planners = new Map<string, GroupPlanner>();
    const plannerOf = (group: string): GroupPlanner => {
      const planner = planners.get(group) ?? groupPlanner(group, rules.get(group) ?? []);
      planners.set(group, planner);
      return planner;
    };
    const granted = new Map<string, GrantedGroups>();
    for (const { granted: known } of this.#gateways.values()) granted.set(known.key, known);

    const gateways = new Map<string, PlannedGateway>();
    for (const gateway of model.gateways.values()) {
      const known = this.#gateways.get(gateway.id);
      const groups = groupsAfter(known?.groups, known === undefined ? rules.keys() : changed, plannerOf, gateway.id);
      const place = placeOf(gateway, demanded);
      const sameGranted = known?.groups === groups && samePlace(known.granted.place, place);
      const samePlan =
        samePools && sameForAll && sameNeighbours && sameConnected && old.gateways.get(gateway.id) === gateway;
      if (known !== undefined && sameGranted && samePlan) {
        gateways.set(gateway.id, known);
        continue;
      }
      const plan = known !== undefined && samePlan ? known.plan : gatewayPlan(model, gateway, all, connected);
      const found = known !== undefined && sameGranted ? known.granted : grantedGroups(groups, place);
      const shared = granted.get(found.key) ?? found;
      granted.set(shared.key, shared);
      gateways.set(gateway.id, {
        plan: known !== undefined && sameGateway(known.plan, plan) ? known.plan : plan,
        groups,
        granted: shared,
        egress: ownEgress(gateway),
      });
    }
    return gateways;
  }

  /** The list of before where none of the devices that changed has, or had, other networks behind it. */
  #connectedAfter(model: AccessModel, affected: ReadonlySet<string>): readonly string[] {
    const before = this.#model.devices;
    for (const id of affected) {
      const [old = [], now = []] = [before.get(id)?.networks, model.devices.get(id)?.networks];
      if (old.length !== now.length || old.some((network, i) => network !== now[i])) return connectedNetworks(model);
    }
    return this.#connected;
  }
}

/** The list of before where it is no other than the one of after. */
function keepEqual(before: readonly Neighbour[], after: readonly Neighbour[]): readonly Neighbour[] {
  const same = (a: Neighbour, b: Neighbour | undefined): boolean =>
    a.gatewayId === b?.gatewayId && a.host === b.host && a.port === b.port;
  return before.length === after.length && before.every((item, i) => same(item, after[i])) ? before : after;
}

function samePlace(a: Place, b: Place): boolean {
  return a.id === b.id && a.regionId === b.regionId;
}

function groupsAfter(
  known: ReadonlyMap<string, GroupPlan> | undefined,
  changed: Iterable<string>,
  plannerOf: (group: string) => GroupPlanner,
  gatewayId: string,
): ReadonlyMap<string, GroupPlan> {
  let groups: Map<string, GroupPlan> | undefined;
  for (const id of changed) {
    const old = known?.get(id);
    const plan = plannerOf(id)(gatewayId);
    if (old === plan || (old !== undefined && plan !== undefined && sameGroup(old, plan))) continue;
    groups ??= new Map(known);
    if (plan === undefined) groups.delete(id);
    else groups.set(id, plan);
  }
  return groups ?? known ?? new Map<string, GroupPlan>();
}

function groupChange(from: ReadonlyMap<string, GroupPlan> | undefined, to: ReadonlyMap<string, GroupPlan>) {
  const putGroups: GroupPlan[] = [];
  const removeGroups: string[] = [];
  if (from !== to) {
    for (const group of to.values()) if (from?.get(group.id) !== group) putGroups.push(group);
    for (const id of from?.keys() ?? []) if (!to.has(id)) removeGroups.push(id);
  }
  return { putGroups, removeGroups };
}

/** The rules of before, with those of the groups that changed. */
function rulesAfter(before: RulesByGroup, model: AccessModel, changed: ReadonlySet<string>): RulesByGroup {
  if (changed.size === 0) return before;
  const rules = new Map(before);
  const compiled = compileRules(model, changed);
  for (const group of changed) {
    const list = compiled.get(group);
    if (list === undefined) rules.delete(group);
    else rules.set(group, list);
  }
  return rules;
}

function changedIds<T>(from: ReadonlyMap<string, T>, to: ReadonlyMap<string, T>): Set<string> {
  const changed = new Set<string>();
  if (from === to) return changed;
  for (const [id, item] of to) if (from.get(id) !== item) changed.add(id);
  for (const id of from.keys()) if (!to.has(id)) changed.add(id);
  return changed;
}

function intersects(set: ReadonlySet<string>, other: ReadonlySet<string>): boolean {
  for (const item of set) if (other.has(item)) return true;
  return false;
}
