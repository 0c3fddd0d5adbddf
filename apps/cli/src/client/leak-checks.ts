/** What the leak test tries, each of which once got past somebody's VPN. */
import { execFile } from 'node:child_process';
import { lookup } from 'node:dns/promises';
import { isIPv6 } from 'node:net';
import { promisify } from 'node:util';
import type { ClientSettings, ClientStatus } from '@sallyport/client';
import { isLocalRange, neighbourOf, type OuterInterface } from './outer-network.ts';
import { dnsQuestion, freshName, NOWHERE4, NOWHERE6, sendUdp, sourceTowards, tryTcp } from './probes.ts';

const run = promisify(execFile);

export interface LeakWorld {
  readonly status: ClientStatus;
  readonly settings: ClientSettings;
  readonly outer: readonly OuterInterface[];
  readonly nameServers: readonly string[];
  readonly isRoot: boolean;
}

export interface LeakCheck {
  readonly check: string;
  /** What is tried, for people. */
  readonly what: string;
  /** Why it can't be tried here, or undefined. */
  readonly skip?: (world: LeakWorld) => string | undefined;
  /** Tries it while somebody watches what leaves; answers what it found out by itself to be a leak. */
  readonly provoke: (world: LeakWorld) => Promise<readonly string[]>;
}

const TCP_MS = 250;
const DISCARD_PORT = 9;
const nothing = 'a leak test of this machine: nobody needs to answer';
/** RFC 5737, TEST-NET-3: the network of the attacks that need one. */
const ROGUE_NETWORK = '203.0.113.0/24';
const ROGUE_OWN = '203.0.113.77/24';
const ROGUE_TARGET = '203.0.113.1';
/** An address of the link that is administered locally (IEEE 802, 8.4). */
const NOBODY_THERE = '02:00:00:5a:11:01';

export const LEAK_CHECKS: readonly LeakCheck[] = [
  {
    check: 'addresses',
    what: 'destinations see the tunnel’s addresses, not this machine’s own',
    skip: noTunnel,
    provoke: async ({ status: { account } }) => {
      const found: string[] = [];
      for (const [to, own, family] of [
        [NOWHERE4[0], account?.ipv4, 'IPv4'],
        [NOWHERE6[0], account?.ipv6, 'IPv6'],
      ] as const) {
        const source = await sourceTowards(to);
        if (source !== undefined && source !== own) found.push(`${family} would leave with the address ${source}`);
      }
      return found;
    },
  },
  {
    check: 'traffic',
    what: 'TCP and UDP to the internet',
    provoke: async () => {
      await Promise.all([
        ...NOWHERE4.map((address) => sendUdp(address, 443, nothing)),
        sendUdp(NOWHERE4[0], 123, nothing),
        tryTcp(NOWHERE4[1], 443, TCP_MS),
        tryTcp(NOWHERE4[2], 80, TCP_MS),
      ]);
      return [];
    },
  },
  {
    check: 'IPv6',
    what: 'IPv6, which tunnels for IPv4 alone forget',
    provoke: async ({ outer }) => {
      const own = outer.flatMap(({ addresses }) => addresses.map(({ address }) => address)).filter(isIPv6);
      await Promise.all([
        ...NOWHERE6.flatMap((address) => [sendUdp(address, 443, nothing), tryTcp(address, 443, TCP_MS)]),
        ...own.map((address) => sendUdp(NOWHERE6[0], 443, nothing, { address })),
        ...outer.map(({ name }) => sendUdp('ff02::fb', 5353, dnsQuestion(freshName()), { device: name })),
      ]);
      return [];
    },
  },
  {
    check: 'DNS',
    what: 'names asked of servers outside, and of those that the outer network hands out',
    provoke: async ({ nameServers, outer }) => {
      const routers = outer.flatMap(({ router }) => (router === undefined ? [] : [router]));
      const servers = [...new Set([...nameServers, ...routers, NOWHERE4[0], NOWHERE6[0]])];
      await Promise.all([
        // As programs do.
        lookup(freshName()).catch(() => undefined),
        ...servers.flatMap((server) => [
          sendUdp(server, 53, dnsQuestion(freshName())),
          tryTcp(server, 53, TCP_MS),
          tryTcp(server, 853, TCP_MS),
          ...(isIPv6(server)
            ? []
            : outer.map(({ name }) => sendUdp(server, 53, dnsQuestion(freshName()), { device: name }))),
        ]),
      ]);
      return [];
    },
  },
  {
    check: 'bound',
    what: 'programs that bind themselves to the outer interface or its address',
    skip: ({ outer }) => (outer.length === 0 ? 'there is no outer interface' : undefined),
    provoke: async ({ outer }) => {
      await Promise.all(
        outer.flatMap(({ name, addresses }) => [
          sendUdp(NOWHERE4[0], 443, nothing, { device: name }),
          sendUdp(NOWHERE6[0], 443, nothing, { device: name }),
          ...addresses.flatMap(({ address }) => {
            const to = isIPv6(address) ? NOWHERE6[0] : NOWHERE4[1];
            return [sendUdp(to, 443, nothing, { address }), tryTcp(to, 443, TCP_MS, address)];
          }),
        ]),
      );
      return [];
    },
  },
  {
    check: 'local network',
    what: 'the network around this machine (TunnelCrack’s LocalNet where its addresses are public ones)',
    skip: ({ settings, outer }) =>
      settings.allowLocalNetwork && localTargets(outer).every(isLocalRange)
        ? 'allow-local-network is on: it is let through on purpose'
        : undefined,
    provoke: async ({ settings, outer }) => {
      const targets = localTargets(outer).filter((address) => !settings.allowLocalNetwork || !isLocalRange(address));
      await Promise.all(
        targets.flatMap((address) => [sendUdp(address, DISCARD_PORT, nothing), tryTcp(address, 80, TCP_MS)]),
      );
      if (!settings.allowLocalNetwork) {
        await Promise.all([sendUdp('224.0.0.251', 5353, dnsQuestion(freshName())), sendUdp('239.255.255.250', 1900, nothing)]); // prettier-ignore
      }
      return [];
    },
  },
  {
    check: 'server address',
    what: 'other traffic to the gateway’s own address (TunnelCrack’s ServerIP)',
    skip: ({ status: { hops } }) => (hops.length === 0 ? 'there is no tunnel' : undefined),
    provoke: async ({ status: { hops } }) => {
      const [entry] = hops;
      const { host, port } = entry === undefined ? { host: NOWHERE4[0], port: 443 } : splitEndpoint(entry.endpoint);
      await Promise.all([
        ...[80, 443, 8443].filter((other) => other !== port).map((other) => tryTcp(host, other, TCP_MS)),
        sendUdp(host, DISCARD_PORT, nothing),
        sendUdp(host, port === 53 ? 123 : 53, dnsQuestion(freshName())),
        // The right port, but not the tunnel's own datagrams.
        ...(entry?.transport === 'tls' ? [] : [sendUdp(host, port, nothing)]),
      ]);
      return [];
    },
  },
  {
    check: 'rogue route',
    what: 'a route that the outer network’s DHCP slips in (TunnelVision)',
    skip: needsRoot,
    provoke: ({ outer }) =>
      withRogue(
        outer.map(({ name, router }) => [
          'route',
          ROGUE_NETWORK,
          ...(router === undefined ? [] : ['via', router]),
          ...['dev', name, 'metric', '1'],
        ]),
      ),
  },
  {
    check: 'rogue network',
    what: 'a public network that the outer one says to be local (TunnelCrack’s LocalNet)',
    skip: needsRoot,
    provoke: ({ outer }) =>
      withRogue(
        outer.flatMap(({ name }) => [
          ['address', ROGUE_OWN, 'dev', name],
          // Nobody is there to say where packets go; the attacker's access point would.
          ['neighbour', ROGUE_TARGET, 'lladdr', NOBODY_THERE, 'dev', name, 'nud', 'permanent'],
        ]),
      ),
  },
];

