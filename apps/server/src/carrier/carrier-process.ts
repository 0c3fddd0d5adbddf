/**
 * The carrier's process: takes its addresses as root, becomes nobody in particular, and then passes datagrams on between
 * TLS and the WireGuard port of this machine, and between TCP and its OpenVPN port. It holds no key but its certificate's.
 */
import { CarrierServer, OpenVpnTcpServer } from '@sallyport/carrier';
import { dropPrivileges, readConfiguration } from '@sallyport/privileged';
import { createLog } from '../log.ts';
import { EXIT_CONFIGURATION } from '../control-configuration.ts';
import { finishLoading } from '../finish-loading.ts';
import { carrierConfiguration, type CarrierConfiguration, type CarrierMessage } from './carrier-configuration.ts';
import { newIdentityFor, openIdentity } from './identity.ts';

const MAX_STOP_MS = 3_000;

process.umask(0o077);
const { configuration, parentGone } = await readConfiguration();
const { folder, listen, behindWeb, hosts, wireguardPort, openvpn, user, logLevel } =
  carrierConfiguration.parse(configuration);
const log = createLog('carrier', logLevel);

function tell(message: CarrierMessage): void {
  // The supervisor may be gone before this process has heard of it.
  if (process.connected) process.send?.(message, () => undefined);
}

let server: CarrierServer | undefined;
let openvpnServer: OpenVpnTcpServer | undefined;
/** Undefined where its addresses are taken, by another OpenVPN for one: the tunnel over TLS goes on without it. */
async function bindOpenVpn({
  listen: addresses,
  behindWeb: shared,
  port,
}: NonNullable<CarrierConfiguration['openvpn']>): Promise<OpenVpnTcpServer | undefined> {
  try {
    return await OpenVpnTcpServer.bind({
      listen: addresses,
      ...(shared ? { behindWeb: { host: '127.0.0.1', port: 0 } } : {}),
      openvpnPort: port,
      onSource: (local, address) => {
        tell({ kind: 'source', local, address });
      },
    });
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    log('error', `OpenVPN over TCP is off: ${reason}; end the other program, or name others: openvpn_tcp_listen`);
    return undefined;
  }
}

let stopping = false;
function stop(): void {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(1), MAX_STOP_MS).unref();
  void Promise.all([server?.close(), openvpnServer?.close()]).then(() => process.exit(0));
}
process.on('SIGTERM', stop).on('disconnect', stop);
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
void parentGone.then(stop);

try {
  const made = await newIdentityFor(folder, hosts);
  server = await CarrierServer.bind({
    listen,
    ...(behindWeb ? { behindWeb: { host: '127.0.0.1', port: 0 } } : {}),
    wireguardPort,
  });
  if (openvpn !== undefined) openvpnServer = await bindOpenVpn(openvpn);
  finishLoading();
  if (user !== undefined) dropPrivileges(user.uid, user.gid);
  const { path, chain, key, certificateSha256 } = openIdentity(folder, made);
  server.open(path, { chain, key: key.reveal() });
  openvpnServer?.open();
  const webPort = server.behindWebAddress?.port;
  const ports = server.addresses.map(({ port }) => port);
  const openvpnPorts = openvpnServer?.addresses.map(({ port }) => port) ?? [];
  const openvpnWebPort = openvpnServer?.behindWebAddress?.port;
  tell({
    kind: 'ready',
    path,
    certificateSha256,
    ports,
    ...(webPort === undefined ? {} : { webPort }),
    openvpnPorts,
    ...(openvpnWebPort === undefined ? {} : { openvpnWebPort }),
  });
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  log('error', message);
  if (process.send === undefined) process.exit(EXIT_CONFIGURATION);
  const failed: CarrierMessage = { kind: 'failed', message: message.slice(0, 2000) };
  process.send(failed, () => process.exit(EXIT_CONFIGURATION));
}
