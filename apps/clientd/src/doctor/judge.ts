/** What was found out, as a person is told it: each with what to do. Pure; doctor.ts finds it out. */
import type { doctorCheck } from '@sallyport/client';
import type { z } from 'zod';

export type Check = z.infer<typeof doctorCheck>;
type Names =
  | 'daemon'
  | 'account'
  | 'network'
  | 'portal'
  | 'names'
  | 'control'
  | 'certificate'
  | 'clock'
  | 'kernel'
  | 'conflicts'
  | 'udp'
  | 'amneziawg'
  | 'tls'
  | 'tunnel'
  | 'dns'
  | 'mtu';

function check(name: Names, state: Check['state'], detail: string, remedy = ''): Check {
  return { check: name, state, detail, remedy };
}

export function judgeDaemon(facts: {
  readonly version: string;
  readonly group: boolean;
  readonly state: string;
}): Check {
  const detail = `version ${facts.version}, ${facts.state}`;
  if (facts.group) return check('daemon', 'ok', detail);
  return check('daemon', 'warning', `${detail}; the group sallyport is missing, so root alone may use it`, 'groupadd --system sallyport, restart the daemon, and add users: usermod -aG sallyport NAME'); // prettier-ignore
}

export function judgeAccount(
  account:
    | {
        readonly url: string;
        readonly standing: string | undefined;
        readonly message: string;
        /** Why the service tells this machine nothing any more. */
        readonly refusal?: string | undefined;
      }
    | undefined,
): Check {
  if (account === undefined) return check('account', 'fault', 'nobody is logged in', 'sallyport login URL');
  const { url, standing, message, refusal } = account;
  const again = `sallyport logout, then sallyport login ${url}`;
  if (refusal !== undefined) {
    const [why = ''] = refusal.split(': sallyport ');
    return check(
      'account',
      'fault',
      `logged in at ${url}, but: ${why}`,
      why === refusal ? 'ask an administrator' : again,
    );
  }
  if (standing === undefined) return check('account', 'warning', `logged in at ${url}; no configuration came yet`, 'see the checks of the control plane below'); // prettier-ignore
  if (standing === 'active') return check('account', 'ok', `logged in at ${url}, the device is active`);
  const remedy = standing === 'loginRequired' ? again : 'ask an administrator';
  return check('account', 'fault', `the device may not connect: ${message}`, remedy);
}

export function judgeNetwork(facts: {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
  readonly ipv6Disabled: boolean;
}): Check {
  const { ipv4, ipv6, ipv6Disabled } = facts;
  if (!ipv4 && !ipv6)
    return check('network', 'fault', 'there is no default route', 'connect this machine to a network');
  const families = [ipv4 ? 'IPv4' : '', ipv6 ? 'IPv6' : ''].filter((text) => text !== '').join(' and ');
  const without = ipv6Disabled ? '; IPv6 is switched off on this machine, so there is none in the tunnel either' : '';
  return check('network', ipv6Disabled ? 'warning' : 'ok', `a default route of ${families}${without}`, ipv6Disabled ? 'sysctl -w net.ipv6.conf.all.disable_ipv6=0, unless it is meant to be off' : ''); // prettier-ignore
}

export function judgePortal(portal: boolean | undefined, blocked = false): Check {
  if (portal === undefined) return check('portal', 'skipped', blocked ? 'everything outside the tunnel is blocked; it is looked at while connecting' : 'the control plane’s addresses are not known'); // prettier-ignore
  if (!portal) return check('portal', 'ok', 'nothing answers in the place of others');
  return check('portal', 'fault', 'this network answers in the place of others: it wants a login on a page of its own', 'sallyport disconnect, open any http:// page in a browser, log in there, and connect again'); // prettier-ignore
}

export function judgeNames(facts: {
  readonly host: string;
  readonly found: number;
  readonly blocked: boolean;
  readonly isAddress: boolean;
}): Check {
  const { host, found, blocked, isAddress } = facts;
  if (isAddress) return check('names', 'ok', 'the control plane is known by its address');
  if (blocked)
    return check('names', 'skipped', 'names are asked through the tunnel alone; the known addresses are used');
  if (found > 0) return check('names', 'ok', `${host} is found`);
  return check('names', 'fault', `${host} is not found`, 'look at /etc/resolv.conf: does its name server answer?');
}

