/** Our device and gateway with AmneziaWG's own device, in both roles. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  dissect,
  generateKeys,
  ping,
  pingSteadily,
  protocolUdp,
  sallyportDevice,
  until,
  wire,
  WireGuardDevice,
  wireguardGo,
  withLaboratory,
  type CapturedPacket,
  type Program,
} from '@sallyport/netlab';
import { VARIANT_KEYS, type Variant } from '@sallyport/wireguard';
import type { GatewayConfiguration } from './amneziawg-gateway-child.ts';
import { assertReachable, assertUnreachable, families, transfer, uplink, withPair } from './pair.ts';
import { unpacked } from './unpacked.ts';

/** As scripts/install-system builds it. */
const path = unpacked('amneziawg-go-0.2.13');
const amneziaDevice: Program = { command: [path] };
const skip = existsSync(path) ? false : 'amneziawg-go is not installed: scripts/install-system';

const GATEWAY = fileURLToPath(new URL('./amneziawg-gateway-child.ts', import.meta.url));

const VARIANT: Variant = {
  jc: 5,
  jmin: 60,
  jmax: 300,
  s1: 77,
  s2: 31,
  h1: 1_755_269_708,
  h2: 3_108_463_711,
  h3: 914_012_367,
  h4: 4_001_225_418,
};

async function speak(device: WireGuardDevice, variant: Variant): Promise<void> {
  const answer = await device.uapi(
    `set=1\n${VARIANT_KEYS.map((key) => `${key}=${String(variant[key])}\n`).join('')}\n`,
  );
  assert.match(answer, /^errno=0$/m);
}

/** A ping of 84 bytes in a transport message: padded to 96, with 16 before and 16 behind. */
const PING_BYTES = 128;

function cut(bytes: Buffer, size: number): Buffer[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, index) =>
    bytes.subarray(index * size, (index + 1) * size),
  );
}

/** The payloads of the UDP datagrams over IPv4 of a capture. */
function payloads(packets: readonly CapturedPacket[]): Buffer[] {
  return packets.flatMap(({ bytes }) => {
    const packet = dissect(bytes);
    return packet.kind === 'ip' && packet.version === 4 && packet.protocol === protocolUdp
      ? [Buffer.from(bytes.subarray(14 + 20 + 8))]
      : [];
  });
}

const roles = [
  { name: 'our device initiates, amneziawg-go responds', a: sallyportDevice, b: amneziaDevice },
  { name: 'amneziawg-go initiates, our device responds', a: amneziaDevice, b: sallyportDevice },
];

for (const { name, ...programs } of roles) {
  for (const outer of families)
    test(`${name}, over ${outer}: handshake, both families inside`, { skip }, () =>
      withPair(programs, { outer }, async ({ a, b }) => {
        for (const { device } of [a, b]) await speak(device, VARIANT);
        await assertReachable(a, b);
        await assertReachable(b, a);
        for (const { device } of [a, b]) assert.ok(((await device.peers())[0]?.latestHandshake ?? 0) > 0);
      }),
    );

  test(`${name}: what the wire shows`, { skip }, () =>
    withPair(programs, {}, async ({ a, b }) => {
      for (const { device } of [a, b]) await speak(device, VARIANT);
      const capture = await a.namespace.capture(uplink);
      assert.equal((await pingSteadily(a.namespace, b.inner.ipv4, { count: 3 })).received, 3);
      const { packets, dropped } = await capture.stop();
      assert.equal(dropped, 0);
      const sent = payloads(packets);
      // Junk may happen to be as long.
      const initiation = sent.findIndex(
        (bytes) => bytes.length === 148 + VARIANT.s1 && bytes.readUInt32LE(VARIANT.s1) === VARIANT.h1,
      );
      assert.equal(initiation, VARIANT.jc, 'the junk comes first');
      for (const junk of sent.slice(0, VARIANT.jc))
        assert.ok(junk.length >= VARIANT.jmin && junk.length <= VARIANT.jmax, String(junk.length));
      const response = sent[initiation + 1];
      assert.equal(response?.length, 92 + VARIANT.s2);
      assert.equal(response.readUInt32LE(VARIANT.s2), VARIANT.h2);
      // What waited for the handshake may leave as one packet, which the kernel is to cut (UDP_SEGMENT).
      const rest = sent.slice(initiation + 2).flatMap((bytes) => cut(bytes, PING_BYTES));
      assert.ok(rest.length >= 6);
      for (const bytes of rest) assert.equal(bytes.readUInt32LE(0), VARIANT.h4);
    }),
  );

  test(`${name}: TCP and UDP in both directions`, { skip }, () =>
    withPair(programs, {}, async ({ a, b }) => {
      for (const { device } of [a, b]) await speak(device, VARIANT);
      await assertReachable(a, b);
      for (const reverse of [false, true]) {
        await transfer(a, b, 'ipv4', { bytes: 10e6, reverse, streams: 2 });
        const udp = { bytes: 1200, bitsPerSecond: 20e6 };
        // How much is lost says more of the machine here, which other tests share (`netns/interop-traffic`).
        const { datagrams } = await transfer(a, b, 'ipv6', { seconds: 1, reverse, udp });
        assert.ok(datagrams > 0);
      }
    }),
  );

  for (const [what, part] of [
    ['padding without junk', { jc: 0 }],
    ['junk without padding', { s1: 0, s2: 0 }],
    ['type words alone', { jc: 0, jmin: 0, jmax: 0, s1: 0, s2: 0 }],
    ["WireGuard's type words", { h1: 1, h2: 2, h3: 3, h4: 4 }],
  ] as const)
    test(`${name}: ${what}`, { skip }, () =>
      withPair(programs, {}, async ({ a, b }) => {
        for (const { device } of [a, b]) await speak(device, { ...VARIANT, ...part });
        await assertReachable(a, b, ['ipv4']);
      }),
    );

  test(`${name}: nothing passes where one side speaks WireGuard, or a word differs`, { skip }, () =>
    withPair(programs, {}, async ({ a, b }) => {
      await speak(b.device, VARIANT);
      await assertUnreachable(a, b);
      await speak(a.device, { ...VARIANT, h2: VARIANT.h2 + 1 });
      await assertUnreachable(a, b);
    }),
  );
}

