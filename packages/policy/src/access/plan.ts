/** From the organisation to what each gateway is to do: only what that gateway needs. */
import { EVERYONE } from '../model.ts';
import type { AccessModel, DeviceModel, EgressModel, GatewayModel, UserModel } from '../model.ts';
import { sameDevice } from '../change.ts';
import type { DesiredState, DevicePlan, EgressAddresses, GatewayPlan, GroupPlan, Neighbour } from '../state.ts';
import { applyEverywhere, compileRules, groupPlanAt } from './grants.ts';
import type { CompiledRule, RulesByGroup } from './grants.ts';
import { GATEWAY_NUMBER, poolAddress } from './pool.ts';
import { admits, demandedPlaces, placeOf, type Place } from './requirements.ts';
import { bitsPerSecondOf, groupsOf, standingOf } from './standing.ts';

/** What a device is at any gateway, while it is active. */
export interface ActiveDevice {
  readonly bitsPerSecond?: number;
  readonly validUntil?: number;
}

/** The groups that reach anything at a gateway, and the place that groups may demand; gateways with the same share one object. */
export interface GrantedGroups {
  readonly key: string;
  readonly ids: ReadonlySet<string>;
  readonly place: Place;
}

/** What the plan of a device depends on at a gateway. */
export interface DeviceContext {
  readonly granted: GrantedGroups;
  /** The entries for certain groups, in order. */
  readonly egress: readonly EgressModel[];
}

/**
 * What a gateway is to do: the active devices whose groups reach anything there, and what those groups reach.
 * Throws a RangeError when there is no such gateway.
 */
export function planGateway(model: AccessModel, gatewayId: string, now: number): DesiredState {
  const gateway = model.gateways.get(gatewayId);
  if (gateway === undefined) throw new RangeError(`there is no gateway ${gatewayId}`);
  const groups = groupPlansAt(compileRules(model), gatewayId);
  const place = placeOf(gateway, demandedPlaces(model));
  const context = { granted: grantedGroups(groups, place), egress: ownEgress(gateway) };
  const devices = new Map<string, DevicePlan>();
  for (const device of model.devices.values()) {
    const plan = planDevice(model, device, activeDevice(model, device, now), context);
    if (plan !== undefined) devices.set(plan.id, plan);
  }
  return { gateway: gatewayPlan(model, gateway, entrances(model), connectedNetworks(model)), groups, devices };
}

/** The next moment at which a device's access ends by time alone, or undefined. */
export function nextExpiry(model: AccessModel, now: number): number | undefined {
  let next = Infinity;
  for (const device of model.devices.values()) {
    next = Math.min(next, standingOf(model, device, now).validUntil ?? Infinity);
  }
  return next === Infinity ? undefined : next;
}

export function groupPlansAt(rules: RulesByGroup, gatewayId: string): ReadonlyMap<string, GroupPlan> {
  const plans = new Map<string, GroupPlan>();
  for (const [group, list] of rules) {
    const plan = groupPlanAt(group, list, gatewayId);
    if (plan !== undefined) plans.set(group, plan);
  }
  return plans;
}

/** Gives a group's plan at a gateway, the same object where every gateway has the same. */
export type GroupPlanner = (gatewayId: string) => GroupPlan | undefined;

export function groupPlanner(group: string, rules: readonly CompiledRule[]): GroupPlanner {
  if (!applyEverywhere(rules)) return (gatewayId: string) => groupPlanAt(group, rules, gatewayId);
  const shared = groupPlanAt(group, rules, '');
  return () => shared;
}

export function gatewayPlan(
  model: AccessModel,
  gateway: GatewayModel,
  all: readonly Neighbour[],
  connected: readonly string[],
): GatewayPlan {
  const { id, name, draining } = gateway;
  const neighbours = all.filter(({ gatewayId }) => gatewayId !== id);
  return {
    id,
    name,
    pool4: model.pool4,
    pool6: model.pool6,
    address4: poolAddress(model.pool4, GATEWAY_NUMBER),
    address6: poolAddress(model.pool6, GATEWAY_NUMBER),
    egress: addressesOf(gateway.egress[ownEgress(gateway).length]),
    draining,
    ...(neighbours.length === 0 ? {} : { neighbours }),
    ...(connected.length === 0 ? {} : { connectedNetworks: connected }),
    ...(model.names ? { names: model.names } : {}),
    ...(model.openvpn && gateway.openvpnCertificate
      ? { openvpn: { ...model.openvpn, certificate: gateway.openvpnCertificate } }
      : {}),
  };
}

