/** The options that say what becomes of interface, routes and names: in a profile and pushed by a server alike. */
import type { NetworkSettings, ProfileRoute } from './profile.ts';
import {
  formatIpv4,
  isAddress,
  isHostName,
  isIpv6,
  maskLength,
  maskOf,
  parseIpv4,
  parseNumber,
  shown,
} from './values.ts';

const MAX_ROUTES = 1024;
const MAX_DNS = 32;
const MAX_SEARCH = 32;
const MAX_METRIC = 0xffff_ffff;

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Lists = 'routes' | 'defaults' | 'dnsServers' | 'dnsSearch';

/** Settings that options are still being read into. */
export interface NetworkDraft extends Mutable<Omit<NetworkSettings, Lists>> {
  readonly routes: ProfileRoute[];
  readonly defaults: Set<4 | 6>;
  readonly dnsServers: Set<string>;
  readonly dnsSearch: Set<string>;
  /** The number of the name server (--dns server N) that {@link dnsServers} holds, the smallest one so far. */
  dnsRank: number;
}

export function newNetworkDraft(from?: NetworkSettings): NetworkDraft {
  return {
    ipv4: from?.ipv4,
    ipv4Peer: from?.ipv4Peer,
    ipv6: from?.ipv6,
    blockIpv6: from?.blockIpv6 ?? false,
    blockLocal: from?.blockLocal ?? false,
    routeMetric: from?.routeMetric,
    tunMtu: from?.tunMtu,
    mssfix: from?.mssfix,
    routes: [...(from?.routes ?? [])],
    defaults: new Set(from?.defaults),
    dnsServers: new Set(from?.dnsServers),
    dnsSearch: new Set(from?.dnsSearch),
    dnsRank: Infinity,
  };
}

export function finishNetwork(draft: NetworkDraft): NetworkSettings {
  const { routes, defaults, dnsServers, dnsSearch, dnsRank: _, ...rest } = draft;
  return { ...rest, routes, defaults: [...defaults], dnsServers: [...dnsServers], dnsSearch: [...dnsSearch] };
}

export interface NetworkOption {
  /** How many words follow its name, at least and at most. */
  readonly words: readonly [number, number];
  /** Returns what is wrong, with the remedy. */
  readonly take: (draft: NetworkDraft, args: readonly string[]) => string | undefined;
}

/** By name. */
export const NETWORK_OPTIONS: ReadonlyMap<string, NetworkOption> = new Map<string, NetworkOption>([
  ['ifconfig', { words: [2, 2], take: takeIfconfig }],
  ['ifconfig-ipv6', { words: [1, 2], take: takeIfconfigIpv6 }],
  ['route', { words: [1, 4], take: takeRoute }],
  ['route-ipv6', { words: [1, 3], take: takeRouteIpv6 }],
  ['route-metric', { words: [1, 1], take: takeRouteMetric }],
  // What routes through the tunnel leave by is the interface, whatever its other end is called.
  ['route-gateway', { words: [1, 1], take: () => undefined }],
  ['route-ipv6-gateway', { words: [1, 1], take: () => undefined }],
  ['topology', { words: [1, 1], take: takeTopology }],
  ['redirect-gateway', { words: [0, 9], take: takeRedirect }],
  ['redirect-private', { words: [0, 9], take: () => undefined }],
  ['block-ipv6', { words: [0, 0], take: takeBlockIpv6 }],
  ['dhcp-option', { words: [1, 4], take: takeDhcpOption }],
  ['dns', { words: [2, 16], take: takeDns }],
  ['tun-mtu', { words: [1, 2], take: takeTunMtu }],
  ['mssfix', { words: [0, 2], take: takeMssfix }],
]);