function noTunnel({ status, settings }: LeakWorld): string | undefined {
  if (settings.split.mode === 'include') return 'split.mode is include: all but its networks goes outside on purpose';
  return status.account === null ? 'nobody is logged in, so there is no tunnel' : undefined;
}

function needsRoot({ isRoot, outer }: LeakWorld): string | undefined {
  if (!isRoot) return 'needs root: sudo sallyport leaktest';
  return outer.length === 0 ? 'there is no outer interface' : undefined;
}

/** The routers, and another machine of each IPv4 network. */
function localTargets(outer: readonly OuterInterface[]): string[] {
  const all = outer.flatMap(({ router, addresses }) => [
    router,
    ...addresses.map(({ address, prefixLength }) => neighbourOf(address, prefixLength)),
  ]);
  return [...new Set(all.filter((address) => address !== undefined))];
}

/** Host and port of `192.0.2.1:51820` or `[2001:db8::1]:51820`. */
export function splitEndpoint(endpoint: string): { readonly host: string; readonly port: number } {
  const [, six, four, port] = /^(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(endpoint) ?? [];
  return { host: six ?? four ?? endpoint, port: Number(port ?? 0) };
}

/** Sends into a network that was made to look local, and takes that away again, whatever happens. */
async function withRogue(changes: readonly (readonly string[])[]): Promise<readonly string[]> {
  const made: (readonly string[])[] = [];
  try {
    for (const change of changes) {
      const [object = '', ...words] = change;
      await run('ip', [object, 'add', ...words]);
      made.unshift(change);
    }
    await Promise.all([
      sendUdp(ROGUE_TARGET, 443, nothing),
      sendUdp(ROGUE_TARGET, 53, dnsQuestion(freshName())),
      tryTcp(ROGUE_TARGET, 443, TCP_MS),
    ]);
    return [];
  } finally {
    for (const [object = '', ...words] of made) await run('ip', [object, 'del', ...words]).catch(() => undefined);
  }
}
