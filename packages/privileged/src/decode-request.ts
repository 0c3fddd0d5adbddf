import { BlockList, isIPv4, isIPv6 } from 'node:net';
import { faultOfNetwork, MAX_CONNECTED_NETWORKS, MAX_NETWORKS, parsePrefix, prefixContains } from '@sallyport/policy';
import type { FirewallPlan, FirewallPlanChange, IpPrefix } from '@sallyport/policy';
import type { PrivilegedRequest } from './requests.ts';

/** What the privileged process may touch at all; given at its start, never by a request. */
export interface PrivilegedBounds {
  /** The tunnel's interface. */
  readonly interfaceName: string;
  /** Prefixes that hold every tunnel address and every route to the tunnel. */
  readonly pools: readonly string[];
  /** The user whose own packets reach networks behind devices, as the name server asks there; absent: nobody's do. */
  readonly networksUid?: number | undefined;
}

/** A request breaks the rules. The message names the place. */
export class InvalidRequest extends Error {
  readonly code = 'INVALID_REQUEST';
}

const MAX_ADDRESSES = 65_536;
const MAX_ENTRIES = 1_000_000;
const MAX_NEIGHBOURS = 10_000;
/** Bits a second: what a policer of the kernel can count. */
const MAX_RATE = 1_000_000_000_000;

/** Checks requests by hand rather than by a schema: a plan has 10,000 devices, and each one is looked at in full. */
export class RequestDecoder {
  readonly #interfaceName: string;
  readonly #pools: readonly IpPrefix[];
  /** The pools once more, for single addresses: this asks in native code. */
  readonly #poolAddresses = new BlockList();

