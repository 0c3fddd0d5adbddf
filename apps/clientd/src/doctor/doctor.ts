/** Finds out step by step what stops a connection. */
import { Resolver } from 'node:dns/promises';
import { isIP } from 'node:net';
import type { ClientGateway } from '@sallyport/api';
import { ranked, TRANSPORTS, type Path, type Transport } from '@sallyport/client';
import type { Daemon } from '../daemon.ts';
import { probeGateway } from '../gateway-probes.ts';
import { addressesOf } from '../network/connect.ts';
import { hasIpv6 } from '../network/ipv6.ts';
import { networkFacts } from '../network/network-facts.ts';
import * as judge from './judge.ts';
import { lookAtControl, lookAtKernel, lookForConflicts, looksLikePortal } from './look.ts';

const PORTAL_TIMEOUT_MS = 2000;
const WAY_TIMEOUT_MS = 2500;
const DNS_TIMEOUT_MS = 2000;
const PING_TIMEOUT_MS = 1500;

/** Tells each check as it is made. */
export async function examine(
  daemon: Daemon,
  { group }: { readonly group: boolean },
  tell: (check: judge.Check) => void,
  signal: AbortSignal,
): Promise<judge.Check[]> {
  const checks: judge.Check[] = [];
  const add = (...made: judge.Check[]): void => {
    for (const check of made) {
      checks.push(check);
      tell(check);
    }
  };
  const { state, runner } = daemon;
  const { record, control } = daemon.keeper;
  add(judge.judgeDaemon({ version: daemon.status().version, group, state: state.phase }));
  add(judge.judgeKernel(await lookAtKernel(runner)), judge.judgeConflicts(await lookForConflicts(runner)));
  // As it is now: what the daemon knows may be a moment old.
  const { ipv4, ipv6 } = await networkFacts(runner);
  add(judge.judgeNetwork({ ipv4, ipv6, ipv6Disabled: !hasIpv6('all') }));
  const device = state.configuration?.device;
  add(
    judge.judgeAccount(
      record && { url: record.url, standing: device?.standing, message: device?.message ?? '', refusal: state.refusal },
    ),
  );
  if (control === undefined || record === undefined || signal.aborted) return checks;

  const isAddress = isIP(control.host) !== 0;
  const blocked = daemon.isBlocking;
  const found = isAddress || blocked ? [] : await addressesOf(control.host);
  add(judge.judgeNames({ host: control.host, found: found.length, blocked, isAddress }));
  const facts = await lookAtControl(control, record.url.startsWith('https:'), record.fingerprint);
  // What is blocked can't be asked either: the filter lets the portal's port out only while the machine looks there itself.
  const portal = blocked ? undefined : await looksLikePortal(control, PORTAL_TIMEOUT_MS);
  add(state.block?.reason === 'portal' ? judge.judgePortal(true) : judge.judgePortal(portal, blocked));
  add(judge.judgeControl(facts), judge.judgeCertificate(facts));
  const serverTime = 'milliseconds' in facts.tcp ? await control.serverTime().catch(() => undefined) : undefined;
  add(judge.judgeClock(serverTime === undefined ? undefined : serverTime - Date.now()));
  if (signal.aborted) return checks;
  add(...judge.judgeWays(await tryWays(daemon)));
  await examineTunnel(daemon, control.host, add);
  return checks;
}

/** The ways to the gateway in use, or to the best one. What the packet filter doesn't let out is not tried. */
async function tryWays(daemon: Daemon): Promise<judge.WayFacts> {
  const { state } = daemon;
  const { session, configuration, network } = state;
  const gateway = session?.exit.gateway ?? (configuration && ranked(configuration, state.intent?.target ?? 'fastest', state.latencies)[0]); // prettier-ignore
  if (gateway === undefined) return { gateway: '', whyNot: 'there is no gateway that may be used' };
  const found: { wireguard?: number | null; amneziawg?: number | null; tls?: number | null } = {};
  const front = session?.entry ?? session?.exit;
  // Beside a tunnel that works nothing is tried at the same gateway: it would answer there for a moment.
  if (session !== undefined && session.suspectAt === undefined && front !== undefined) {
    found[front.path.transport] = session.roundTripMs ?? null;
    return { gateway: front.gateway.name, ...found, whyNot: 'the tunnel goes another way' };
  }
  if (daemon.isBlocking) {
    daemon.machine.take({ kind: 'measure' });
    await daemon.machine.until(({ measure }) => measure === undefined, 2 * WAY_TIMEOUT_MS);
    found.wireguard = daemon.measured[gateway.id] ?? null;
    return { gateway: gateway.name, ...found, whyNot: 'everything else is blocked; it is tried while connecting' };
  }
  const prober = daemon.prober();
  for (const transport of TRANSPORTS) {
    const path = pathBy(transport, gateway, network);
    if (path === undefined) continue;
    found[transport] = (await probeGateway(prober, gateway, path, WAY_TIMEOUT_MS)) ?? null;
  }
  return { gateway: gateway.name, ...found, whyNot: 'the gateway does not offer it' };
}

function pathBy(
  transport: Transport,
  gateway: ClientGateway,
  network: { ipv4: boolean; ipv6: boolean },
): Path | undefined {
  const port = { wireguard: gateway.endpointPort, amneziawg: gateway.amneziawg?.port, tls: gateway.tls?.port }[
    transport
  ];
  const address = gateway.endpointAddresses.find((one) => (isIP(one) === 6 ? network.ipv6 : network.ipv4));
  return port === undefined || address === undefined ? undefined : { gatewayId: gateway.id, transport, address, port };
}

async function examineTunnel(daemon: Daemon, host: string, add: (...made: judge.Check[]) => void): Promise<void> {
  const { state } = daemon;
  const { session } = state;
  const status = daemon.status();
  const connected = state.phase === 'connected' && session !== undefined;
  const lastHandshake = status.hops.at(-1)?.lastHandshakeAt ?? null;
  const handshakeAgoMs = lastHandshake === null ? undefined : Date.now() - Date.parse(lastHandshake);
  add(judge.judgeTunnel({ connected, message: status.message, handshakeAgoMs }));
  const { by, servers } = daemon.names;
  add(judge.judgeDns({ by, servers, answered: connected && servers.length > 0 ? await answersNames(servers, host) : undefined })); // prettier-ignore
  const service = session && daemon.tunnels.of(session.exit.attempt)?.service;
  const mtu = status.mtu ?? undefined;
  const passes =
    connected && service !== undefined && mtu !== undefined ? await service.probe(mtu, PING_TIMEOUT_MS) : undefined;
  add(judge.judgeMtu({ mtu, passes }));
}

/** Any answer counts: that there is no such name is one too. */
async function answersNames(servers: readonly string[], host: string): Promise<boolean> {
  const resolver = new Resolver({ timeout: DNS_TIMEOUT_MS, tries: 2 });
  resolver.setServers(servers.map((server) => (isIP(server) === 6 ? `[${server}]` : server)));
  try {
    await resolver.resolve4(isIP(host) === 0 ? host : 'example.org');
    return true;
  } catch (error) {
    return ['ENOTFOUND', 'ENODATA', 'ESERVFAIL'].includes((error as NodeJS.ErrnoException).code ?? '');
  }
}