export interface ControlFacts {
  readonly host: string;
  readonly port: number;
  readonly tcp: { readonly milliseconds: number } | { readonly fault: string };
  /** Undefined: it did not come so far. */
  readonly tls: { readonly trusted: boolean; readonly pinned: boolean; readonly fault: string; readonly daysLeft: number } | undefined; // prettier-ignore
}

export function judgeControl({ host, port, tcp }: ControlFacts): Check {
  if ('milliseconds' in tcp) return check('control', 'ok', `${host} answers after ${tcp.milliseconds.toFixed(0)} ms`);
  return check('control', 'fault', `${host} can't be reached at TCP port ${String(port)}: ${tcp.fault}`, 'ask whether the server runs, and whether this network lets that port out; a tunnel that is known still connects'); // prettier-ignore
}

export function judgeCertificate({ host, tls }: ControlFacts): Check {
  if (tls === undefined) return check('certificate', 'skipped', `${host} was not reached`);
  if (!tls.trusted) {
    const again = 'if the server has a new certificate, log in again: sallyport logout, then sallyport login URL';
    return check('certificate', 'fault', tls.pinned ? 'the certificate is not the pinned one: somebody may be in between' : `the certificate is not trusted: ${tls.fault}`, again); // prettier-ignore
  }
  if (tls.daysLeft < 3) return check('certificate', 'warning', `the certificate ends in ${tls.daysLeft.toFixed(0)} days`, 'tell the administrator'); // prettier-ignore
  return check('certificate', 'ok', tls.pinned ? 'the pinned certificate' : 'an authority vouches for it');
}

/** `differenceMs`: the server's clock less ours. */
export function judgeClock(differenceMs: number | undefined): Check {
  if (differenceMs === undefined) return check('clock', 'skipped', 'the server did not say its time');
  const seconds = Math.round(Math.abs(differenceMs) / 1000);
  const detail = `${String(seconds)} seconds ${differenceMs > 0 ? 'behind' : 'ahead of'} the server`;
  const remedy = 'timedatectl set-ntp true';
  if (seconds > 600) return check('clock', 'fault', detail, remedy);
  return seconds > 60 ? check('clock', 'warning', detail, remedy) : check('clock', 'ok', 'right');
}

export interface KernelFacts {
  readonly tun: boolean;
  readonly nft: string | undefined;
  readonly rules: boolean;
  readonly cgroup: boolean;
}

export function judgeKernel({ tun, nft, rules, cgroup }: KernelFacts): Check {
  if (!tun)
    return check('kernel', 'fault', '/dev/net/tun is missing', 'modprobe tun; in a container, give it the device');
  if (nft !== undefined) return check('kernel', 'fault', `the packet filter does not work: ${nft}`, 'install nftables; modprobe nf_tables'); // prettier-ignore
  if (!rules) return check('kernel', 'fault', 'routing rules do not work', 'install iproute2; the kernel needs CONFIG_IP_MULTIPLE_TABLES'); // prettier-ignore
  if (!cgroup) return check('kernel', 'warning', 'there is no cgroup v2: programs can’t go beside the tunnel', 'boot with systemd.unified_cgroup_hierarchy=1'); // prettier-ignore
  return check('kernel', 'ok', 'TUN, nftables, routing rules and cgroup v2 are there');
}

export interface ConflictFacts {
  /** Priorities of others' rules that come before ours, except the kernel's own. */
  readonly earlierRules: readonly number[];
  /** Interfaces that other tunnels are known to make. */
  readonly otherTunnels: readonly string[];
  /** Tables of the packet filter whose output is dropped unless allowed. */
  readonly droppingTables: readonly string[];
}

