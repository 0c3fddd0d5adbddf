/** What every device may reach, whatever its groups: this machine's services for it, and other gateways' entrances. */
import { formatAddress, parseAddress, parsePrefix, prefixContains, type IpAddress, type IpPrefix } from '../access/ip.ts'; // prettier-ignore
import type { Family } from './address-ranges.ts';
import { PROTOCOL_NUMBERS } from './boxes.ts';
import { insidePrefixes } from './networks.ts';
import type { FirewallPlan } from './plan.ts';
import { ALLOW, type ElementSet, type Rule } from './ruleset.ts';
import { SPECIAL_RANGES } from './special-ranges.ts';
import * as nft from './statements.ts';

const FAMILIES = [4, 6] as const;
const ADDRESS_TYPE = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const;

/** The rules behind those of a device's groups. */
export function localRules(plan: FirewallPlan): Rule[] {
  const { gateway, localTcpPorts, tunnelPorts } = plan;
  const toThisMachine = nft.match({ fib: { result: 'type', flags: ['daddr'] } }, 'local');
  const ports = (list: readonly number[]): object => ({ set: [...new Set(list)].sort((a, b) => a - b) });
  const ping = (family: Family, address: string, protocol: string): Rule => [
    nft.match(nft.address(family, 'daddr'), address),
    nft.match(nft.payload(protocol, 'type'), 'echo-request'),
    nft.goto(ALLOW),
  ];
  const open = (family: Family, address: string, protocol: 'udp' | 'tcp'): Rule[] => {
    const list = tunnelPorts?.[protocol] ?? [];
    if (list.length === 0) return [];
    return [
      [
        nft.direction('original'),
        nft.match(nft.address(family, 'daddr'), address),
        nft.match(nft.payload(protocol, 'dport'), ports(list)),
        nft.goto(ALLOW),
      ],
    ];
  };
  const addresses = [
    [4, gateway.address4],
    [6, gateway.address6],
  ] as const;
  return [
    ping(4, gateway.address4, 'icmp'),
    ping(6, gateway.address6, 'icmpv6'),
    ...addresses.flatMap(([family, address]) => [...open(family, address, 'udp'), ...open(family, address, 'tcp')]),
    ...(localTcpPorts.length === 0
      ? []
      : [
          [
            nft.direction('original'),
            toThisMachine,
            nft.match(nft.payload('tcp', 'dport'), ports(localTcpPorts)),
            nft.goto(ALLOW),
          ],
        ]),
    ...neighbourRules(),
  ];
}

function neighbourRules(): Rule[] {
  return FAMILIES.flatMap((family) =>
    (
      [
        ['original', 'daddr', 'dport'],
        ['reply', 'saddr', 'sport'],
      ] as const
    ).map(([direction, address, port]): Rule => {
      const key = { concat: [nft.address(family, address), nft.l4proto, nft.payload('th', port)] };
      return [nft.direction(direction), nft.match(key, `@neighbours${String(family)}`), nft.goto(ALLOW)];
    }),
  );
}

/** Adds the sets of the neighbours' addresses, protocol and ports. */
export function addNeighbours(plan: FirewallPlan, sets: Map<string, ElementSet>): void {
  for (const family of FAMILIES) {
    const elements = new Map<string, string>();
    for (const { address, port } of neighbourEndpoints(plan)) {
      const parsed = parseAddress(address);
      if (parsed?.family !== family) continue;
      elements.set(`${address}|${String(PROTOCOL_NUMBERS[family].udp)}|${String(port)}`, '');
    }
    sets.set(`neighbours${String(family)}`, { key: [ADDRESS_TYPE[family], 'inet_proto', 'inet_service'], elements });
  }
}

/**
 * Addresses and UDP ports of other gateways' entrances. A gateway says itself where it is, so it is not trusted to lead
 * elsewhere: neither tunnel addresses nor this machine's own nor networks behind devices are opened by it. Of what is
 * not the internet only private addresses, at ports where no system's own services are, and outside the networks that
 * rules name: what is there takes a rule.
 */
export function neighbourEndpoints(plan: FirewallPlan): { readonly address: string; readonly port: number }[] {
  const { neighbours = [], names } = plan;
  if (neighbours.length === 0) return [];
  const inside = prefixesOf(insidePrefixes(plan));
  let named: readonly IpPrefix[] | undefined;
  return neighbours.flatMap(({ host, port }) => {
    const name = host.toLowerCase();
    const addresses = parseAddress(host) !== undefined ? [host] : Object.hasOwn(names, name) ? names[name] : [];
    return addresses.flatMap((text) => {
      const address = parseAddress(text);
      if (address === undefined || holds(inside, address)) return [];
      const open =
        !holds(SPECIAL[address.family], address) ||
        (holds(PRIVATE, address) && port >= FIRST_PRIVATE_PORT && !holds((named ??= namedPrefixes(plan)), address));
      return open ? [{ address: formatAddress(address), port }] : [];
    });
  });
}

/** RFC 1918, RFC 4193. */
const PRIVATE_RANGES = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', 'fc00::/7'];
/** Below are the systems' own services (RFC 6335): names, time, management. */
const FIRST_PRIVATE_PORT = 1024;
const PRIVATE = prefixesOf(PRIVATE_RANGES);
const SPECIAL = { 4: prefixesOf(SPECIAL_RANGES[4]), 6: prefixesOf(SPECIAL_RANGES[6]) };

/** The networks that rules name. */
function namedPrefixes({ groups }: FirewallPlan): IpPrefix[] {
  const destinations = groups.flatMap(({ grants }) => grants.map(({ destination }) => destination));
  return prefixesOf(destinations.flatMap((one) => (one.kind === 'network' ? one.prefix : [])));
}

function prefixesOf(texts: readonly string[]): IpPrefix[] {
  return [...new Set(texts)].flatMap((text) => parsePrefix(text) ?? []);
}

function holds(prefixes: readonly IpPrefix[], address: IpAddress): boolean {
  return prefixes.some((prefix) => prefixContains(prefix, address));
}
