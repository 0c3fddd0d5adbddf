/** What goes wrong on real machines while a tunnel is in use, with our device on either side. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  dissect,
  iperf,
  ping,
  protocolUdp,
  sallyportDevice,
  until,
  wireguardGo,
  type CaptureResult,
} from '@sallyport/netlab';
import {
  addDefaultRoutes,
  assertReachable,
  assertRecovers,
  bringUp,
  configurationOf,
  route,
  transfer,
  uplink,
  withPair,
  type Host,
} from './pair.ts';

const pairs = [
  { name: 'our device, wireguard-go at the other end', a: wireguardGo, b: sallyportDevice },
  { name: 'our device at both ends', a: sallyportDevice, b: sallyportDevice },
];

/** How many datagrams a capture has from each address. */
function sources({ packets }: CaptureResult): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { bytes } of packets) {
    const packet = dissect(bytes);
    if (packet.kind !== 'ip' || packet.protocol !== protocolUdp) continue;
    counts.set(packet.source, (counts.get(packet.source) ?? 0) + 1);
  }
  return counts;
}

async function endpointOfPeer(host: Host): Promise<string | undefined> {
  return (await host.device.peers())[0]?.endpoint;
}

/** Runs `disturb` while a transfer from a to b is under way, and checks that it goes on afterwards. */
async function disturbTransfer(a: Host, b: Host, disturb: () => Promise<void>): Promise<void> {
  const server = await b.namespace.start(['iperf3', '--server', '--forceflush']);
  await until('the server', () => server.stdout.includes('Server listening'));
  // Not as fast as it goes: other tests run beside this one.
  const client = await a.namespace.start(['iperf3', '--client', b.inner.ipv4, '--time', '3600', '--bitrate', '50M']);
  const running = (): void => assert.equal(client.exit, undefined, client.stdout + client.stderr);
  const bytes = async (host: Host, counter: 'sent' | 'received', wanted: number): Promise<boolean> => {
    running();
    return (await host.device.peers()).some((peer) => peer[counter] > wanted);
  };
  await until('the transfer', () => bytes(a, 'sent', 1_000_000));
  await disturb();
  await until('the transfer goes on', () => bytes(b, 'received', 1_000_000));
  running();
}

