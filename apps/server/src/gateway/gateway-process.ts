/** The gateway's process: opens what needs root, gives root up, and serves devices. The supervisor starts it. */
import { mkdirSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { AgentError, GatewayAgent, GatewayFiles, systemClock, type Tunnel } from '@sallyport/agent';
import type { Hello } from '@sallyport/link';
import { dropPrivileges, inheritedStream, PrivilegedClient, readConfiguration } from '@sallyport/privileged';
import { pino } from 'pino';
import { finishLoading } from '../finish-loading.ts';
import { loadAmneziawgParameters } from './amneziawg-parameters.ts';
import { ClientAddresses } from './client-addresses.ts';
import { GATEWAY_EXIT, gatewayConfiguration, type GatewayConfiguration, type GatewayMessage } from './gateway-configuration.ts'; // prettier-ignore
import { openGatewayPlane, type GatewayPlane } from './gateway-plane.ts';
import { serveMetrics } from './metrics-server.ts';
import { loadOpenVpnKey } from './openvpn-key.ts';
import { OpenVpnTunnel } from './openvpn-tunnel.ts';
import { nameResolver } from './resolve-name.ts';
import { loadWireGuardKey } from './wireguard-key.ts';
import { WireGuardTunnel } from './wireguard-tunnel.ts';

/** Addresses that stay on one link (RFC 4291 section 2.5.6). */
const LINK_LOCAL = /^fe[89ab]/i;
/** What is taken down at the end has this long. */
const TEAR_DOWN_MS = 5000;
/** And its whole end, whatever it waits for: nobody kills it where the supervisor is gone. */
const MAX_STOP_MS = 8000;

function tell(message: GatewayMessage): void {
  // The supervisor may be gone before this process has heard of it.
  if (process.connected) process.send?.(message, () => undefined);
}

/** Tells why, and ends. */
function fail(error: unknown, code: number): never {
  const message = error instanceof Error ? error.message : String(error);
  log.fatal(message);
  tell({ kind: 'failed', message: message.slice(0, 2000) });
  process.exit(code);
}

const log = pino({ name: 'gateway', level: 'info' }, pino.destination({ fd: 2, sync: true }));
process.umask(0o077);

const inherited = await readConfiguration().catch((error: unknown) => fail(error, GATEWAY_EXIT.configuration));
const parsed = gatewayConfiguration.safeParse(inherited.configuration);
if (!parsed.success)
  fail(
    new Error(parsed.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; ')),
    GATEWAY_EXIT.configuration,
  );
const configuration: GatewayConfiguration = parsed.data;
log.level = configuration.logLevel;

const privileged = new PrivilegedClient(inheritedStream(configuration.helperFd));

let agent: GatewayAgent | undefined;
let stopping = false;
try {
  const opened = await openGatewayPlane({ ...configuration, openvpnPort: configuration.openvpn?.port ?? 0 });
  const { plane } = opened;
  const wireguard = new WireGuardTunnel(opened, onFault);
  const metrics =
    configuration.metrics === undefined
      ? undefined
      : await serveMetrics(configuration.metrics, () => agent?.metrics.registry.metrics() ?? Promise.resolve(''));
  finishLoading();
  if (configuration.user !== undefined) dropPrivileges(configuration.user.uid, configuration.user.gid);

  mkdirSync(configuration.directory, { recursive: true, mode: 0o700 });
  const key = loadWireGuardKey(join(configuration.directory, 'wireguard.key'));
  const amneziawg = openAmneziawg(wireguard);
  wireguard.setPrivateKey(key.privateKey);
  const { tunnel: openvpn, offer } = openOpenVpn(opened);
  agent = createAgent(
    [wireguard, ...(openvpn === undefined ? [] : [openvpn])],
    { wireguardPublicKey: key.publicKey, amneziawg, openvpn: offer },
    opened.listenPort,
  );
  plane.closed.then(
    () => {
      if (!stopping) fail(new Error('the tunnel\'s interface was removed'), GATEWAY_EXIT.failed); // prettier-ignore
    },
    (error: unknown) => fail(error, GATEWAY_EXIT.failed),
  );

  const stop = (): void => {
    if (!stopping) setTimeout(() => process.exit(GATEWAY_EXIT.failed), MAX_STOP_MS).unref();
    stopping = true;
    agent?.stop();
  };
  process.on('SIGTERM', stop).on('SIGINT', stop).on('disconnect', stop);
  process.on('SIGHUP', () => undefined);
  void inherited.parentGone.then(stop);

  await agent.start();
  tell({
    kind: 'ready',
    listenPort: opened.listenPort,
    wireguardPublicKey: key.publicKey,
    stateVersion: agent.stateVersion,
    metricsPort: metrics?.port,
  });
  let ended: Error | undefined;
  await agent.run().catch((error: unknown) => {
    ended = error as Error;
  });
  stopping = true;
  metrics?.close();
  const late = new Promise((resolve) => setTimeout(resolve, TEAR_DOWN_MS).unref());
  const answer = await Promise.race([privileged.request({ kind: 'tearDown' }).catch(() => undefined), late]);
  await openvpn?.leave();
  plane.close();
  await Promise.race([plane.closed, late]);
  privileged.close();
  if (ended !== undefined) throw ended;
  // The supervisor sees to it otherwise.
  process.exit(answer === undefined ? GATEWAY_EXIT.failed : GATEWAY_EXIT.done);
} catch (error) {
  const code = error instanceof AgentError ? error.code : undefined;
  fail(
    error,
    code === 'refused'
      ? GATEWAY_EXIT.refused
      : code === 'configuration'
        ? GATEWAY_EXIT.configuration
        : GATEWAY_EXIT.failed,
  );
}

/** Has the tunnel speak AmneziaWG; what devices need for it. */
function openAmneziawg(tunnel: WireGuardTunnel): Hello['tunnel']['amneziawg'] {
  const { amneziawgPort: port, directory } = configuration;
  if (port === 0) return undefined;
  const variant = loadAmneziawgParameters(join(directory, 'amneziawg.json'));
  tunnel.setAmneziawg(variant);
  return { port, ...variant };
}

/** OpenVPN, where it is spoken; what the control plane needs for it. */
function openOpenVpn({ plane, openvpn: side }: GatewayPlane): {
  tunnel?: OpenVpnTunnel;
  offer?: Hello['tunnel']['openvpn'];
} {
  const { openvpn, directory, mtu } = configuration;
  if (side === undefined || openvpn === undefined) return {};
  const key = loadOpenVpnKey(join(directory, 'openvpn.key'));
  const addresses = new ClientAddresses();
  process.on('message', (message) => {
    addresses.take(message);
  });
  return {
    tunnel: new OpenVpnTunnel({ plane, side, mtu, key, addresses, onFault, now: () => Date.now() }),
    offer: { ...openvpn, publicKey: key.publicKey },
  };
}

/** What an operator has to know of a tunnel. */
function onFault(message: string): void {
  log.error(message);
}

function createAgent(
  tunnels: readonly Tunnel[],
  offer: Pick<Hello['tunnel'], 'wireguardPublicKey' | 'amneziawg' | 'openvpn'>,
  listenPort: number,
): GatewayAgent {
  const { control, endpoint, tls, name, region, country, city, software, interfaceName, mtu, localTcpPorts } =
    configuration;
  return new GatewayAgent({
    url: control.url,
    joinToken: control.joinToken,
    files: new GatewayFiles(configuration.directory),
    self: {
      software,
      tunnel: {
        ...offer,
        endpointHost: endpoint.host,
        endpointPort: endpoint.port ?? listenPort,
        ...(tls !== undefined && { tls }),
      },
      ...(name !== undefined && { name }),
      ...(region !== undefined && { region }),
      ...(country !== undefined && { country }),
      ...(city !== undefined && { city }),
    },
    tunnels,
    privileged,
    interfaceName,
    mtu,
    localTcpPorts,
    ownAddresses,
    resolve: nameResolver(configuration.nameServers),
    clock: systemClock,
    log,
    onLink: (up) => {
      tell({ kind: 'link', up });
    },
    onNames: (names) => {
      tell({ kind: 'names', ...names });
    },
  });
}

/** This machine's addresses, without the loopback's, the tunnel's and those of one link. */
function ownAddresses(): string[] {
  const found = Object.entries(networkInterfaces()).flatMap(([name, addresses]) =>
    name === configuration.interfaceName ? [] : (addresses ?? []),
  );
  return [
    ...new Set(found.filter((a) => !a.internal && !LINK_LOCAL.test(a.address)).map(({ address }) => address)),
  ].sort();
}
