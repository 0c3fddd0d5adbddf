import { createSocket } from 'node:dgram';
import { closeSync, existsSync, openSync } from 'node:fs';
import { createServer } from 'node:net';
import { checkNftJson, CommandRunner, findProgram, Ip, listNftChains, run, Sysctl } from '@sallyport/io';
import { compileFirewall, parsePrefix, prefixContains } from '@sallyport/policy';
import type { FirewallPlan } from '@sallyport/policy';
import { TABLE, wholeTable } from './firewall.ts';

export interface PreflightOptions {
  readonly interfaceName: string;
  readonly pools: readonly string[];
  /** `host` undefined: all addresses. */
  readonly tcpListens: readonly { readonly host?: string | undefined; readonly port: number }[];
  readonly udpPorts: readonly number[];
}

export interface PreflightResult {
  readonly what: string;
  readonly ok: boolean;
  /** Without it the gateway can't work; where it is false, a result that isn't ok is a warning. */
  readonly required: boolean;
  readonly detail: string;
  /** What to do where it isn't ok. */
  readonly remedy: string;
}

/** What the gateway uses at least: sets with ranges in several parts of a key, and JSON for all of it. */
const NFT_VERSION = [1, 0, 2] as const;

const PROGRAMS = [
  { name: 'ip', debianPackage: 'iproute2' },
  { name: 'nft', debianPackage: 'nftables' },
  { name: 'setpriv', debianPackage: 'util-linux' },
] as const;

/** Looks at all that a gateway on this machine needs, and changes nothing. */
export async function preflight(options: PreflightOptions): Promise<PreflightResult[]> {
  const isRoot = process.getuid?.() === 0;
  const programs = PROGRAMS.map(checkProgram);
  const hasNft = findProgram('nft') !== undefined;
  return [
    result('root', isRoot, isRoot ? 'runs as root' : 'does not run as root', 'start it with sudo, or as a service'),
    checkTun(),
    ...programs,
    ...(hasNft ? [await checkNftVersion()] : []),
    ...(hasNft && isRoot
      ? [await checkKernelFilter(options.interfaceName), await checkOtherFirewalls(options.interfaceName)]
      : []),
    checkForwarding(),
    checkInterface(options.interfaceName),
    ...(findProgram('ip') === undefined ? [] : [await checkPools(options)]),
    ...(await Promise.all(options.tcpListens.map(({ host, port }) => checkTcpPort(host, port)))),
    ...(await Promise.all(options.udpPorts.map(checkUdpPort))),
  ];
}

function result(what: string, ok: boolean, detail: string, remedy: string, required = true): PreflightResult {
  return { what, ok, required, detail, remedy: ok ? '' : remedy };
}

function checkTun(): PreflightResult {
  const what = 'TUN device';
  try {
    closeSync(openSync('/dev/net/tun', 'r+'));
    return result(what, true, '/dev/net/tun can be opened', '');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    const remedy =
      code === 'ENOENT' || code === 'ENODEV'
        ? 'load the module with "modprobe tun"; in a container, start that with --device /dev/net/tun'
        : 'start it as root; in a container, start that with --device /dev/net/tun --cap-add NET_ADMIN';
    return result(what, false, `/dev/net/tun can't be opened: ${String(code)}`, remedy);
  }
}

function checkProgram({ name, debianPackage }: (typeof PROGRAMS)[number]): PreflightResult {
  const path = findProgram(name);
  return result(
    `program ${name}`,
    path !== undefined,
    path ?? 'not found',
    `install it: apt install ${debianPackage} (or the package of this name in another distribution)`,
  );
}

async function checkNftVersion(): Promise<PreflightResult> {
  const wanted = NFT_VERSION.join('.');
  const said = await run('nft', ['--version']).catch(messageOf);
  const version = /v(\d+)\.(\d+)\.(\d+)/.exec(said)?.slice(1).map(Number) ?? [];
  const firstDifference = NFT_VERSION.map((part, i) => (version[i] ?? -1) - part).find(
    (difference) => difference !== 0,
  );
  const isEnough = version.length === 3 && (firstDifference ?? 0) >= 0;
  return result('version of nft', isEnough, said.trim(), `nftables ${wanted} or later is needed: update the system`);
}

/** Has nft and the kernel look at rules like the gateway's own, with each kind of statement that those have. */
async function checkKernelFilter(interfaceName: string): Promise<PreflightResult> {
  const what = 'packet filter of the kernel';
  const plan: FirewallPlan = {
    interfaceName,
    gateway: {
      pool4: '10.0.0.0/24',
      pool6: 'fd00::/64',
      address4: '10.0.0.1',
      address6: 'fd00::1',
      egress: { ipv4: '192.0.2.1' },
    },
    ownAddresses: ['192.0.2.1'],
    localTcpPorts: [443],
    tunnelPorts: { udp: [53], tcp: [53] },
    neighbours: [{ gatewayId: 'gateway', host: '192.0.2.2', port: 51_820 }],
    groups: [
      { id: 'group', grants: [{ rule: 'rule', destination: { kind: 'internet' }, protocol: 'any', ports: [] }] },
    ],
    devices: [
      {
        id: 'device',
        ipv4: '10.0.0.2',
        ipv6: 'fd00::2',
        groups: ['group'],
        egress: { ipv6: '2001:db8::1' },
        bitsPerSecond: 1_000_000,
        networks: ['10.1.0.0/16', '2001:db8:1::/48'],
      },
    ],
    names: {},
  };
  try {
    await checkNftJson(new CommandRunner(() => undefined), wholeTable(plan, compileFirewall(plan), 1));
    return result(what, true, 'nftables with connection tracking and address translation', '');
  } catch (error) {
    const remedy =
      'use a kernel with nftables (CONFIG_NF_TABLES_INET, NFT_CT, NFT_NAT, NFT_MASQ, NFT_FIB_INET, NFT_REJECT)';
    return result(what, false, messageOf(error), remedy);
  }
}

