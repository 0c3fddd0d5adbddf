import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { iperf, type WireGuardDevice } from '@sallyport/netlab';
import type { Outcome, Scenario, Stage } from '../scenario.ts';
import type { Visit } from './tunnel/page-client.ts';
import { pageHost, piecesOf, visitorOf } from './tunnel/page.ts';
import { drawPicture } from './tunnel/picture.ts';
import { countPieces, examine } from './tunnel/wire-evidence.ts';
import {
  buildTunnel,
  buildWorld,
  listenPort,
  startPageServer,
  toClient,
  toGateway,
  toInternet,
  toProvider,
  type World,
} from './tunnel/world.ts';

const throughputSeconds = 3;

/** A client browses through a gateway; a sniffer between the two learns nothing. */
export const tunnel: Scenario = {
  name: 'tunnel',
  about: 'a WireGuard tunnel: what a sniffer sees, what the destination sees, and how fast it is',
  async run(stage) {
    const { steps } = stage;
    const marker = randomBytes(12).toString('hex');
    const world = await steps.step('Machines: client, provider, gateway, internet host', () =>
      buildWorld(stage.laboratory),
    );
    const certificate = await steps.step('Web server on the internet host, HTTP and HTTPS', () =>
      startPageServer(world, marker),
    );
    // From before the handshake, so that nothing escapes the sniffer.
    const before = await world.provider.capture(toClient);
    const behind = await world.internet.capture(toGateway);
    const devices = await steps.step(
      'Tunnel between client and gateway',
      () => buildTunnel(world, stage.device),
      ({ client, gateway }) => `${client.name} and ${gateway.name}`,
    );
    const visits = await steps.step(
      'The client fetches the page by HTTP and HTTPS, IPv4 and IPv6',
      () => visit(world, certificate),
      (all) => `${String(all.length)} times, TLS certificate verified`,
    );
    const captures = await steps.step(
      'Sniffers on both sides of the gateway',
      async () => ({ wire: await before.stop(), internet: await behind.stop() }),
      ({ wire, internet }) => `${String(wire.packets.length)} and ${String(internet.packets.length)} packets`,
    );
    const handshake = await handshakeTime(devices.client);
    const throughput = await measureThroughput(stage, world);
    const facts = await gatherFacts(world, visits, captures, throughput, handshake);
    return { facts, picture: drawPicture(facts), faults: faultsOf(facts) };
  },
};

async function visit(world: World, certificate: string): Promise<readonly Visit[]> {
  const { ipv4, ipv6 } = await world.internet.addressesOf(toGateway);
  const script = join(import.meta.dirname, 'tunnel', 'page-client.ts');
  const run = await world.client.run([process.execPath, script, certificate, ...ipv4, ...ipv6]);
  return JSON.parse(run.stdout) as Visit[];
}

/** Seconds since 1970 of the client's last handshake; 0 when there was none. */
async function handshakeTime(device: WireGuardDevice): Promise<number> {
  const status = await device.uapi('get=1\n\n');
  return Number(/^last_handshake_time_sec=(\d+)$/m.exec(status)?.[1] ?? 0);
}

interface Throughput {
  readonly download: number;
  readonly upload: number;
}

async function measureThroughput({ steps }: Stage, world: World): Promise<Throughput> {
  const [address = ''] = (await world.internet.addressesOf(toGateway)).ipv4;
  const measure = (title: string, reverse: boolean) =>
    steps.step(
      title,
      () => iperf({ client: world.client, server: world.internet, address }, { seconds: throughputSeconds, reverse }),
      ({ bitsPerSecond }) => `${(bitsPerSecond / 1e6).toFixed(0)} Mbit/s`,
    );
  const download = await measure('Download through the tunnel', true);
  const upload = await measure('Upload through the tunnel', false);
  return { download: download.bitsPerSecond, upload: upload.bitsPerSecond };
}

/** Everything here was observed in this run. */
export type TunnelFacts = Awaited<ReturnType<typeof gatherFacts>>;

type Captures = Readonly<Record<'wire' | 'internet', Parameters<typeof examine>[0]>>;