/** `ifconfig 10.8.0.6 255.255.255.0`, or with the address of the other end (topology net30 and p2p). */
function takeIfconfig(draft: NetworkDraft, [local = '', second = '']: readonly string[]): string | undefined {
  if (parseIpv4(local) === undefined) return `${shown(local)} is not an IPv4 address; write one like 10.8.0.6`;
  const length = maskLength(second);
  if (parseIpv4(second) === undefined || length === 0) {
    return `${shown(second)} is neither a netmask nor an address; write 255.255.255.0, or the other end's address`;
  }
  // An address of the other end has never so many bits at its head.
  draft.ipv4 = length === undefined || length < 8 ? `${local}/32` : `${local}/${String(length)}`;
  draft.ipv4Peer = length === undefined || length < 8 ? second : undefined;
  return undefined;
}

function takeIfconfigIpv6(draft: NetworkDraft, [local = '']: readonly string[]): string | undefined {
  const prefix = ipv6Prefix(local);
  if (prefix === undefined) return `${shown(local)} is not an IPv6 address with a length; write one like fd00::6/64`;
  draft.ipv6 = prefix;
  return undefined;
}

function takeRoute(draft: NetworkDraft, args: readonly string[]): string | undefined {
  const [network = '', mask = 'default', gateway = 'default', metric = 'default'] = args;
  // The server's own address: it is kept out of the tunnel anyway.
  if (network === 'remote_host') return undefined;
  const address = parseIpv4(network);
  if (address === undefined) {
    return `${shown(network)} is not an IPv4 address; write the network's, with its netmask: 10.0.0.0 255.0.0.0`;
  }
  const length = mask === 'default' ? 32 : maskLength(mask);
  if (length === undefined) return `${shown(mask)} is not a netmask; write one like 255.255.255.0`;
  const prefix = `${formatIpv4((address & maskOf(length)) >>> 0)}/${String(length)}`;
  return addRoute(draft, prefix, 4, gateway, metric);
}

function takeRouteIpv6(draft: NetworkDraft, args: readonly string[]): string | undefined {
  const [network = '', gateway = 'default', metric = 'default'] = args;
  const prefix = ipv6Prefix(network);
  if (prefix === undefined) return `${shown(network)} is not an IPv6 prefix; write one like 2001:db8::/32`;
  return addRoute(draft, prefix, 6, gateway, metric);
}

function addRoute(
  draft: NetworkDraft,
  prefix: string,
  family: 4 | 6,
  gateway: string,
  metric: string,
): string | undefined {
  const number = metric === 'default' ? undefined : parseNumber(metric, 0, MAX_METRIC);
  if (number === undefined && metric !== 'default') return `${shown(metric)} is not a metric; write a number`;
  const names: Readonly<Record<string, string>> = { default: 'vpn', vpn_gateway: 'vpn', net_gateway: 'net', net_gateway_ipv6: 'net' }; // prettier-ignore
  const known = Object.hasOwn(names, gateway) ? names[gateway] : undefined;
  if (known === undefined && (family === 4 ? parseIpv4(gateway) === undefined : !isIpv6(gateway))) {
    return `${shown(gateway)} is no gateway; write an address, vpn_gateway or net_gateway`;
  }
  if (draft.routes.length >= MAX_ROUTES) return `more than ${String(MAX_ROUTES)} routes; join some of them into one`;
  draft.routes.push({ prefix, family, gateway: known ?? gateway, metric: number });
  return undefined;
}

function takeRouteMetric(draft: NetworkDraft, [metric]: readonly string[]): string | undefined {
  draft.routeMetric = parseNumber(metric, 0, MAX_METRIC);
  return draft.routeMetric === undefined ? 'not a metric; write a number' : undefined;
}

function takeTopology(_draft: NetworkDraft, [topology = '']: readonly string[]): string | undefined {
  return /^(?:subnet|net30|p2p)$/.test(topology) ? undefined : 'write subnet, net30 or p2p';
}

function takeRedirect(draft: NetworkDraft, flags: readonly string[]): string | undefined {
  draft.defaults.add(4);
  for (const flag of flags) {
    if (flag === 'ipv6') draft.defaults.add(6);
    else if (flag === '!ipv4') draft.defaults.delete(4);
    else if (flag === 'block-local') draft.blockLocal = true;
    // The tunnel's own datagrams pass beside it whatever the server's address is, and the old default route stays.
    else if (!/^(?:local|autolocal|def1|bypass-dhcp|bypass-dns)$/.test(flag)) {
      return `${shown(flag)} is none of its flags: def1, ipv6, !ipv4, local, autolocal, bypass-dhcp, bypass-dns, block-local`;
    }
  }
  return undefined;
}

