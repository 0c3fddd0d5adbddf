/** Finds out on this machine what judge.ts judges. Nothing here changes anything. */
import { createHash } from 'node:crypto';
import { accessSync, readdirSync } from 'node:fs';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import { isIP } from 'node:net';
import { request } from 'node:http';
import { ENTRY_INTERFACE, FIREWALL_TABLE, FIRST_RULE_PRIORITY, TUNNEL_INTERFACE } from '@sallyport/client';
import { cgroupRoot, type CommandRunner } from '@sallyport/io';
import type { ControlPlane } from '../account/control-plane.ts';
import { messageOf } from '../failure.ts';
import { connectFirst } from '../network/connect.ts';
import type { ConflictFacts, ControlFacts, KernelFacts } from './judge.ts';

const TIMEOUT_MS = 3000;
const DAY_MS = 86_400_000;
/** What other programs call their tunnels. */
const TUNNEL_NAMES =
  /^(wg\d|wg-|tun\d|tap\d|ppp\d|tailscale\d|nordlynx|nordtun|proton\d|mullvad|zt|utun|ipsec\d|CloudflareWARP)/;

export async function lookAtKernel(runner: CommandRunner): Promise<KernelFacts> {
  return {
    tun: works(() => {
      accessSync('/dev/net/tun');
    }),
    nft: await runner.query('nft', ['list', 'tables']).then(() => undefined, messageOf),
    rules: await runner.query('ip', ['-json', 'rule', 'show']).then(
      () => true,
      () => false,
    ),
    cgroup: cgroupRoot() !== undefined,
  };
}

export async function lookForConflicts(runner: CommandRunner): Promise<ConflictFacts> {
  const rules = await runner.query('ip', ['-json', 'rule', 'show']).catch(() => '[]');
  const priorities = (JSON.parse(rules === '' ? '[]' : rules) as { priority?: number }[]).flatMap((rule) => rule.priority ?? []); // prettier-ignore
  const chains = await runner.query('nft', ['list', 'chains']).catch(() => '');
  const dropping: string[] = [];
  for (const [, table = '', body = ''] of chains.matchAll(/^table (\S+ \S+) \{$([^]*?)^\}/gm))
    if (table !== `inet ${FIREWALL_TABLE}` && /hook output [^;]*; policy drop/.test(body)) dropping.push(table);
  return {
    earlierRules: priorities.filter((priority) => priority > 0 && priority < FIRST_RULE_PRIORITY),
    otherTunnels: readdirSync('/sys/class/net').filter(
      (name) => name !== TUNNEL_INTERFACE && name !== ENTRY_INTERFACE && TUNNEL_NAMES.test(name),
    ),
    droppingTables: dropping,
  };
}

export async function lookAtControl(
  control: ControlPlane,
  secure: boolean,
  fingerprint: string | null,
): Promise<ControlFacts> {
  const { host, port } = control;
  const begun = performance.now();
  try {
    const socket = await control.connect();
    const tcp = { milliseconds: performance.now() - begun };
    if (!secure) {
      socket.destroy();
      return { host, port, tcp, tls: undefined };
    }
    return { host, port, tcp, tls: await lookAtCertificate(connectTls({ socket, host, rejectUnauthorized: false, ...(isIP(host) === 0 ? { servername: host } : {}) }), fingerprint) }; // prettier-ignore
  } catch (error) {
    return { host, port, tcp: { fault: messageOf(error) }, tls: undefined };
  }
}

function lookAtCertificate(socket: TLSSocket, fingerprint: string | null): Promise<ControlFacts['tls']> {
  return new Promise((resolve) => {
    const pinned = fingerprint !== null;
    const end = (facts: ControlFacts['tls']): void => {
      socket.destroy();
      resolve(facts);
    };
    socket.setTimeout(TIMEOUT_MS, () => {
      end({ trusted: false, pinned, fault: 'no answer in TLS', daysLeft: 0 });
    });
    socket.on('error', (error) => {
      end({ trusted: false, pinned, fault: error.message, daysLeft: 0 });
    });
    socket.on('secureConnect', () => {
      const { raw, valid_to: until } = socket.getPeerCertificate();
      const trusted = pinned
        ? createHash('sha256').update(raw).digest('hex') === fingerprint.replaceAll(':', '').toLowerCase()
        : socket.authorized;
      const fault = socket.authorizationError === null ? '' : String(socket.authorizationError);
      end({ trusted, pinned, fault, daysLeft: (Date.parse(until) - Date.now()) / DAY_MS });
    });
  });
}

/**
 * Whether something answers in the control plane's place: by plain HTTP a server of ours says nothing, or sends the asker to
 * HTTPS of the same host. Undefined where no address is known.
 */
export async function looksLikePortal(control: ControlPlane, timeoutMs: number): Promise<boolean | undefined> {
  const { host, addresses } = control;
  if (addresses.length === 0) return undefined;
  try {
    const socket = await connectFirst(addresses, 80, timeoutMs);
    return await new Promise((resolve) => {
      const asked = request({ method: 'GET', path: '/healthz', host, headers: { host }, createConnection: () => socket, timeout: timeoutMs }); // prettier-ignore
      asked.on('response', (answer) => {
        const status = answer.statusCode ?? 0;
        const to = answer.headers.location ?? '';
        answer.destroy();
        // Another web server of the same machine may well answer something: a redirect elsewhere is a portal's way.
        const home = URL.canParse(to) && new URL(to).hostname.replace(/^\[|\]$/g, '') === host;
        resolve(status === 511 || (status >= 300 && status < 400 && URL.canParse(to) && !home));
      });
      asked.on('timeout', () => asked.destroy());
      asked.on('error', () => resolve(false));
      asked.end();
    });
  } catch {
    return false;
  }
}

function works(what: () => void): boolean {
  try {
    what();
    return true;
  } catch {
    return false;
  }
}