async function gatherFacts(
  world: World,
  visits: readonly Visit[],
  captures: Captures,
  throughput: Throughput,
  handshake: number,
) {
  const client = await world.client.addressesOf(toProvider);
  const endpoint = await world.gateway.addressesOf(toProvider);
  const gateway = await world.gateway.addressesOf(toInternet);
  const destination = await world.internet.addressesOf(toGateway);
  const endpoints = { client: client.ipv4[0] ?? '', gateway: endpoint.ipv4[0] ?? '', gatewayPort: listenPort };
  const pieces = [...piecesOf(visits[0]?.page ?? ''), Buffer.from(pageHost)];
  const wire = examine(captures.wire, endpoints, pieces);
  const sawFrom = (family: 'ipv4' | 'ipv6') => {
    const seen = visits
      .filter(({ address }) => destination[family].includes(address))
      .map(({ page }) => visitorOf(page));
    return [...new Set(seen)].join(', ');
  };
  return {
    destinationSawIpv4: sawFrom('ipv4'),
    destinationSawIpv6: sawFrom('ipv6'),
    gatewayIpv4: gateway.ipv4[0] ?? '',
    gatewayIpv6: gateway.ipv6[0] ?? '',
    clientIpv4: client.ipv4[0] ?? '',
    clientIpv6: client.ipv6[0] ?? '',
    destinationIpv4: destination.ipv4[0] ?? '',
    destinationIpv6: destination.ipv6[0] ?? '',
    tunnelEndpoints: [endpoints.client, `${endpoints.gateway}:${String(endpoints.gatewayPort)}`],
    handshakeDone: handshake > 0,
    visits: visits.map(({ scheme, address, status, tls, page }) => ({
      url: `${scheme}://${address.includes(':') ? `[${address}]` : address}/`,
      status,
      tls,
      bytes: Buffer.byteLength(page),
      destinationSaw: visitorOf(page),
    })),
    plaintextOnWire: wire.piecesFound > 0,
    plaintextPiecesOnWire: wire.piecesFound,
    plaintextPiecesBehindGateway: countPieces(captures.internet, pieces),
    plaintextPiecesSearched: pieces.length,
    packetsOnWire: wire.tunnelPackets,
    otherPacketsOnWire: wire.otherPackets.length,
    otherPackets: wire.otherPackets,
    neighbourPacketsOnWire: wire.neighbourPackets,
    bytesOnWire: wire.bytes,
    packetsMissedBySniffers: captures.wire.dropped + captures.internet.dropped,
    throughputBitsPerSecond: Math.round(throughput.download),
    uploadBitsPerSecond: Math.round(throughput.upload),
  };
}

function faultsOf(facts: TunnelFacts): Outcome['faults'] {
  const checks: readonly (readonly [boolean, string])[] = [
    [facts.handshakeDone, 'no handshake took place'],
    [facts.visits.length === 4, `the page was fetched ${String(facts.visits.length)} times, not 4`],
    [facts.visits.every(({ status }) => status === 200), 'a page was not served'],
    [
      facts.visits.filter(({ url }) => url.startsWith('https:')).every(({ tls }) => tls !== null),
      'a certificate was not verified',
    ],
    [
      facts.destinationSawIpv4 === facts.gatewayIpv4,
      `the destination saw ${facts.destinationSawIpv4}, not the gateway's ${facts.gatewayIpv4}`,
    ],
    [
      facts.destinationSawIpv6 === facts.gatewayIpv6,
      `the destination saw ${facts.destinationSawIpv6}, not the gateway's ${facts.gatewayIpv6}`,
    ],
    [facts.packetsOnWire > 0, 'the sniffer saw no datagram'],
    [facts.otherPacketsOnWire === 0, `the sniffer saw other packets: ${facts.otherPackets.slice(0, 5).join('; ')}`],
    [!facts.plaintextOnWire, "the sniffer saw pieces of the page's text"],
    [
      facts.plaintextPiecesBehindGateway > facts.plaintextPiecesSearched / 2,
      "the search for the page's text does not even find it behind the gateway",
    ],
    [facts.packetsMissedBySniffers === 0, `the sniffers missed ${String(facts.packetsMissedBySniffers)} packets`],
    [facts.throughputBitsPerSecond > 0 && facts.uploadBitsPerSecond > 0, 'nothing was transferred'],
  ];
  return checks.flatMap(([good, fault]) => (good ? [] : [fault]));
}