/** A packet passes only if every table lets it: one of somebody else's that drops by default stops the gateway's. */
async function checkOtherFirewalls(interfaceName: string): Promise<PreflightResult> {
  const what = 'other firewalls';
  const found: string[] = [];
  try {
    const chains = await listNftChains(new CommandRunner(() => undefined));
    for (const { family, table, name, hook, policy } of chains)
      if (hook === 'forward' && policy === 'drop' && table !== TABLE) found.push(`${family} ${table} ${name}`);
    if (chains.some(({ table }) => table === 'firewalld')) found.push('firewalld');
  } catch (error) {
    return result(what, false, messageOf(error), 'see whether "nft list chains" works', false);
  }
  if (findProgram('iptables-legacy') !== undefined && existsSync('/proc/net/ip_tables_names')) {
    const rules = await run('iptables-legacy', ['-S', 'FORWARD']).catch(() => '');
    if (rules.includes('-P FORWARD DROP')) found.push('iptables-legacy FORWARD');
  }
  const remedy = [
    `let them pass what comes in by ${interfaceName} and what leaves by it`,
    `(the gateway filters that itself): with ufw "ufw route allow in on ${interfaceName}" and "ufw route allow out on ${interfaceName}";`,
    `with Docker "iptables -I DOCKER-USER -i ${interfaceName} -j ACCEPT" and "iptables -I DOCKER-USER -o ${interfaceName} -j ACCEPT"`,
    `(and ip6tables); with firewalld "firewall-cmd --permanent --zone=trusted --add-interface=${interfaceName}"`,
  ].join(' ');
  const detail =
    found.length === 0 ? 'none that drops forwarded packets' : `may drop forwarded packets: ${found.join(', ')}`;
  return result(what, found.length === 0, detail, remedy, false);
}

function checkForwarding(): PreflightResult {
  const sysctl = new Sysctl(new CommandRunner(() => undefined));
  const state = (key: string): string => ({ '0': 'off', '1': 'on' })[sysctl.read(key) ?? ''] ?? 'not available';
  const [ipv4, ipv6] = [state('net/ipv4/ip_forward'), state('net/ipv6/conf/all/forwarding')];
  const ok = ipv4 !== 'not available' && ipv6 !== 'not available';
  const remedy = 'switch IPv6 on in the kernel (without ipv6.disable=1 on its command line)';
  return result(
    'forwarding',
    ok,
    `IPv4 ${ipv4}, IPv6 ${ipv6}; the gateway switches it on`,
    remedy,
    ipv4 === 'not available',
  );
}

function checkInterface(name: string): PreflightResult {
  const folder = `/sys/class/net/${name}`;
  const exists = existsSync(folder);
  const remedy = `choose another name for the gateway's interface, or end what has this one ("ip link delete ${name}")`;
  return result('interface name', !exists, exists ? `${name} exists already` : `${name} is free`, remedy);
}

async function checkPools({ pools, interfaceName }: PreflightOptions): Promise<PreflightResult> {
  const ip = new Ip(new CommandRunner(() => undefined));
  const routes = [...(await ip.routes(4, 'main')), ...(await ip.routes(6, 'main'))];
  const taken = routes.filter(({ destination, device }) => {
    const route = destination === 'default' ? undefined : parsePrefix(destination);
    if (route === undefined || device === interfaceName || route.length === 0) return false;
    return pools.some((text) => {
      const pool = parsePrefix(text);
      return pool !== undefined && (prefixContains(pool, route) || prefixContains(route, pool));
    });
  });
  const detail = taken.map(({ destination, device }) => `${destination} (${device ?? 'no interface'})`).join(', ');
  return result(
    'address pools',
    taken.length === 0,
    taken.length === 0 ? `${pools.join(', ')} are not routed elsewhere` : `already routed elsewhere: ${detail}`,
    'choose address pools that no network here uses',
    false,
  );
}

function checkTcpPort(host: string | undefined, port: number): Promise<PreflightResult> {
  const what = `TCP port ${String(port)}${host === undefined ? '' : ` of ${host}`}`;
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => resolve(portResult(what, port, error.code)));
    server.listen({ port, host, exclusive: true }, () =>
      server.close(() => resolve(portResult(what, port, undefined))),
    );
  });
}

function checkUdpPort(port: number): Promise<PreflightResult> {
  const what = `UDP port ${String(port)}`;
  return new Promise((resolve) => {
    const socket = createSocket({ type: 'udp6', ipv6Only: false });
    socket.once('error', (error: NodeJS.ErrnoException) => {
      socket.close();
      resolve(portResult(what, port, error.code));
    });
    socket.bind({ port, exclusive: true }, () => socket.close(() => resolve(portResult(what, port, undefined))));
  });
}

function portResult(what: string, port: number, code: string | undefined): PreflightResult {
  if (code === undefined) return result(what, true, 'is free', '');
  if (code === 'EADDRINUSE')
    return result(
      what,
      false,
      'is taken',
      `end the program that has it ("ss -lnp | grep :${String(port)}"), or choose another`,
    );
  if (code === 'EACCES') return result(what, false, 'needs root', 'start it as root, or choose a port from 1024 on');
  if (code === 'EADDRNOTAVAIL')
    return result(what, false, 'is of an address that this machine has not', 'choose an address of this machine');
  return result(what, false, `can't be opened: ${code}`, 'choose another port or address');
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
