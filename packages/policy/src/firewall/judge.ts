/** The decision about a packet that begins a flow, as plainly as it can be said: what the compiled rules must agree with. */
import { parseAddress, parsePrefix, prefixContains, type IpAddress } from '../access/ip.ts';
import type { Destination } from '../state.ts';
import { PROTOCOL_NUMBERS } from './boxes.ts';
import type { FirewallPlan } from './plan.ts';
import { SPECIAL_RANGES } from './special-ranges.ts';

/** A packet that comes from a tunnel, or would go into one. */
export interface FirstPacket {
  /** Whether it came in through the tunnel's interface. */
  readonly fromTunnel: boolean;
  readonly source: string;
  readonly destination: string;
  /** The IP protocol's number. ICMP is taken for an echo request. */
  readonly protocol: number;
  /** The destination port; 0 for protocols without ports. */
  readonly port: number;
}

export interface Judgement {
  readonly allowed: boolean;
  /** The rule that allows it: of the device's groups in their order, the first grant that fits. */
  readonly rule?: string;
  /** Why, where no rule says so. */
  readonly reason?: 'begunOutside' | 'unknownSource' | 'thisGateway' | 'neighbour' | 'noRule';
}

export function judge(plan: FirewallPlan, packet: FirstPacket): Judgement {
  const destination = parseAddress(packet.destination);
  const source = parseAddress(packet.source);
  if (!packet.fromTunnel) return { allowed: false, reason: 'begunOutside' };
  const device = plan.devices.find(({ ipv4, ipv6 }) => ipv4 === packet.source || ipv6 === packet.source);
  if (device === undefined || destination === undefined || source?.family !== destination.family) {
    return { allowed: false, reason: 'unknownSource' };
  }
  for (const id of isCutOff(plan, destination) ? [] : device.groups) {
    for (const grant of plan.groups.find((group) => group.id === id)?.grants ?? []) {
      const fits =
        serviceFits(grant, destination.family, packet) && destinationFits(plan, grant.destination, destination);
      if (fits) return { allowed: true, rule: grant.rule };
    }
  }
  if (isOpenHere(plan, packet, destination)) return { allowed: true, reason: 'thisGateway' };
  if (isNeighbour(plan, packet, destination)) return { allowed: true, reason: 'neighbour' };
  return { allowed: false, reason: 'noRule' };
}

function serviceFits(
  { protocol, ports }: FirewallPlan['groups'][number]['grants'][number],
  family: 4 | 6,
  packet: FirstPacket,
): boolean {
  if (protocol === 'any') return true;
  if (packet.protocol !== PROTOCOL_NUMBERS[family][protocol]) return false;
  if (protocol === 'icmp' || ports.length === 0) return true;
  return ports.some(({ from, to }) => from <= packet.port && packet.port <= to);
}

function destinationFits(plan: FirewallPlan, wanted: Destination, destination: IpAddress): boolean {
  switch (wanted.kind) {
    case 'internet':
      return isInternet(plan, destination);
    case 'network':
      return isWithin([wanted.prefix], destination);
    case 'name':
      return Object.hasOwn(plan.names, wanted.name) && isWithin(plan.names[wanted.name], destination);
  }
}

function isInternet(plan: FirewallPlan, address: IpAddress): boolean {
  return !isWithin([...SPECIAL_RANGES[address.family], ...insideOf(plan)], address);
}

/** What is this service's own or behind it. */
function insideOf({ gateway, ownAddresses, devices, connectedNetworks = [] }: FirewallPlan): readonly string[] {
  const routed = devices.flatMap(({ networks = [] }) => networks);
  return [gateway.pool4, gateway.pool6, ...ownAddresses, ...routed, ...connectedNetworks];
}

/** Whether it lies behind a device of the service, and behind none here. */
function isCutOff({ devices, connectedNetworks = [] }: FirewallPlan, address: IpAddress): boolean {
  const routed = devices.flatMap(({ networks = [] }) => networks);
  return isWithin(connectedNetworks, address) && !isWithin(routed, address);
}

function isNeighbour(plan: FirewallPlan, packet: FirstPacket, destination: IpAddress): boolean {
  if (packet.protocol !== PROTOCOL_NUMBERS[destination.family].udp || isWithin(insideOf(plan), destination))
    return false;
  if (isWithin(SPECIAL_RANGES[destination.family], destination)) {
    const named = plan.groups.flatMap(({ grants }) => grants.map((grant) => grant.destination));
    if (packet.port < 1024 || !isWithin(['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'], destination))
      return false;
    if (named.some((wanted) => wanted.kind === 'network' && isWithin([wanted.prefix], destination))) return false;
  }
  return (plan.neighbours ?? []).some(
    ({ host, port }) => port === packet.port && isWithin(addressesOf(plan, host), destination),
  );
}

function addressesOf({ names }: FirewallPlan, host: string): readonly string[] {
  const name = host.toLowerCase();
  if (parseAddress(host) !== undefined) return [host];
  return Object.hasOwn(names, name) ? names[name] : [];
}

function isOpenHere(
  { gateway, ownAddresses, localTcpPorts, tunnelPorts }: FirewallPlan,
  packet: FirstPacket,
  destination: IpAddress,
): boolean {
  const tunnelAddresses = [gateway.address4, gateway.address6];
  const { icmp, tcp, udp } = PROTOCOL_NUMBERS[destination.family];
  if (packet.protocol === icmp) return isWithin(tunnelAddresses, destination);
  const open = packet.protocol === tcp ? tunnelPorts?.tcp : packet.protocol === udp ? tunnelPorts?.udp : undefined;
  if (open?.includes(packet.port) === true && isWithin(tunnelAddresses, destination)) return true;
  return (
    packet.protocol === tcp &&
    localTcpPorts.includes(packet.port) &&
    isWithin([...tunnelAddresses, ...ownAddresses], destination)
  );
}

function isWithin(prefixes: readonly string[], address: IpAddress): boolean {
  return prefixes.some((text) => {
    const prefix = parsePrefix(text);
    return prefix !== undefined && prefixContains(prefix, address);
  });
}
