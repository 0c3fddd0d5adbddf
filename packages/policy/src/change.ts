import type {
  DesiredState,
  DevicePlan,
  EgressAddresses,
  GatewayPlan,
  Grant,
  GroupPlan,
  NamesPlan,
  Neighbour,
  OpenVpnDevice,
  OpenVpnGateway,
  StateChange,
} from './state.ts';

/** The whole entries in which `to` differs from `from`; everything of `to` where there is no state before it. */
export function changeBetween(from: DesiredState | undefined, to: DesiredState): StateChange {
  const groups = mapChange(from?.groups, to.groups, sameGroup);
  const devices = mapChange(from?.devices, to.devices, sameDevice);
  return {
    ...(from === undefined || !sameGateway(from.gateway, to.gateway) ? { gateway: to.gateway } : {}),
    putGroups: groups.put,
    removeGroups: groups.remove,
    putDevices: devices.put,
    removeDevices: devices.remove,
  };
}

/** The state that a change leads to; what it doesn't touch is shared with the state before. Throws a RangeError when there is no gateway in either. */
export function applyChange(state: DesiredState | undefined, change: StateChange): DesiredState {
  const gateway = change.gateway ?? state?.gateway;
  if (gateway === undefined) throw new RangeError('a change without a gateway needs a state to be applied to');
  return {
    gateway,
    groups: applyToMap(state?.groups, change.putGroups, change.removeGroups),
    devices: applyToMap(state?.devices, change.putDevices, change.removeDevices),
  };
}

export function isEmpty(change: StateChange): boolean {
  return (
    change.gateway === undefined &&
    change.putGroups.length === 0 &&
    change.removeGroups.length === 0 &&
    change.putDevices.length === 0 &&
    change.removeDevices.length === 0
  );
}

export function sameGroup(a: GroupPlan, b: GroupPlan): boolean {
  return a === b || (a.id === b.id && sameList(a.grants, b.grants, sameGrant));
}

export function sameDevice(a: DevicePlan, b: DevicePlan): boolean {
  return (
    a === b ||
    (a.id === b.id &&
      a.publicKey === b.publicKey &&
      sameOpenVpnDevice(a.openvpn, b.openvpn) &&
      a.ipv4 === b.ipv4 &&
      a.ipv6 === b.ipv6 &&
      a.bitsPerSecond === b.bitsPerSecond &&
      a.validUntil === b.validUntil &&
      sameEgress(a.egress, b.egress) &&
      sameTexts(a.networks ?? [], b.networks ?? []) &&
      sameTexts(a.groups, b.groups))
  );
}

export function sameGateway(a: GatewayPlan, b: GatewayPlan): boolean {
  return (
    a === b ||
    (a.id === b.id &&
      a.name === b.name &&
      a.pool4 === b.pool4 &&
      a.pool6 === b.pool6 &&
      a.address4 === b.address4 &&
      a.address6 === b.address6 &&
      a.draining === b.draining &&
      sameEgress(a.egress, b.egress) &&
      sameList(a.neighbours ?? [], b.neighbours ?? [], sameNeighbour) &&
      sameTexts(a.connectedNetworks ?? [], b.connectedNetworks ?? []) &&
      sameNames(a.names, b.names) &&
      sameOpenVpnGateway(a.openvpn, b.openvpn))
  );
}

/** Whether an OpenVPN device has to show the same as before, and what it has shown still counts. */
export function sameOpenVpnDevice(a: OpenVpnDevice | undefined, b: OpenVpnDevice | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a === b ||
    (a.login === b.login &&
      a.userName === b.userName &&
      a.loginEpoch === b.loginEpoch &&
      sameTexts(a.certificates, b.certificates))
  );
}

function sameOpenVpnGateway(a: OpenVpnGateway | undefined, b: OpenVpnGateway | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a === b ||
    (a.authority === b.authority &&
      a.certificate === b.certificate &&
      a.clientKey === b.clientKey &&
      a.tokenKey === b.tokenKey &&
      sameTexts(a.dataCiphers, b.dataCiphers) &&
      sameTexts(a.push, b.push))
  );
}

function sameNeighbour(a: Neighbour, b: Neighbour): boolean {
  return a.gatewayId === b.gatewayId && a.host === b.host && a.port === b.port;
}

/** Answers with nothing set aren't the same as no answers. */
function sameNames(a: NamesPlan | undefined, b: NamesPlan | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a === b ||
    (sameTexts(a.upstreams, b.upstreams) &&
      sameTexts(a.blocked, b.blocked) &&
      sameTexts(a.blockLists, b.blockLists) &&
      sameList(a.hosts, b.hosts, (x, y) => x.name === y.name && sameTexts(x.addresses, y.addresses)) &&
      sameList(a.domains, b.domains, (x, y) => x.domain === y.domain && sameTexts(x.servers, y.servers)))
  );
}

function sameEgress(a: EgressAddresses | undefined, b: EgressAddresses | undefined): boolean {
  // An entry without addresses isn't the same as none: it keeps a device from the gateway's own.
  return a === b || (a !== undefined && b !== undefined && a.ipv4 === b.ipv4 && a.ipv6 === b.ipv6);
}

function sameGrant(a: Grant, b: Grant): boolean {
  return (
    a === b ||
    (a.rule === b.rule &&
      a.protocol === b.protocol &&
      sameDestination(a.destination, b.destination) &&
      sameList(a.ports, b.ports, (x, y) => x.from === y.from && x.to === y.to))
  );
}

function sameDestination(a: Grant['destination'], b: Grant['destination']): boolean {
  if (a.kind === 'network') return b.kind === 'network' && a.prefix === b.prefix;
  if (a.kind === 'name') return b.kind === 'name' && a.name === b.name;
  return b.kind === 'internet';
}

function sameList<T>(a: readonly T[], b: readonly T[], same: (x: T, y: T) => boolean): boolean {
  return a === b || (a.length === b.length && a.every((item, i) => same(item, b[i])));
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return sameList(a, b, (x, y) => x === y);
}

function mapChange<T extends { readonly id: string }>(
  from: ReadonlyMap<string, T> | undefined,
  to: ReadonlyMap<string, T>,
  same: (a: T, b: T) => boolean,
): { readonly put: T[]; readonly remove: string[] } {
  const put: T[] = [];
  const remove: string[] = [];
  if (from === to) return { put, remove };
  for (const item of to.values()) {
    const before = from?.get(item.id);
    if (before === undefined || !same(before, item)) put.push(item);
  }
  for (const id of from?.keys() ?? []) if (!to.has(id)) remove.push(id);
  return { put, remove };
}

function applyToMap<T extends { readonly id: string }>(
  map: ReadonlyMap<string, T> | undefined,
  put: readonly T[],
  remove: readonly string[],
): ReadonlyMap<string, T> {
  if (map !== undefined && put.length === 0 && remove.length === 0) return map;
  const next = new Map(map);
  for (const id of remove) next.delete(id);
  for (const item of put) next.set(item.id, item);
  return next;
}