for (const { name, ...programs } of pairs) {
  test(`${name}: killed in mid-transfer and started again, the transfer goes on`, () =>
    withPair(programs, {}, async ({ a, b }) => {
      const comeBack = async () => {
        await b.device.crash();
        await b.device.restart();
        const configuration = configurationOf(b, a);
        const peers = configuration.peers.map((peer) => ({ ...peer, persistentKeepalive: 1 }));
        await b.device.configure({ ...configuration, peers });
        await bringUp(b);
      };
      await disturbTransfer(a, b, comeBack);
    }));

  test(`${name}: the interface taken down and up again`, () =>
    withPair(programs, {}, async ({ a, b }) => {
      await assertReachable(a, b);
      await b.namespace.ip('link', 'set', b.device.name, 'down');
      const meanwhile = await ping(a.namespace, b.inner.ipv4, { count: 3, waitMs: 200 });
      assert.equal(meanwhile.received, 0, meanwhile.output);
      await b.namespace.ip('link', 'set', b.device.name, 'up');
      // As the Linux driver, our device forgets its keys when it goes down; it asks for new ones when it has to send.
      await assertRecovers(b, a);
      // The kernel takes IPv6 addresses from an interface that goes down.
      await assertReachable(a, b, ['ipv4']);
    }));

  test(`${name}: answers come from the address that was written to, until that is removed`, () =>
    withPair(programs, {}, async ({ a, b, router }) => {
      const [written, other] = ['198.51.100.77', b.outer.ipv4];
      // The kernel would choose `other` by itself: it has been there for longer.
      await b.namespace.address(uplink, `${written}/24`);
      await a.device.wg(
        'set',
        a.device.name,
        'peer',
        b.keys.publicKey,
        'endpoint',
        `${written}:${String(b.listenPort)}`,
      );
      const sniffer = await router.capture('to-b');
      await assertReachable(a, b);
      await assertReachable(b, a);
      const seen = sources(await sniffer.stop());
      assert.ok((seen.get(written) ?? 0) > 0);
      assert.equal(seen.get(other), undefined, 'some answers came from the other address');

      // Not as fast as it goes: what overflows the receiver's socket is lost before the change as after it.
      const traffic = iperf(route(b, a), { seconds: 3, bitsPerSecond: 50e6 }).catch((error: unknown) => error);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      await b.namespace.ip('address', 'del', `${written}/24`, 'dev', uplink);
      // At once, that is before any timer of the protocol, the shortest of which is five seconds.
      const { received, output } = await ping(b.namespace, a.inner.ipv4, { count: 20, intervalMs: 100 });
      assert.ok(received > 0, output);
      const ended = await traffic;
      if (ended instanceof Error) throw ended;
      await assertReachable(a, b);
      assert.equal(await endpointOfPeer(a), `${other}:${String(b.listenPort)}`);
    }));

  test(`${name}: the listen port changed while it runs`, () =>
    withPair(programs, {}, async ({ a, b }) => {
      await assertReachable(a, b);
      await b.device.wg('set', b.device.name, 'listen-port', '51999');
      await assertReachable(b, a);
      await assertReachable(a, b);
      assert.equal(await endpointOfPeer(a), `${b.outer.ipv4}:51999`);
    }));

  for (const roamer of ['a', 'b'] as const) {
    test(`${name}: host ${roamer} moves to another address and port`, () =>
      withPair(programs, {}, async ({ a, b }) => {
        const [moving, staying] = roamer === 'a' ? [a, b] : [b, a];
        await assertReachable(moving, staying);
        const address = moving.outer.ipv4.replace(/\d+$/, '99');
        await moving.namespace.ip('-4', 'address', 'flush', 'dev', uplink);
        await moving.namespace.address(uplink, `${address}/24`);
        await addDefaultRoutes(moving.namespace, roamer);
        await moving.device.wg('set', moving.device.name, 'listen-port', '52001');
        await assertRecovers(moving, staying);
        await assertReachable(staying, moving);
        assert.equal(await endpointOfPeer(staying), `${address}:52001`);
      }));
  }

  test(`${name}: the wire cut for a while`, () =>
    withPair(programs, {}, async ({ a, b, router }) => {
      await assertReachable(a, b);
      await router.ip('link', 'set', 'to-b', 'down');
      const meanwhile = await ping(a.namespace, b.inner.ipv4, { count: 5, waitMs: 200 });
      assert.equal(meanwhile.received, 0, meanwhile.output);
      await router.ip('link', 'set', 'to-b', 'up');
      await assertRecovers(a, b);
      await transfer(b, a, 'ipv4', { bytes: 10e6 });
    }));

  test(`${name}: datagrams that the firewall refuses to send (EPERM)`, () =>
    withPair(programs, {}, async ({ a, b }) => {
      await assertReachable(b, a);
      await b.namespace.nft(
        'table inet refuse { chain out { type filter hook output priority 0; meta l4proto udp drop; }; }\n',
      );
      const meanwhile = await ping(b.namespace, a.inner.ipv4, { count: 5, waitMs: 200 });
      assert.equal(meanwhile.received, 0, meanwhile.output);
      await b.namespace.nft('delete table inet refuse\n');
      await assertRecovers(b, a);
    }));
}

test('our device forgets its keys when its interface goes down, however quickly it is up again', () =>
  withPair({ a: sallyportDevice, b: sallyportDevice }, {}, async ({ laboratory, a, b }) => {
    await assertReachable(a, b);
    const { name } = b.device;
    const batch = laboratory.file('down-and-up', `link set ${name} down\nlink set ${name} up\n`);
    await b.namespace.ip('-batch', batch);
    // It hears of it by a message from the kernel.
    const some = { count: 3, waitMs: 300 };
    await until('no answer', async () => (await ping(a.namespace, b.inner.ipv4, some)).received === 0);
    const meanwhile = await ping(a.namespace, b.inner.ipv4, { count: 3, waitMs: 300 });
    assert.equal(meanwhile.received, 0, meanwhile.output);
    await assertRecovers(b, a);
  }));

test('our device finds out by itself that its peer was restarted and lost its keys', () =>
  withPair({ a: sallyportDevice, b: wireguardGo }, {}, async ({ a, b }) => {
    await assertReachable(a, b);
    await b.device.crash();
    await b.device.restart();
    const configuration = configurationOf(b, a);
    await b.device.configure({ ...configuration, peers: configuration.peers.map(withoutEndpoint) });
    await bringUp(b);
    // Nothing received for KEEPALIVE_TIMEOUT + REKEY_TIMEOUT, 15 s: then it shakes hands anew.
    await assertRecovers(a, b);
  }));

function withoutEndpoint<T extends { endpoint?: string }>({ endpoint: _, ...peer }: T): Omit<T, 'endpoint'> {
  return peer;
}
