/** What this machine's own network is like: what a leak would use. */
import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { BlockList, isIP, isIPv6 } from 'node:net';
import { ENTRY_INTERFACE, TUNNEL_INTERFACE } from '@sallyport/client';

export interface OuterInterface {
  readonly name: string;
  /** Without link-local ones, whose zone would have to go with them. */
  readonly addresses: readonly { readonly address: string; readonly prefixLength: number }[];
  /** The IPv4 router behind it. */
  readonly router: string | undefined;
}

/** Interfaces with a default route, or where there is none all that have an address; without the client's own. */
export function outerInterfaces(): OuterInterface[] {
  const routers = defaultRouters(read('/proc/net/route'));
  const found = Object.entries(networkInterfaces()).flatMap(([name, list = []]) => {
    if (name === TUNNEL_INTERFACE || name === ENTRY_INTERFACE || list.some(({ internal }) => internal)) return [];
    const addresses = list
      .filter(({ address }) => !/^fe80:/i.test(address))
      .map(({ address, cidr }) => ({
        address,
        prefixLength: Number(cidr?.split('/')[1] ?? (isIPv6(address) ? 64 : 32)),
      }));
    return [{ name, addresses, router: routers.get(name) }];
  });
  const routed = found.filter(({ router }) => router !== undefined);
  return routed.length > 0 ? routed : found;
}

/** By interface, of the table that the kernel shows in /proc/net/route: addresses there are hexadecimal, lowest byte first. */
export function defaultRouters(text: string): Map<string, string> {
  const routers = new Map<string, string>();
  for (const line of text.split('\n').slice(1)) {
    const [name, destination, gateway = '', , , , , mask] = line.split('\t').map((field) => field.trim());
    if (name === undefined || destination !== '00000000' || mask !== '00000000') continue;
    const bytes =
      gateway
        .match(/../g)
        ?.map((byte) => parseInt(byte, 16))
        .reverse() ?? [];
    if (bytes.length === 4 && !routers.has(name)) routers.set(name, bytes.join('.'));
  }
  return routers;
}

/** Name servers that the outer network handed out, as far as files say: that of a stub resolver is none. */
export function outerNameServers(): string[] {
  const files = ['/run/systemd/resolve/resolv.conf', '/etc/resolv.conf', '/run/NetworkManager/resolv.conf'];
  const servers = files.flatMap((file) => nameServersOf(read(file)));
  return [...new Set(servers)].filter((server) => !server.startsWith('127.') && server !== '::1').slice(0, 8);
}

export function nameServersOf(text: string): string[] {
  return text
    .split('\n')
    .map((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? '')
    .filter((server) => isIP(server) !== 0);
}

const localRanges = new BlockList();
for (const [prefix, bits] of [
  ['10.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.168.0.0', 16],
  ['169.254.0.0', 16],
  ['100.64.0.0', 10],
] as const)
  localRanges.addSubnet(prefix, bits, 'ipv4');
localRanges.addSubnet('fc00::', 7, 'ipv6');
localRanges.addSubnet('fe80::', 10, 'ipv6');

/** Whether an address is of those that networks give out for themselves. */
export function isLocalRange(address: string): boolean {
  return localRanges.check(address, isIPv6(address) ? 'ipv6' : 'ipv4');
}

/** Another address of the same IPv4 network. */
export function neighbourOf(address: string, prefixLength: number): string | undefined {
  if (isIPv6(address) || prefixLength > 30 || prefixLength < 1) return undefined;
  const number = address.split('.').reduce((sum, byte) => sum * 256 + Number(byte), 0);
  const size = 2 ** (32 - prefixLength);
  const first = Math.floor(number / size) * size;
  const other = first + 1 === number ? first + 2 : first + 1;
  return [24, 16, 8, 0].map((shift) => Math.floor(other / 2 ** shift) % 256).join('.');
}

function read(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch {
    return '';
  }
}
