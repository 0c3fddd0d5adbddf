import { join } from 'node:path';
import {
  generateKeys,
  generatePresharedKey,
  ping,
  until,
  wire,
  WireGuardDevice,
  type Laboratory,
  type NetworkNamespace,
  type Program,
} from '@sallyport/netlab';
import { pageHost } from './page.ts';

/**
 * The machines: client — provider — gateway — internet host. The provider forwards between client and gateway and is
 * where the sniffer sits. Addresses are from the blocks for documentation (RFC 5737, RFC 3849).
 */
export interface World {
  readonly client: NetworkNamespace;
  readonly provider: NetworkNamespace;
  readonly gateway: NetworkNamespace;
  readonly internet: NetworkNamespace;
}

/** Interface names: each is called after what is at the other end. */
export const toClient = 'to-client';
export const toProvider = 'to-provider';
export const toGateway = 'to-gateway';
export const toInternet = 'to-internet';

export const listenPort = 51820;

export async function buildWorld(laboratory: Laboratory): Promise<World> {
  const client = await laboratory.namespace('client');
  const provider = await laboratory.namespace('provider');
  const gateway = await laboratory.namespace('gateway');
  const internet = await laboratory.namespace('internet');
  await provider.forward();
  await gateway.forward();
  await wire(
    { namespace: client, name: toProvider, addresses: ['192.0.2.10/24', '2001:db8:1::10/64'] },
    { namespace: provider, name: toClient, addresses: ['192.0.2.1/24', '2001:db8:1::1/64'] },
  );
  await wire(
    { namespace: provider, name: toGateway, addresses: ['198.51.100.1/24', '2001:db8:2::1/64'] },
    { namespace: gateway, name: toProvider, addresses: ['198.51.100.20/24', '2001:db8:2::20/64'] },
  );
  await wire(
    { namespace: gateway, name: toInternet, addresses: ['203.0.113.20/24', '2001:db8:3::20/64'] },
    { namespace: internet, name: toGateway, addresses: ['203.0.113.80/24', '2001:db8:3::80/64'] },
  );
  await client.route('198.51.100.0/24', 'via', '192.0.2.1');
  await gateway.route('192.0.2.0/24', 'via', '198.51.100.1');
  return { client, provider, gateway, internet };
}

export interface Tunnel {
  readonly client: WireGuardDevice;
  readonly gateway: WireGuardDevice;
}

/** Brings the tunnel up, sends everything that the client has for the internet into it, and waits until it carries. */
export async function buildTunnel(world: World, device: Program): Promise<Tunnel> {
  const [gatewayAddress] = (await world.gateway.addressesOf(toProvider)).ipv4;
  const [clientKeys, gatewayKeys, presharedKey] = [generateKeys(), generateKeys(), generatePresharedKey()];
  const client = await WireGuardDevice.start(world.client, device);
  const gateway = await WireGuardDevice.start(world.gateway, device);
  await gateway.apply({
    privateKey: gatewayKeys.privateKey,
    listenPort,
    peers: [{ publicKey: clientKeys.publicKey, presharedKey, allowedIps: ['10.66.0.2/32', 'fd66::2/128'] }],
  });
  await client.apply({
    privateKey: clientKeys.privateKey,
    peers: [
      {
        publicKey: gatewayKeys.publicKey,
        presharedKey,
        endpoint: `${gatewayAddress ?? ''}:${String(listenPort)}`,
        allowedIps: ['0.0.0.0/0', '::/0'],
      },
    ],
  });
  await gateway.up(['10.66.0.1/24', 'fd66::1/64'], 1420);
  await until('the gateway listens', () => world.gateway.listensOnUdp(listenPort));
  await client.up(['10.66.0.2/24', 'fd66::2/64'], 1420);
  await world.client.route('0.0.0.0/0', 'dev', client.name);
  await world.client.route('::/0', 'dev', client.name);
  await world.gateway.masquerade(toInternet);
  const answers = async () => (await ping(world.client, '10.66.0.1', { count: 1, waitMs: 500 })).received === 1;
  await until('the gateway, through the tunnel', answers);
  return { client, gateway };
}

/** Makes a certificate for the internet host and starts its web server. Returns the certificate's file. */
export async function startPageServer(world: World, marker: string): Promise<string> {
  const { laboratory } = world.internet;
  const key = join(laboratory.folder, 'page-key.pem');
  const certificate = join(laboratory.folder, 'page-certificate.pem');
  await laboratory.run([
    ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '2'],
    ...['-keyout', key, '-out', certificate, '-subj', `/CN=${pageHost}`, '-addext', `subjectAltName=DNS:${pageHost}`],
  ]);
  const script = join(import.meta.dirname, 'page-server.ts');
  const server = await world.internet.start([process.execPath, script, marker, key, certificate]);
  await until('the web server', () => {
    if (server.exit !== undefined) throw new Error(`the web server ended: ${server.stderr}`);
    return server.stdout.includes('ready');
  });
  return certificate;
}
