/**
 * The carrier's process: takes its addresses as root, becomes nobody in particular, and then passes datagrams on between
 * TLS and the WireGuard port of this machine. It holds no key but its certificate's.
 */
import { flushCompileCache } from 'node:module';
import { CarrierServer } from '@sallyport/carrier';
import { dropPrivileges, readConfiguration } from '@sallyport/privileged';
import { createLog } from '../log.ts';
import { EXIT_CONFIGURATION } from '../control-configuration.ts';
import { carrierConfiguration, type CarrierMessage } from './carrier-configuration.ts';
import { newIdentityFor, openIdentity } from './identity.ts';

const MAX_STOP_MS = 3_000;

process.umask(0o077);
const { configuration, parentGone } = await readConfiguration();
const { folder, listen, behindWeb, hosts, wireguardPort, user, logLevel } = carrierConfiguration.parse(configuration);
const log = createLog('carrier', logLevel);

function tell(message: CarrierMessage): void {
  // The supervisor may be gone before this process has heard of it.
  if (process.connected) process.send?.(message, () => undefined);
}

let server: CarrierServer | undefined;
let stopping = false;
function stop(): void {
  if (stopping) return;
  stopping = true;
  setTimeout(() => process.exit(1), MAX_STOP_MS).unref();
  void (server?.close() ?? Promise.resolve()).then(() => process.exit(0));
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
  // For the next start, while its folder can be written.
  flushCompileCache();
  if (user !== undefined) dropPrivileges(user.uid, user.gid);
  const { path, chain, key, certificateSha256 } = openIdentity(folder, made);
  server.open(path, { chain, key: key.reveal() });
  const webPort = server.behindWebAddress?.port;
  const ports = server.addresses.map(({ port }) => port);
  tell({ kind: 'ready', path, certificateSha256, ports, ...(webPort === undefined ? {} : { webPort }) });
} catch (error) {
  const message = error instanceof Error ? error.message : String(error);
  log('error', message);
  if (process.send === undefined) process.exit(EXIT_CONFIGURATION);
  const failed: CarrierMessage = { kind: 'failed', message: message.slice(0, 2000) };
  process.send(failed, () => process.exit(EXIT_CONFIGURATION));
}
