import { BlockList, isIP } from 'node:net';
import type { NetworkSettings, ProfileRoute } from '@sallyport/openvpn';

/** Halves that stand for a default route, so that the one that there is stays. */
const HALVES: readonly (readonly [4 | 6, string, string])[] = [
  [4, '0.0.0.0/1', '128.0.0.0/1'],
  [6, '::/1', '8000::/1'],
];

export interface NetworkPlan {
  /** Families whose whole traffic goes through the tunnel. */
  readonly defaults: readonly (4 | 6)[];
  /** IPv6 goes nowhere: the tunnel has none, and it must not pass beside it. */
  readonly blockIpv6: boolean;
  readonly routes: readonly ProfileRoute[];
  /** The tunnel's own datagrams would go into it by one of the routes. */
  readonly serverWithin: boolean;
}

/** What becomes of a tunnel's routes. `server` is where its datagrams go. */
export function planNetwork(settings: NetworkSettings, server: string): NetworkPlan {
  const wanted = new Set(settings.defaults);
  const through = settings.routes.filter(({ gateway }) => gateway === 'vpn');
  const whole = new Set<ProfileRoute>();
  const find = (prefix: string): ProfileRoute[] => through.filter((route) => route.prefix === prefix);
  for (const [family, low, high] of HALVES) {
    const halves = [find(low), find(high)];
    const all = find(family === 4 ? '0.0.0.0/0' : '::/0');
    if (all.length === 0 && halves.some((half) => half.length === 0)) continue;
    wanted.add(family);
    for (const route of [...all, ...halves.flat()]) whole.add(route);
  }
  const has = { 4: settings.ipv4 !== undefined, 6: settings.ipv6 !== undefined };
  const routes = settings.routes.filter((route) => !whole.has(route) && (route.gateway !== 'vpn' || has[route.family]));
  return {
    defaults: ([4, 6] as const).filter((family) => wanted.has(family) && has[family]),
    blockIpv6: !has[6] && (settings.blockIpv6 || wanted.has(6)),
    routes,
    serverWithin: routes.some(({ gateway, prefix }) => gateway === 'vpn' && covers(prefix, server)),
  };
}

export function covers(prefix: string, address: string): boolean {
  const [network = '', length] = prefix.split('/');
  if (isIP(network) !== isIP(address)) return false;
  const list = new BlockList();
  const family = isIP(network) === 4 ? 'ipv4' : 'ipv6';
  list.addSubnet(network, Number(length), family);
  return list.check(address, family);
}