  /** Throws an Error where the bounds themselves make no sense. */
  constructor(bounds: PrivilegedBounds) {
    if (!isInterfaceName(bounds.interfaceName))
      throw new Error(`"${bounds.interfaceName}" can't be the name of an interface`);
    if (bounds.pools.length === 0) throw new Error('no address pool is given');
    this.#interfaceName = bounds.interfaceName;
    this.#pools = bounds.pools.map((text) => {
      const prefix = parsePrefix(text);
      if (prefix === undefined || prefix.length === 0 || !text.includes('/'))
        throw new Error(`"${text}" is not a prefix for an address pool`);
      this.#poolAddresses.addSubnet(text.split('/')[0] ?? '', prefix.length, prefix.family === 4 ? 'ipv4' : 'ipv6');
      return prefix;
    });
  }

  /** The request that `value` is. Throws an {@link InvalidRequest}. */
  decode(value: unknown): PrivilegedRequest {
    const kind = asObject(value, 'request')['kind'];
    switch (kind) {
      case 'configureInterface': {
        const request = exactly(value, 'request', ['kind', 'addresses', 'routes', 'mtu']);
        return {
          kind,
          addresses: list(request['addresses'], 'addresses', 64, (item, at) => this.#prefixInPools(item, at)),
          routes: list(request['routes'], 'routes', 64, (item, at) => this.#prefixInPools(item, at)),
          // 1280 is what IPv6 needs (RFC 8200, section 5).
          mtu: integer(request['mtu'], 'mtu', 1280, 65_535),
        };
      }
      case 'setNetworks': {
        const { networks, unreachable } = exactly(value, 'request', ['kind', 'networks', 'unreachable']);
        return {
          kind,
          networks: list(networks, 'networks', MAX_NETWORKS, network),
          unreachable: list(unreachable, 'unreachable', MAX_CONNECTED_NETWORKS, network),
        };
      }
      case 'setDeviceMtu': {
        const { ipv4, ipv6, mtu } = exactly(value, 'request', ['kind', 'ipv4', 'ipv6', 'mtu']);
        return {
          kind,
          ...this.#bothFamilies(ipv4, ipv6, 'request'),
          mtu: mtu === null ? null : integer(mtu, 'mtu', 1280, 65_535),
        };
      }
      case 'enableForwarding':
      case 'tearDown':
        exactly(value, 'request', ['kind']);
        return { kind };
      case 'setFirewall':
        return { kind, plan: this.#plan(exactly(value, 'request', ['kind', 'plan'])['plan']) };
      case 'changeFirewall': {
        const { revision, change } = exactly(value, 'request', ['kind', 'revision', 'change']);
        return {
          kind,
          revision: integer(revision, 'revision', 1, Number.MAX_SAFE_INTEGER),
          change: this.#planChange(change),
        };
      }
      case 'cutFlows': {
        const { addresses } = exactly(value, 'request', ['kind', 'addresses']);
        return {
          kind,
          addresses: list(addresses, 'addresses', MAX_ADDRESSES, (item, at) => this.#addressInPools(item, at)),
        };
      }
      default:
        throw new InvalidRequest('request.kind is not one that is known');
    }
  }

  #plan(value: unknown): FirewallPlan {
    const plan = exactly(value, 'plan', [...SURROUNDING_KEYS, 'groups', 'devices'], SURROUNDING_OPTIONS);
    this.#surroundings(plan);
    list(plan['groups'], 'plan.groups', MAX_ENTRIES, group);
    list(plan['devices'], 'plan.devices', MAX_ENTRIES, (item, at) => this.#device(item, at));
    return plan as unknown as FirewallPlan;
  }

  #planChange(value: unknown): FirewallPlanChange {
    const change = exactly(value, 'change', CHANGE_KEYS, ['surroundings']);
    if (change['surroundings'] !== undefined)
      this.#surroundings(exactly(change['surroundings'], 'change.surroundings', SURROUNDING_KEYS, SURROUNDING_OPTIONS));
    list(change['putGroups'], 'change.putGroups', MAX_ENTRIES, group);
    list(change['removeGroups'], 'change.removeGroups', MAX_ENTRIES, identifier);
    list(change['putDevices'], 'change.putDevices', MAX_ENTRIES, (item, at) => this.#device(item, at));
    list(change['removeDevices'], 'change.removeDevices', MAX_ENTRIES, identifier);
    return change as unknown as FirewallPlanChange;
  }

  /** What of a plan is neither a group nor a device. */
  #surroundings(plan: Readonly<Record<string, unknown>>): void {
    if (plan['interfaceName'] !== this.#interfaceName)
      throw new InvalidRequest(`plan.interfaceName is not ${this.#interfaceName}`);
    const gateway = exactly(plan['gateway'], 'plan.gateway', GATEWAY_KEYS);
    this.#prefixInPools(gateway['pool4'], 'plan.gateway.pool4');
    this.#prefixInPools(gateway['pool6'], 'plan.gateway.pool6');
    this.#addressInPools(gateway['address4'], 'plan.gateway.address4');
    this.#addressInPools(gateway['address6'], 'plan.gateway.address6');
    egress(gateway['egress'], 'plan.gateway.egress');
    list(plan['ownAddresses'], 'plan.ownAddresses', MAX_ADDRESSES, address);
    list(plan['localTcpPorts'], 'plan.localTcpPorts', 1024, (item, at) => integer(item, at, 1, 65_535));
    if (plan['tunnelPorts'] !== undefined) tunnelPorts(plan['tunnelPorts']);
    if (plan['neighbours'] !== undefined) list(plan['neighbours'], 'plan.neighbours', MAX_NEIGHBOURS, neighbour);
    if (plan['connectedNetworks'] !== undefined)
      list(plan['connectedNetworks'], 'plan.connectedNetworks', MAX_ENTRIES, prefix);
    names(plan['names']);
  }

  #device(value: unknown, at: string): void {
    const device = exactly(value, at, DEVICE_KEYS, DEVICE_OPTIONS);
    identifier(device['id'], at);
    this.#bothFamilies(device['ipv4'], device['ipv6'], at);
    list(device['groups'], at, 4096, identifier);
    if (device['egress'] !== undefined) egress(device['egress'], at);
    if (device['bitsPerSecond'] !== undefined) integer(device['bitsPerSecond'], at, 1, MAX_RATE);
    if (device['networks'] !== undefined) list(device['networks'], at, MAX_NETWORKS, network);
  }

  /** The two tunnel addresses of a device. */
  #bothFamilies(ipv4: unknown, ipv6: unknown, at: string): { ipv4: string; ipv6: string } {
    const addresses = { ipv4: this.#addressInPools(ipv4, at), ipv6: this.#addressInPools(ipv6, at) };
    if (!isIPv4(addresses.ipv4) || !isIPv6(addresses.ipv6))
      throw new InvalidRequest(`${at} needs an address of each family`);
    return addresses;
  }

  #addressInPools(value: unknown, at: string): string {
    const text = address(value, at);
    if (!this.#poolAddresses.check(text, text.includes(':') ? 'ipv6' : 'ipv4'))
      throw new InvalidRequest(`${at}: ${text} lies outside the pools that were allowed at the start`);
    return text;
  }

  #prefixInPools(value: unknown, at: string): string {
    const inner = prefix(value, at);
    if (!this.#pools.some((pool) => prefixContains(pool, inner)))
      throw new InvalidRequest(`${at}: ${value as string} lies outside the pools that were allowed at the start`);
    return value as string;
  }
}

const SURROUNDING_KEYS = ['interfaceName', 'gateway', 'ownAddresses', 'localTcpPorts', 'names'];
const SURROUNDING_OPTIONS = ['tunnelPorts', 'neighbours', 'connectedNetworks'];
const CHANGE_KEYS = ['putGroups', 'removeGroups', 'putDevices', 'removeDevices'];
const GATEWAY_KEYS = ['pool4', 'pool6', 'address4', 'address6', 'egress'];
const DEVICE_KEYS = ['id', 'ipv4', 'ipv6', 'groups'];
const DEVICE_OPTIONS = ['egress', 'bitsPerSecond', 'networks'];

/** Whether the kernel and every command line take this as the name of an interface (IFNAMSIZ is 16). */
export function isInterfaceName(name: string): boolean {
  return /^[a-zA-Z][a-zA-Z0-9_.-]{0,14}$/.test(name) && name !== 'all' && name !== 'default';
}

function group(value: unknown, at: string): void {
  const { id, grants } = exactly(value, at, ['id', 'grants']);
  identifier(id, at);
  list(grants, at, MAX_ENTRIES, grant);
}

function grant(value: unknown, at: string): void {
  const { rule, destination, protocol, ports } = exactly(value, at, ['rule', 'destination', 'protocol', 'ports']);
  identifier(rule, at);
  const kind = asObject(destination, at)['kind'];
  if (kind === 'internet') exactly(destination, at, ['kind']);
  else if (kind === 'network') prefix(exactly(destination, at, ['kind', 'prefix'])['prefix'], at);
  else if (kind === 'name') name(exactly(destination, at, ['kind', 'name'])['name'], at);
  else throw new InvalidRequest(`${at} has a destination of an unknown kind`);
  if (!['any', 'tcp', 'udp', 'icmp'].includes(protocol as string))
    throw new InvalidRequest(`${at} has an unknown protocol`);
  list(ports, at, 4096, (item) => {
    const range = exactly(item, at, ['from', 'to']);
    integer(range['to'], at, integer(range['from'], at, 0, 65_535), 65_535);
  });
}

function tunnelPorts(value: unknown): void {
  const { udp, tcp } = exactly(value, 'plan.tunnelPorts', ['udp', 'tcp']);
  for (const ports of [udp, tcp]) list(ports, 'plan.tunnelPorts', 16, (item, at) => integer(item, at, 1, 65_535));
}

function neighbour(value: unknown, at: string): void {
  const { gatewayId, host, port } = exactly(value, at, ['gatewayId', 'host', 'port']);
  identifier(gatewayId, at);
  if (typeof host !== 'string' || !(isIPv4(host) || isPlainIPv6(host))) name(host, at);
  integer(port, at, 1, 65_535);
}

/** What no device's network may be, wherever it is asked for; what of this machine it meets is found out later. */
function network(value: unknown, at: string): string {
  prefix(value, at);
  const fault = faultOfNetwork(value as string, []);
  if (fault !== undefined) throw new InvalidRequest(`${at}: ${fault}`);
  return value as string;
}

function egress(value: unknown, at: string): void {
  const { ipv4, ipv6 } = exactly(value, at, [], ['ipv4', 'ipv6']);
  if (ipv4 !== undefined && !(typeof ipv4 === 'string' && isIPv4(ipv4)))
    throw new InvalidRequest(`${at}: the IPv4 egress is not an IPv4 address`);
  if (ipv6 !== undefined && !(typeof ipv6 === 'string' && isPlainIPv6(ipv6)))
    throw new InvalidRequest(`${at}: the IPv6 egress is not an IPv6 address`);
}

function names(value: unknown): void {
  const entries = Object.entries(asObject(value, 'plan.names'));
  if (entries.length > MAX_ENTRIES) throw new InvalidRequest('plan.names has too many entries');
  for (const [key, addresses] of entries) {
    name(key, 'plan.names');
    list(addresses, 'plan.names', 4096, address);
  }
}

function asObject(value: unknown, at: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new InvalidRequest(`${at} is not an object`);
  return value as Record<string, unknown>;
}

/** An object with all of `keys`, perhaps some of `options`, and nothing else. */
function exactly(
  value: unknown,
  at: string,
  keys: readonly string[],
  options: readonly string[] = [],
): Record<string, unknown> {
  const object = asObject(value, at);
  for (const key of keys) if (object[key] === undefined) throw new InvalidRequest(`${at} lacks "${key}"`);
  for (const key in object)
    if (!keys.includes(key) && !options.includes(key)) throw new InvalidRequest(`${at} has a key that is not known`);
  return object;
}

function list<T>(value: unknown, at: string, most: number, item: (value: unknown, at: string) => T): T[] {
  if (!Array.isArray(value)) throw new InvalidRequest(`${at} is not a list`);
  if (value.length > most) throw new InvalidRequest(`${at} has more than ${String(most)} entries`);
  return value.map((entry) => item(entry, at));
}

function integer(value: unknown, at: string, least: number, most: number): number {
  if (!Number.isSafeInteger(value) || (value as number) < least || (value as number) > most)
    throw new InvalidRequest(`${at} has a number that is not between ${String(least)} and ${String(most)}`);
  return value as number;
}

function identifier(value: unknown, at: string): void {
  if (typeof value !== 'string' || !/^[\w.:-]{1,128}$/.test(value))
    throw new InvalidRequest(`${at} has an identifier that is none`);
}

function name(value: unknown, at: string): void {
  if (typeof value !== 'string' || !/^(?=.{1,254}$)[\w-]{1,63}(\.[\w-]{1,63})*\.?$/.test(value))
    throw new InvalidRequest(`${at} has a host name that is none`);
}

function address(value: unknown, at: string): string {
  if (typeof value !== 'string' || !(isIPv4(value) || isPlainIPv6(value)))
    throw new InvalidRequest(`${at} has an address that is none`);
  return value;
}

/** Without the zone that Node takes for a part of the address. */
function isPlainIPv6(text: string): boolean {
  return isIPv6(text) && !text.includes('%');
}

function prefix(value: unknown, at: string): IpPrefix {
  const parsed = typeof value === 'string' && value.includes('/') ? parsePrefix(value) : undefined;
  if (parsed === undefined) throw new InvalidRequest(`${at} has a prefix that is none`);
  return parsed;
}