/** The entrances of all gateways that have one, by id. */
export function entrances(model: AccessModel): readonly Neighbour[] {
  return [...model.gateways.values()]
    .flatMap(({ id, endpoint }) => (endpoint ? [{ gatewayId: id, host: endpoint.host, port: endpoint.port }] : []))
    .sort((a, b) => (a.gatewayId < b.gatewayId ? -1 : 1));
}

/** The networks behind all devices, of those too that may not connect: whoever else has such a network is not meant. */
export function connectedNetworks(model: AccessModel): readonly string[] {
  const networks = new Set<string>();
  for (const device of model.devices.values()) for (const network of device.networks ?? []) networks.add(network);
  return [...networks].sort();
}

export function grantedGroups(groups: ReadonlyMap<string, GroupPlan>, place: Place): GrantedGroups {
  const ids = [...groups.keys()].sort();
  return { key: JSON.stringify([ids, place.id, place.regionId]), ids: new Set(ids), place };
}

/** What an active device is, or undefined where it may not connect. */
export function activeDevice(model: AccessModel, device: DeviceModel, now: number): ActiveDevice | undefined {
  const { standing, validUntil } = standingOf(model, device, now);
  if (standing !== 'active') return undefined;
  const bitsPerSecond = bitsPerSecondOf(model, device);
  return {
    ...(bitsPerSecond === null ? {} : { bitsPerSecond }),
    ...(validUntil === undefined ? {} : { validUntil }),
  };
}

/** A device at a gateway: undefined where it may not connect, or reaches nothing. Equal plans are one object. */
export function planDevice(
  model: AccessModel,
  device: DeviceModel,
  active: ActiveDevice | undefined,
  at: DeviceContext,
): DevicePlan | undefined {
  const user = model.users.get(device.userId);
  if (active === undefined || user === undefined || !admits(model, user, at.granted.place)) return undefined;
  const member = groupsOf(user);
  const groups = member.filter((group) => at.granted.ids.has(group));
  if (groups.length === 0) return undefined;
  const entry = at.egress.find(({ group }) => group !== null && member.includes(group));
  const { id, ipv4, ipv6, networks = [] } = device;
  const plan = {
    id,
    ...proofOf(device, user),
    ipv4,
    ipv6,
    groups,
    ...(entry === undefined ? {} : { egress: addressesOf(entry) }),
    ...(networks.length === 0 ? {} : { networks }),
    ...active,
  };
  return shared(device, plan);
}

/** What the device proves by that it is itself. */
function proofOf(
  { publicKey, openvpn }: DeviceModel,
  { name, loginEpoch }: UserModel,
): Pick<DevicePlan, 'publicKey' | 'openvpn'> {
  if (!openvpn) return publicKey === null ? {} : { publicKey };
  const { login, certificate } = openvpn;
  const certificates = certificate === null ? [] : [certificate.sha256];
  return { openvpn: { certificates, login, userName: name, ...(login === 'certificate' ? {} : { loginEpoch }) } };
}

// Devices are plain data that doesn't change. Few forms of a device are in use at a time.
const MAX_FORMS = 8;
const forms = new WeakMap<DeviceModel, DevicePlan[]>();

function shared(device: DeviceModel, plan: DevicePlan): DevicePlan {
  const known = forms.get(device);
  if (known === undefined) {
    forms.set(device, [plan]);
    return plan;
  }
  const same = known.find((form) => sameDevice(form, plan));
  if (same !== undefined) return same;
  if (known.length === MAX_FORMS) known.shift();
  known.push(plan);
  return plan;
}

/** The entries before the first that is for everyone: those for certain groups. */
export function ownEgress(gateway: GatewayModel): readonly EgressModel[] {
  const rest = gateway.egress.findIndex(({ group }) => group === null || group === EVERYONE);
  return rest < 0 ? gateway.egress : gateway.egress.slice(0, rest);
}

function addressesOf(entry: EgressModel | undefined): EgressAddresses {
  return {
    ...(entry?.ipv4 === undefined ? {} : { ipv4: entry.ipv4 }),
    ...(entry?.ipv6 === undefined ? {} : { ipv6: entry.ipv6 }),
  };
}