function takeBlockIpv6(draft: NetworkDraft): undefined {
  draft.blockIpv6 = true;
}

function takeDhcpOption(draft: NetworkDraft, [kind = '', value = '']: readonly string[]): string | undefined {
  if (kind === 'DNS' || kind === 'DNS6') {
    if (!isAddress(value)) return `${shown(value)} is not an address; write the name server's`;
    // Those of --dns come before.
    if (draft.dnsRank === Infinity && draft.dnsServers.size < MAX_DNS) draft.dnsServers.add(value);
  } else if (/^(?:DOMAIN|DOMAIN-SEARCH|ADAPTER_DOMAIN_SUFFIX)$/.test(kind)) {
    if (!isHostName(value)) return `${shown(value)} is not a domain; write one like example.com`;
    if (draft.dnsSearch.size < MAX_SEARCH) draft.dnsSearch.add(value);
  }
  // The others are for Windows: WINS, NBT, and proxies.
  return undefined;
}

/** `dns server 0 address 10.8.0.1 [fd00::1]:53`, `dns search-domains example.com`. */
function takeDns(draft: NetworkDraft, [what, ...rest]: readonly string[]): string | undefined {
  if (what === 'search-domains') {
    for (const domain of rest) {
      if (!isHostName(domain)) return `${shown(domain)} is not a domain; write one like example.com`;
      if (draft.dnsSearch.size < MAX_SEARCH) draft.dnsSearch.add(domain);
    }
    return undefined;
  }
  const [number, key, ...values] = rest;
  const rank = parseNumber(number?.replace(/^-/, ''), 0, 127);
  if (what !== 'server' || rank === undefined) {
    return 'write "dns server 0 address 10.8.0.1" or "dns search-domains example.com"';
  }
  const signed = number?.startsWith('-') ? -rank : rank;
  // Of several servers the one with the smallest number counts; how it is to be asked is the resolver's affair.
  if (key !== 'address' || signed > draft.dnsRank) return undefined;
  if (signed < draft.dnsRank) draft.dnsServers.clear();
  draft.dnsRank = signed;
  for (const value of values) {
    const address = /^\[(.*)\](?::\d{1,5})?$/.exec(value)?.[1] ?? /^([0-9.]+):\d{1,5}$/.exec(value)?.[1] ?? value;
    if (!isAddress(address)) return `${shown(value)} is not an address; write the name server's`;
    if (draft.dnsServers.size < MAX_DNS) draft.dnsServers.add(address);
  }
  return undefined;
}

function takeTunMtu(draft: NetworkDraft, [mtu]: readonly string[]): string | undefined {
  draft.tunMtu = parseNumber(mtu, 68, 65_535);
  return draft.tunMtu === undefined ? 'not an MTU; write a number from 68 to 65535' : undefined;
}

function takeMssfix(draft: NetworkDraft, [size, unit]: readonly string[]): string | undefined {
  draft.mssfix = size === undefined ? undefined : parseNumber(size, 0, 65_535);
  if (size !== undefined && draft.mssfix === undefined) return 'not a size; write a number of bytes, or 0 for none';
  return unit === undefined || unit === 'mtu' || unit === 'fixed' ? undefined : 'write mtu or fixed behind the size';
}

/** An address, with a prefix length or as a host's. */
function ipv6Prefix(text: string): string | undefined {
  const slash = text.indexOf('/');
  const address = slash < 0 ? text : text.slice(0, slash);
  const length = slash < 0 ? 128 : parseNumber(text.slice(slash + 1), 0, 128);
  return length === undefined || !isIpv6(address) ? undefined : `${address.toLowerCase()}/${String(length)}`;
}
