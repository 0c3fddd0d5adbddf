/** The client in networks as they are: lossy, far away, narrow, forgetful, with inspection, behind a login page. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { pingSteadily, until } from '@sallyport/netlab';
import { goTo, seenFrom, WEB } from '../../demo/scenarios/client/world.ts';
import { SlowLine } from '../../demo/scenarios/client/slow-line.ts';
import { ClientRig } from './client/rig.ts';

/** WireGuard's four messages, whatever their port: a byte of the type and three zeros. */
const WIREGUARD = '@th,64,32 { 0x01000000, 0x02000000, 0x03000000, 0x04000000 }';

describe('in every network', () => {
  let rig: ClientRig;

  before(async () => {
    rig = await ClientRig.start();
  });
  after(async () => {
    await rig.close();
  });

  /** That the destination is reached, and by the gateway in use. */
  async function assertThrough(seconds = 4): Promise<void> {
    await until('the destination', async () => {
      const exit = (await rig.status()).hops.at(-1)?.endpoint.split(':')[0];
      return exit !== undefined && (await seenFrom(rig.world.client, WEB.ipv4, seconds)) === exit;
    });
  }

  /** A page in full packets, both ways; another gateway meanwhile ends the connection. */
  async function assertLargePass(): Promise<void> {
    await until('a large request to pass', async () => {
      const { stdout } = await rig.world.client.run(
        ['curl', '-s', '--max-time', '30', '-X', 'POST', '-H', `x-filler: ${'x'.repeat(8000)}`, `http://${WEB.ipv4}/`],
        { allowFailure: true },
      );
      return /^198\.51\.100\./.test(stdout);
    });
  }

  test('with 30 % of the packets lost', async () => {
    await rig.shape(['numgen random mod 100 < 30 drop']);
    await rig.try('near');
    await rig.connected();
    await assertThrough(10);
    await rig.shape([]);
    await rig.disconnect();
  });

  test('half a second away', async () => {
    const line = await SlowLine.start(rig.world, 250);
    try {
      await rig.try('near');
      await rig.connected();
      await assertThrough(10);
      const { times, output } = await pingSteadily(rig.world.client, WEB.ipv4, { count: 1 });
      assert.ok((times[0] ?? 0) >= 500, output);
    } finally {
      await line.stop();
    }
    await rig.disconnect();
  });

  test('where inspection drops WireGuard: AmneziaWG; where UDP is dropped: TLS; and back when it works again', async () => {
    await rig.shape([`meta l4proto udp ${WIREGUARD} drop`, 'tcp dport 8444 drop']);
    await rig.try('near');
    assert.equal((await rig.connected()).hops[0]?.transport, 'amneziawg');
    await assertThrough();
    await rig.disconnect();
    await rig.shape(['meta l4proto udp drop']);
    await rig.try('near');
    assert.equal((await rig.connected()).hops[0]?.transport, 'tls');
    await assertThrough();
    await assertLargePass();
    await rig.shape([]);
    // By itself it looks after half a minute (`client/machine`); who lets go of one way has it looked for at once.
    await rig.set({ transport: 'tls' });
    await rig.set({ transport: 'auto' });
    await rig.until('UDP again', ({ state, hops }) => state === 'connected' && hops[0]?.transport === 'wireguard');
    await assertThrough();
    await rig.disconnect();
  });

  test('where UDP is throttled it gets through', async () => {
    await rig.connect('near');
    await rig.shape(['meta l4proto udp limit rate over 40 kbytes/second burst 8 kbytes drop']);
    const curl = ['curl', '-s', '-o', '/dev/null', '--max-time', '4', `http://${WEB.ipv4}/stream`];
    await Promise.all([1, 2, 3].map(() => rig.world.client.run(curl, { allowFailure: true })));
    await assertThrough(10);
    await rig.connected();
    await rig.shape([]);
    await rig.disconnect();
  });

  test('behind a login page it says so, and connects once that is passed', async () => {
    const { home } = rig.world;
    const page = `require('http').createServer((q, r) => r.writeHead(302, { location: 'http://portal.example/' }).end()).listen(8080, () => console.log('up'))`;
    const portal = await home.start([process.execPath, '-e', page]);
    await until('the portal', () => portal.stdout.includes('up'));
    await home.nft(`table ip portal {
      chain arrival { type nat hook prerouting priority dstnat; policy accept; iifname "lan" tcp dport 80 redirect to :8080; }
    }\n`);
    await rig.shape(['drop']);
    // This one alone: it is known sooner that there is no way.
    await rig.try('gatewayb');
    const blocked = await rig.until('the block', ({ state, message }) => state === 'blocked' && /login|portal/i.test(message)); // prettier-ignore
    assert.match(blocked.message, /log in|login/i);
    await home.nft('delete table ip portal\n');
    await rig.shape([]);
    await rig.connected();
    await assertThrough();
    await portal.stop();
    await rig.disconnect();
  });

  test('gets through where a router forgets its translations, and gives other ports', async () => {
    const { home } = rig.world;
    await rig.connect('near');
    await assertThrough();
    await home.nft('flush chain ip access translation\nadd rule ip access translation oifname "uplink" meta l4proto udp masquerade to :40000-50000 random\n'); // prettier-ignore
    await home.run(['conntrack', '-F']);
    await assertThrough();
    await rig.connected();
    await home.nft('flush chain ip access translation\nadd rule ip access translation oifname "uplink" masquerade\n');
    await rig.disconnect();
  });

  test('it moves to another network and back', async () => {
    // This one, whatever others offer there.
    await rig.connect('gatewayb');
    const exit = await rig.exit();
    for (const access of ['cafe', 'home'] as const) {
      await goTo(rig.world, access);
      await assertThrough();
      assert.equal(await rig.exit(), exit, 'by the same gateway');
    }
    await rig.disconnect();
  });

  describe('a narrow path', () => {
    async function narrow(mtu: number): Promise<void> {
      const { home, internet } = rig.world;
      await home.ip('link', 'set', 'uplink', 'mtu', String(mtu));
      await internet.ip('link', 'set', 'home', 'mtu', String(mtu));
      for (const router of [home, internet]) {
        await router.nft(
          `table inet swallow\ndelete table inet swallow\n${
            mtu === 1500
              ? ''
              : `table inet swallow {
          chain output {
            type filter hook output priority filter; policy accept;
            icmp type destination-unreachable icmp code frag-needed drop
            icmpv6 type packet-too-big drop
          }
        }`
          }\n`,
        );
      }
    }

    test('whose routers swallow every answer: the largest packet is found, and larger ones are answered', async () => {
      await narrow(1400);
      await rig.connect('near');
      // 20 bytes of IPv4, 8 of UDP, 32 of WireGuard.
      const { mtu } = await rig.until(
        'the path MTU',
        (status) => (status.mtu ?? 0) > 1300 && (status.mtu ?? 0) <= 1340,
      );
      await assertLargePass();
      // The kernel itself answers a program that asks for more.
      const ping = ['ping', '-c', '2', '-W', '1', '-M', 'do', '-s', '1392', WEB.ipv4];
      await until(`the kernel’s answer, ${String(mtu)}`, async () => {
        const { stdout, stderr } = await rig.world.client.run(ping, { allowFailure: true });
        return new RegExp(`(mtu ?= ?|message too long, mtu=)${String(mtu)}`).test(stdout + stderr);
      });
      await narrow(1500);
      await rig.disconnect();
    });

    test('too narrow for WireGuard with IPv6 inside', async () => {
      await narrow(1300);
      await rig.try('near');
      await rig.connected();
      // 1280 bytes and 60 around them do not fit; TCP cuts to any size.
      await rig.until('another way', ({ state, hops }) => state === 'connected' && hops[0]?.transport === 'tls');
      await assertLargePass();
      await narrow(1500);
      await rig.disconnect();
    });
  });
});