export function judgeConflicts({ earlierRules, otherTunnels, droppingTables }: ConflictFacts): Check {
  const found = [
    ...(otherTunnels.length > 0 ? [`other tunnels: ${otherTunnels.join(', ')}`] : []),
    ...(earlierRules.length > 0 ? [`routing rules before ours (priority ${earlierRules.join(', ')})`] : []),
    ...(droppingTables.length > 0 ? [`packet filters that drop what leaves: ${droppingTables.join(', ')}`] : []),
  ];
  if (found.length === 0) return check('conflicts', 'ok', 'nothing else here sends traffic elsewhere');
  return check('conflicts', 'warning', found.join('; '), 'stop the other VPN or filter, or let it pass the interface sallyport and UDP to the gateways'); // prettier-ignore
}

export interface WayFacts {
  readonly gateway: string;
  /** Of each way: milliseconds, null for no answer; absent: not tried, or not offered. */
  readonly wireguard?: number | null;
  readonly amneziawg?: number | null;
  readonly tls?: number | null;
  readonly whyNot: string;
}

const WAYS = { wireguard: 'udp', amneziawg: 'amneziawg', tls: 'tls' } as const;
const WAY_WORDS = {
  wireguard: 'WireGuard over UDP',
  amneziawg: 'AmneziaWG over UDP',
  tls: 'the tunnel over TLS',
} as const;

export function judgeWays(facts: WayFacts): Check[] {
  const ways = ['wireguard', 'amneziawg', 'tls'] as const;
  const works = ways.some((way) => typeof facts[way] === 'number');
  return ways.map((way) => {
    const milliseconds = facts[way];
    if (milliseconds === undefined)
      return check(WAYS[way], 'skipped', `${WAY_WORDS[way]} was not tried: ${facts.whyNot}`);
    if (milliseconds !== null) return check(WAYS[way], 'ok', `${WAY_WORDS[way]}: ${facts.gateway} answers after ${milliseconds.toFixed(0)} ms`); // prettier-ignore
    const remedy = works
      ? 'another way works and is taken by itself; "sallyport set transport auto", if it was fixed'
      : 'ask whether the gateway runs, and whether this network lets its ports out';
    return check(WAYS[way], works ? 'warning' : 'fault', `${WAY_WORDS[way]}: ${facts.gateway} does not answer`, remedy);
  });
}

export function judgeTunnel(facts: {
  readonly connected: boolean;
  readonly message: string;
  readonly handshakeAgoMs: number | undefined;
}): Check {
  const { connected, message, handshakeAgoMs } = facts;
  if (!connected) return check('tunnel', message === '' ? 'skipped' : 'fault', message === '' ? 'not connected' : message, message === '' ? '' : 'see what is faulty above'); // prettier-ignore
  if (handshakeAgoMs === undefined)
    return check('tunnel', 'fault', 'no handshake was completed', 'see the ways to the gateway above');
  const seconds = Math.round(handshakeAgoMs / 1000);
  // WireGuard keeps no session longer (its paper, section 6.1: 180 s).
  if (seconds > 180) return check('tunnel', 'fault', `the last handshake was ${String(seconds)} seconds ago`, 'sallyport disconnect and connect'); // prettier-ignore
  return check('tunnel', 'ok', `the last handshake was ${String(seconds)} seconds ago`);
}

export function judgeDns(facts: {
  readonly by: string;
  readonly answered: boolean | undefined;
  readonly servers: readonly string[];
}): Check {
  const { by, answered, servers } = facts;
  if (answered === undefined) return check('dns', 'skipped', 'not connected');
  const detail = `${servers.join(', ')} by ${by}`;
  if (answered) return check('dns', 'ok', `names are answered through the tunnel: ${detail}`);
  return check('dns', 'fault', `no name server answers through the tunnel: ${detail}`, 'sallyport set dns-servers, or ask an administrator whether the gateway answers names'); // prettier-ignore
}

export function judgeMtu(facts: { readonly mtu: number | undefined; readonly passes: boolean | undefined }): Check {
  const { mtu, passes } = facts;
  if (mtu === undefined || passes === undefined) return check('mtu', 'skipped', 'not connected');
  if (passes) return check('mtu', 'ok', `packets of ${String(mtu)} bytes pass`);
  return check('mtu', 'warning', `packets of ${String(mtu)} bytes do not pass`, 'sallyport set mtu none');
}
