/**
 * Routes that no route from outside can beat: our rules come before the table `main`, so what DHCP or a router puts there
 * (TunnelVision) is asked for marked packets and for named prefixes alone.
 */
import { familyOf, formatPrefix, parsePrefix, type Family } from '../ip.ts';
import type { RoutePlan, RouteSpec, RuleSpec } from '../machine/types.ts';
import {
  ENTRY_INTERFACE,
  ENTRY_ROUTE_TABLE,
  FIRST_RULE_PRIORITY,
  INNER_MARK,
  OUTSIDE_MARK,
  SPLIT_MARK,
  TUNNEL_INTERFACE,
  TUNNEL_ROUTE_TABLE,
} from '../names.ts';

export interface RouteWishes {
  readonly ipv4: string;
  readonly ipv6: string;
  /** The interfaces are there; else what belongs into the tunnel is unreachable. */
  readonly tunnel: boolean;
  readonly entry: boolean;
  /** What the tunnel takes. */
  readonly allowedIps: readonly string[];
  /** Always into the tunnel, before anything local: the service's own addresses, name servers. */
  readonly inside: readonly string[];
  /** Beside the tunnel. */
  readonly excluded: readonly string[];
  readonly local: readonly string[] | undefined;
  readonly connector: readonly string[];
  /** These alone go into the tunnel, with `inside`. */
  readonly only: readonly string[] | undefined;
  /** What goes into the entry's tunnel: the exits' endpoints, the tunnel service's addresses. */
  readonly behindEntry: readonly string[];
  /** Of the tunnel's routes; undefined: the interface's. */
  readonly mtu: number | undefined;
}

const MAIN = 254;
const families: readonly Family[] = [4, 6];

export function routePlanOf(wishes: RouteWishes): RoutePlan {
  const at = (offset: number): number => FIRST_RULE_PRIORITY + offset;
  const rules = [
    ...marked(at(0), OUTSIDE_MARK, MAIN),
    ...marked(at(1), INNER_MARK, ENTRY_ROUTE_TABLE),
    ...marked(at(2), SPLIT_MARK, MAIN),
    ...towards(at(3), wishes.inside, TUNNEL_ROUTE_TABLE),
    ...towards(at(4), wishes.excluded, MAIN),
    ...towards(at(5), wishes.connector, MAIN),
    // Link-local addresses mean nothing in a tunnel.
    ...towards(at(6), ['fe80::/10'], MAIN),
  ];
  if (wishes.local !== undefined) {
    rules.push(...towards(at(7), [...wishes.local, '169.254.0.0/16', '224.0.0.0/24', '239.255.255.250/32'], MAIN));
  }
  if (wishes.only === undefined) {
    rules.push(...families.map((family) => rule(at(10), family, { table: TUNNEL_ROUTE_TABLE })));
  } else {
    // At another priority: of the same the kernel takes a rule for everything to be there where one for less is.
    rules.push(...towards(at(9), wishes.only, TUNNEL_ROUTE_TABLE));
  }
  const forwards = (family: Family): boolean => wishes.connector.some((prefix) => familyOf(prefix) === family);
  return {
    rules,
    routes: [...tunnelRoutes(wishes), ...entryRoutes(wishes)],
    sysctls: {
      // Answers to marked packets are looked up with the mark (the packet filter restores it), or rp_filter drops them.
      'net.ipv4.conf.all.src_valid_mark': '1',
      ...(forwards(4) ? { 'net.ipv4.ip_forward': '1' } : {}),
      ...(forwards(6) ? { 'net.ipv6.conf.all.forwarding': '1' } : {}),
    },
  };
}

function tunnelRoutes(wishes: RouteWishes): RouteSpec[] {
  const into = wishes.tunnel ? wishes.allowedIps : [];
  return [
    ...into.flatMap((prefix) => routeTo(prefix, TUNNEL_ROUTE_TABLE, TUNNEL_INTERFACE, wishes, wishes.mtu)),
    ...families.map((family) => unreachable(family, TUNNEL_ROUTE_TABLE)),
  ];
}

function entryRoutes(wishes: RouteWishes): RouteSpec[] {
  if (!wishes.entry) return [];
  return [
    ...wishes.behindEntry.flatMap((prefix) => routeTo(prefix, ENTRY_ROUTE_TABLE, ENTRY_INTERFACE, wishes, undefined)),
    ...families.map((family) => unreachable(family, ENTRY_ROUTE_TABLE)),
  ];
}

function routeTo(
  prefix: string,
  table: number,
  device: string,
  { ipv4, ipv6 }: RouteWishes,
  mtu: number | undefined,
): RouteSpec[] {
  const parsed = parsePrefix(prefix);
  if (parsed === undefined) return [];
  const { family } = parsed;
  const source = family === 4 ? ipv4 : ipv6;
  return [{ table, family, to: formatPrefix(parsed), interface: device, source, mtu, metric: 100 }];
}

function unreachable(family: Family, table: number): RouteSpec {
  const to = family === 4 ? '0.0.0.0/0' : '::/0';
  return { table, family, to, interface: undefined, source: undefined, mtu: undefined, metric: 1_000_000 };
}

function marked(priority: number, fwmark: number, table: number): RuleSpec[] {
  return families.map((family) => rule(priority, family, { fwmark, table }));
}

function towards(priority: number, prefixes: readonly string[], table: number): RuleSpec[] {
  const seen = new Set<string>();
  return prefixes.flatMap((text) => {
    const parsed = parsePrefix(text);
    if (parsed === undefined) return [];
    const to = formatPrefix(parsed);
    if (seen.has(to)) return [];
    seen.add(to);
    return [rule(priority, parsed.family, { to, table })];
  });
}

function rule(
  priority: number,
  family: Family,
  { fwmark, to, table }: { readonly fwmark?: number; readonly to?: string; readonly table: number },
): RuleSpec {
  return { priority, family, fwmark, to, table };
}
