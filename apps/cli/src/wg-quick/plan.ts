import { addressBits, formatIpAddress, formatIpPrefix } from '@sallyport/wireguard';
import type { IpFamily, IpPrefix } from '@sallyport/wireguard';
import type { WgQuickConfig } from './config.ts';

/** The routes that a configuration asks for. */
export interface RoutePlan {
  /** The table for `routes`; undefined is the main one. */
  readonly table: string | undefined;
  /** Prefixes by family, the longest first. */
  readonly routes: ReadonlyMap<IpFamily, readonly string[]>;
  /** Families whose default route goes through the tunnel, by a table of its own. */
  readonly defaults: readonly IpFamily[];
}

/** The routes for the peers' allowed IPs, each once; none for what the interface's own addresses cover. */
export function planRoutes(config: WgQuickConfig): RoutePlan {
  const automatic = config.table === undefined || config.table === 'auto';
  const routes = new Map<IpFamily, readonly string[]>();
  const defaults: IpFamily[] = [];
  if (config.table !== 'off') {
    for (const family of [4, 6] as const) {
      const unique = new Map<string, number>();
      for (const peer of config.peers) {
        for (const prefix of peer.allowedIps) {
          if (prefix.family !== family) continue;
          if (automatic && config.addresses.some((address) => connects(address, prefix))) continue;
          unique.set(formatIpPrefix(prefix), prefix.prefixLength);
        }
      }
      const sorted = [...unique].sort((a, b) => b[1] - a[1]);
      const [normal, zero] = automatic ? partition(sorted, ([, length]) => length > 0) : [sorted, []];
      if (normal.length > 0)
        routes.set(
          family,
          normal.map(([text]) => text),
        );
      if (zero.length > 0) defaults.push(family);
    }
  }
  return { table: automatic ? undefined : config.table, routes, defaults };
}

/** Whether the kernel's own route for an interface's address covers this prefix. */
function connects(address: IpPrefix, prefix: IpPrefix): boolean {
  const length = address.prefixLength;
  if (address.family !== prefix.family || length > prefix.prefixLength || length === 0) return false;
  if (address.family === 4 && length === addressBits(4)) return false;
  for (let bit = 0; bit < length; bit += 8) {
    const mask = length - bit >= 8 ? 0xff : (0xff00 >> (length - bit)) & 0xff;
    if ((((address.address[bit >> 3] ?? 0) ^ (prefix.address[bit >> 3] ?? 0)) & mask) !== 0) return false;
  }
  return true;
}

/** The name of the nft tables that belong to a tunnel: the one that wg-quick uses, so that either removes them. */
export function nftTableName(name: string): string {
  return `wg-quick-${name}`;
}

/**
 * The packet filter that goes with a default route. Packets for the tunnel's addresses are dropped where they come in
 * by another interface, so that nobody nearby can probe for the tunnel or inject into it; and the answers to the
 * tunnel's own datagrams get its mark back, so that strict reverse path filters let them in.
 */
export function defaultRouteFilter(
  name: string,
  family: IpFamily,
  mark: number,
  addresses: readonly IpPrefix[],
): string {
  const ip = family === 4 ? 'ip' : 'ip6';
  const table = `${ip} ${nftTableName(name)}`;
  const own = addresses.filter((address) => address.family === family).map(({ address }) => formatIpAddress(address));
  return [
    `add table ${table}`,
    `add chain ${table} preraw { type filter hook prerouting priority -300; }`,
    `add chain ${table} premangle { type filter hook prerouting priority -150; }`,
    `add chain ${table} postmangle { type filter hook postrouting priority -150; }`,
    ...own.map(
      (text) => `add rule ${table} preraw iifname != "${name}" ${ip} daddr ${text} fib saddr type != local drop`,
    ),
    `add rule ${table} postmangle meta l4proto udp meta mark ${String(mark)} ct mark set meta mark`,
    `add rule ${table} premangle meta l4proto udp meta mark set ct mark`,
    '',
  ].join('\n');
}

function partition<T>(items: readonly T[], first: (item: T) => boolean): [T[], T[]] {
  return [items.filter(first), items.filter((item) => !first(item))];
}
