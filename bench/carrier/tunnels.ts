/** Two namespaces joined by our tunnel over TLS, and two by OpenVPN's over TCP. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  generateKeys,
  ping,
  until,
  wire,
  WireGuardDevice,
  type Laboratory,
  type NetworkNamespace,
  type Process,
  type Program,
} from '@sallyport/netlab';

export interface StreamTunnel {
  readonly near: NetworkNamespace;
  readonly far: NetworkNamespace;
  /** Of the far end, inside the tunnel. */
  readonly ipv4: string;
  readonly ipv6: string;
}

const LISTEN_PORT = 51_820;
const TLS_PORT = 8444;
const OPENVPN_PORT = 1194;

async function twoHosts(laboratory: Laboratory, label: string): Promise<[NetworkNamespace, NetworkNamespace]> {
  const near = await laboratory.namespace(`${label}-1`);
  const far = await laboratory.namespace(`${label}-2`);
  await wire(
    { namespace: near, name: 'wire', addresses: ['192.0.2.1/24'] },
    { namespace: far, name: 'wire', addresses: ['192.0.2.2/24'] },
  );
  return [near, far];
}

/** What a process says first. */
async function firstLine<T>(started: Process): Promise<T> {
  const line = await until(
    started.argv.join(' '),
    () => {
      if (started.exit !== undefined) throw new Error(started.stderr);
      return started.stdout.includes('\n') ? started.stdout.slice(0, started.stdout.indexOf('\n')) : undefined;
    },
    20_000,
  );
  return JSON.parse(line) as T;
}

/** Our WireGuard devices with carriers between them. */
export async function openCarrierTunnel(laboratory: Laboratory, label: string, ours: Program): Promise<StreamTunnel> {
  const [near, far] = await twoHosts(laboratory, label);
  const keys = { near: generateKeys(), far: generateKeys() };
  const [nearDevice, farDevice] = await Promise.all([
    WireGuardDevice.start(near, ours),
    WireGuardDevice.start(far, ours),
  ]);
  const program = (name: string): string[] => [process.execPath, join(import.meta.dirname, name)];
  const serverEnd = await far.start([...program('gateway-end.ts'), '192.0.2.2', String(TLS_PORT), String(LISTEN_PORT)]);
  const { certificateSha256 } = await firstLine<{ certificateSha256: string }>(serverEnd);
  const clientArguments = ['192.0.2.2', String(TLS_PORT), certificateSha256, String(LISTEN_PORT)];
  const clientEnd = await near.start([...program('client-end.ts'), ...clientArguments]);
  const { port } = await firstLine<{ port: number }>(clientEnd);
  await farDevice.configure({
    privateKey: keys.far.privateKey,
    listenPort: LISTEN_PORT,
    peers: [{ publicKey: keys.near.publicKey, allowedIps: ['10.99.0.1/32', 'fd99::1/128'] }],
  });
  await nearDevice.configure({
    privateKey: keys.near.privateKey,
    listenPort: LISTEN_PORT,
    peers: [
      {
        publicKey: keys.far.publicKey,
        endpoint: `127.0.0.1:${String(port)}`,
        allowedIps: ['10.99.0.2/32', 'fd99::2/128'],
      },
    ],
  });
  await nearDevice.up(['10.99.0.1/24', 'fd99::1/64']);
  await farDevice.up(['10.99.0.2/24', 'fd99::2/64']);
  return reachable({ near, far, ipv4: '10.99.0.2', ipv6: 'fd99::2' });
}

/** OpenVPN over TCP as it comes, with AES-256-GCM; each end knows the other's certificate. */
export async function openOpenvpnTunnel(laboratory: Laboratory, label: string): Promise<StreamTunnel> {
  const [near, far] = await twoHosts(laboratory, label);
  const certificates = {
    near: await makeCertificate(laboratory, 'near'),
    far: await makeCertificate(laboratory, 'far'),
  };
  const run = (
    namespace: NetworkNamespace,
    own: OpenvpnCertificate,
    peer: OpenvpnCertificate,
    ...more: readonly string[]
  ): Promise<Process> =>
    namespace.start([
      ...['openvpn', '--dev', 'tun0', '--topology', 'subnet', '--port', String(OPENVPN_PORT), '--dh', 'none'],
      ...['--data-ciphers', 'AES-256-GCM', '--cipher', 'AES-256-GCM', '--verb', '1', '--socket-flags', 'TCP_NODELAY'],
      ...['--cert', own.certificate, '--key', own.key, '--peer-fingerprint', peer.fingerprint, ...more],
    ]);
  await run(
    far,
    certificates.far,
    certificates.near,
    ...['--tls-server', '--proto', 'tcp-server', '--ifconfig', '10.98.0.2', '255.255.255.0'],
    ...['--ifconfig-ipv6', 'fd98::2/64', 'fd98::1'],
  );
  await run(
    near,
    certificates.near,
    certificates.far,
    ...['--tls-client', '--proto', 'tcp-client', '--remote', '192.0.2.2', '--connect-retry', '1'],
    ...['--ifconfig', '10.98.0.1', '255.255.255.0', '--ifconfig-ipv6', 'fd98::1/64', 'fd98::2'],
  );
  return reachable({ near, far, ipv4: '10.98.0.2', ipv6: 'fd98::2' });
}

interface OpenvpnCertificate {
  /** Paths. */
  readonly certificate: string;
  readonly key: string;
  readonly fingerprint: string;
}

async function makeCertificate(laboratory: Laboratory, name: string): Promise<OpenvpnCertificate> {
  const certificate = join(laboratory.folder, `${name}.pem`);
  const key = join(laboratory.folder, `${name}.key`);
  await laboratory.run([
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes'],
    ...['-subj', `/CN=${name}`, '-days', '30', '-keyout', key, '-out', certificate],
  ]);
  return { certificate, key, fingerprint: new X509Certificate(readFileSync(certificate)).fingerprint256 };
}

async function reachable(tunnel: StreamTunnel): Promise<StreamTunnel> {
  for (const address of [tunnel.ipv4, tunnel.ipv6]) {
    // Before there is an address, ping has nothing to send from.
    const answered = () =>
      ping(tunnel.near, address, { count: 1, waitMs: 500 }).then(
        ({ received }) => received === 1,
        () => false,
      );
    await until('the tunnel', answered, 20_000);
  }
  return tunnel;
}