test('a gateway serves WireGuard and the variant at once, and follows a peer from port to port', { skip }, () =>
  withLaboratory(async (laboratory) => {
    const gateway = await laboratory.namespace('gateway');
    const keys = generateKeys();
    const name = laboratory.interfaceName();
    const ports = [51820, 51821] as const;
    const clients = await Promise.all(
      [amneziaDevice, wireguardGo, sallyportDevice].map(async (program, i) => {
        const namespace = await laboratory.namespace(`client${String(i)}`);
        const device = await WireGuardDevice.start(namespace, program);
        const outer = `192.0.2.${String(4 * i + 1)}`;
        await wire(
          { namespace: gateway, name: `client${String(i)}`, addresses: [`${outer}/30`] },
          { namespace, name: uplink, addresses: [`192.0.2.${String(4 * i + 2)}/30`] },
        );
        return { namespace, device, outer, ...generateKeys(), inner: `10.88.0.${String(i + 2)}` };
      }),
    );
    const configuration: GatewayConfiguration = {
      name,
      privateKey: keys.privateKey,
      ports,
      variant: VARIANT,
      peers: Object.fromEntries(clients.map(({ publicKey, inner }) => [publicKey, [`${inner}/32`]])),
    };
    const file = laboratory.file('gateway.json', JSON.stringify(configuration));
    const running = await gateway.start([process.execPath, GATEWAY, file]);
    await until('the gateway', () => {
      if (running.exit !== undefined) throw new Error(running.stderr);
      return running.stdout.includes('started');
    });
    await gateway.address(name, '10.88.0.1/24');
    await gateway.ip('link', 'set', name, 'up');
    await until('the gateway listens', () => gateway.listensOnUdp(ports[1]));

    const [amnezia, plain, ours] = clients;
    assert.ok(amnezia !== undefined && plain !== undefined && ours !== undefined);
    const point = (client: typeof ours, port: number): Promise<void> =>
      client.device.configure({
        privateKey: client.privateKey,
        peers: [
          {
            publicKey: keys.publicKey,
            endpoint: `${client.outer}:${String(port)}`,
            allowedIps: ['10.88.0.0/24'],
          },
        ],
      });
    const reach = async (client: typeof ours): Promise<void> => {
      const there = await ping(client.namespace, '10.88.0.1', { count: 3, waitMs: 10_000 });
      assert.ok(there.received > 0, there.output);
      const back = await pingSteadily(gateway, client.inner, { count: 3 });
      assert.equal(back.received, 3, back.output);
    };
    for (const client of clients) {
      await point(client, client === plain ? ports[0] : ports[1]);
      if (client !== plain) await speak(client.device, VARIANT);
      await client.device.up([`${client.inner}/24`]);
    }
    for (const client of clients) await reach(client);

    // Ours moves to the plain port and back: it is answered there, while the others stay where they are.
    for (const [port, variant] of [
      [ports[0], { jc: 0, jmin: 0, jmax: 0, s1: 0, s2: 0, h1: 1, h2: 2, h3: 3, h4: 4 }],
      [ports[1], VARIANT],
    ] as const) {
      await speak(ours.device, variant);
      await point(ours, port);
      const capture = await gateway.capture('client2');
      for (const client of [ours, amnezia, plain]) await reach(client);
      const { packets } = await capture.stop();
      const used = new Set(
        packets.flatMap(({ bytes }) => {
          const packet = dissect(bytes);
          return packet.kind === 'ip' && packet.source === ours.outer && packet.ports ? [packet.ports.source] : [];
        }),
      );
      assert.deepEqual([...used], [port]);
    }
    await running.stop();
  }),
);
