// The client's end: what it takes from a server, how it ends, and what it does by itself.
import assert from 'node:assert/strict';
import { before, describe, test, type TestContext } from 'node:test';
import { DATA_LIMITS, type ClientEvent, type TlsOutput } from '@sallyport/openvpn';
import { SeededRandom } from '@sallyport/testkit';
import { readPulled, readToken } from '../../packages/openvpn/src/session/pulled.ts';
import { CLIENT_SETTINGS, type ClientSettings } from '../../packages/openvpn/src/session/settings.ts';
import {
  admit,
  admitByProfile,
  ClientEnd,
  cryptV2,
  makeCertificates,
  ServerEnd,
  World,
  type Certificates,
  type ClientSetup,
  type ServerSetup,
} from './simulation-world.ts';

const SERVER = '192.0.2.1:1194';
const CLIENT = '192.0.2.2:5000';

let certificates: Certificates;
before(async () => {
  certificates = await makeCertificates();
});

async function meet(
  context: TestContext,
  atServer: ServerSetup = {},
  atClient: ClientSetup = {},
): Promise<{ world: World; server: ServerEnd; client: ClientEnd }> {
  const world = new World(new SeededRandom(1), certificates);
  context.after(() => {
    world.close();
  });
  const server = new ServerEnd(world, SERVER, atServer);
  const client = new ClientEnd(world, CLIENT, SERVER, 2, atClient).start();
  await world.run(1_000);
  return { world, server, client };
}

async function assertTunnel(world: World, server: ServerEnd, client: ClientEnd, number = 1): Promise<void> {
  assert.ok(client.isConnected, JSON.stringify(client.reports));
  client.sendPacket(number);
  server.sendTo(2, number);
  await world.run(100);
  assert.ok(server.received.includes(`2>1#${String(number)}`));
  assert.ok(client.received.includes(`1>2#${String(number)}`));
}

function endingOf(client: ClientEnd): Extract<ClientEvent, { kind: 'ended' }>['ending'] | undefined {
  const ended = client.reportsOf('ended');
  assert.ok(ended.length <= 1, 'it ends once');
  return ended[0]?.ending;
}

/** The server says a text, as its TLS would bring it out. */
function hear(client: ClientEnd, text: string, tlsId = 1): void {
  const output: TlsOutput = { kind: 'plaintext', bytes: Buffer.from(`${text}\0`) };
  client.run((now, out) => {
    client.client.handleTls(tlsId, output, now, out);
  });
}

describe('what is pushed', () => {
  const BASE = ['ifconfig 10.8.0.2 255.255.255.0', 'topology subnet', 'peer-id 7', 'cipher AES-128-GCM'];
  const read = (options: readonly string[], settings: Partial<ClientSettings> = {}): ReturnType<typeof readPulled> =>
    readPulled(options, { ...CLIENT_SETTINGS, ...settings }, undefined);
  const wrong = (options: readonly string[], settings: Partial<ClientSettings> = {}): string => {
    const pulled = read(options, settings);
    assert.ok(typeof pulled === 'string', JSON.stringify(pulled));
    return pulled;
  };

  test('all that concerns the protocol', () => {
    const pulled = read([
      ...BASE,
      'ifconfig-ipv6 fd00::2/64 fd00::1',
      'route-gateway 10.8.0.1',
      'tun-mtu 1400',
      'ping 5',
      'ping-restart 30',
      'protocol-flags cc-exit tls-ekm dyn-tls-crypt aead-epoch',
      'auth-token abc',
      'route 192.168.0.0 255.255.0.0',
    ]);
    assert.ok(typeof pulled !== 'string');
    const { token, ...rest } = pulled;
    assert.equal(token?.reveal(), 'abc');
    assert.deepEqual(rest, {
      ipv4: { address: '10.8.0.2', prefixLength: 24 },
      ipv6: { address: 'fd00::2', prefixLength: 64 },
      gateway: '10.8.0.1',
      mtu: 1400,
      peerId: 7,
      cipher: 'AES-128-GCM',
      format: 'epoch',
      exportedKeys: true,
      dynamicTlsCrypt: true,
      exitNotify: true,
      pingMs: 5_000,
      pingRestartMs: 30_000,
      tokenUserName: undefined,
    });
  });

  test('little: what the profile says counts', () => {
    const pulled = readPulled(['peer-id 0', 'key-derivation tls-ekm'], { ...CLIENT_SETTINGS, fallbackCipher: 'AES-256-CBC' }, 'BF-CBC'); // prettier-ignore
    assert.ok(typeof pulled !== 'string');
    assert.deepEqual(
      [pulled.ipv4, pulled.ipv6, pulled.mtu, pulled.cipher, pulled.format, pulled.exportedKeys, pulled.dynamicTlsCrypt],
      [undefined, undefined, 1500, 'AES-256-CBC', 'v2', true, false],
    );
    const other = readPulled(['peer-id 0'], CLIENT_SETTINGS, 'aes-256-gcm');
    assert.ok(typeof other !== 'string');
    assert.equal(other.cipher, 'AES-256-GCM');
  });

  test('a link to one other end, as servers before topology subnet have it', () => {
    const pulled = read(['ifconfig 10.8.0.6 10.8.0.5', 'peer-id 1', 'cipher AES-256-GCM']);
    assert.ok(typeof pulled !== 'string');
    assert.deepEqual(pulled.ipv4, { address: '10.8.0.6', prefixLength: 32 });
  });

  test('what can not be followed', () => {
    assert.match(wrong([...BASE, 'comp-lzo no']), /comp-lzo/);
    assert.match(wrong([...BASE, 'compress lz4-v2']), /compress/);
    assert.match(wrong([...BASE, 'fragment 1300']), /fragment/);
    assert.match(wrong(['ifconfig 10.8.0.2 255.0.255.0', ...BASE.slice(1)]), /address/);
    assert.match(wrong(['ifconfig 10.8.0.999 255.255.255.0', ...BASE.slice(1)]), /address/);
    assert.match(wrong(['ifconfig 10.8.0.2', ...BASE.slice(1)]), /address/);
    assert.match(wrong(BASE.filter((option) => !option.startsWith('peer-id'))), /peer id/);
    assert.match(wrong([...BASE, 'peer-id 16777215']), /peer id/);
    assert.match(wrong([...BASE, 'cipher BF-CBC']), /BF-CBC/);
    assert.match(wrong([...BASE, 'cipher AES-256-CBC']), /AES-256-CBC/);
    assert.match(wrong(BASE, { dataCiphers: ['AES-256-GCM'] }), /AES-128-GCM/);
    assert.match(wrong([...BASE, 'protocol-flags aead-epoch'], { epoch: false }), /format/);
  });

  test('numbers that are none, or too large, are as if not pushed', () => {
    const pulled = read([
      ...BASE,
      'tun-mtu 9000',
      'ping x',
      'ping-restart -1',
      'ifconfig-ipv6 fd00::2::3/64',
      'auth-token',
    ]);
    assert.ok(typeof pulled !== 'string');
    assert.deepEqual(
      [pulled.mtu, pulled.pingMs, pulled.pingRestartMs, pulled.ipv6, pulled.token],
      [1500, 0, 120_000, undefined, undefined],
    );
    assert.equal(readToken(['auth-token']), undefined);
    assert.equal(readToken(['x y', 'auth-token z'])?.reveal(), 'z');
  });

  test('what the profile filters out', async (context) => {
    const { client } = await meet(
      context,
      { authenticate: () => admit(2, { push: ['route 10.0.0.0 255.0.0.0', 'dhcp-option DNS 10.8.0.1'] }) },
      { acceptPushed: (option) => !option.startsWith('route ') && !option.startsWith('tun-mtu') },
    );
    const { configuration } = client.reportsOf('connected')[0];
    assert.equal(configuration.mtu, 1500);
    assert.ok(configuration.options.includes('dhcp-option DNS 10.8.0.1'));
    assert.ok(!configuration.options.some((option) => option.startsWith('route ')));
  });

  test('more than can be taken', async (context) => {
    const { client } = await meet(context, { authenticate: () => undefined });
    for (let i = 0; i < 100; i++) hear(client, `PUSH_REPLY,${`route 10.0.0.0,`.repeat(60)}push-continuation 2`);
    assert.equal(endingOf(client)?.kind, 'refusedPush');
  });

  test('a second push reply changes nothing but the token', async (context) => {
    const { world, server, client } = await meet(context);
    hear(client, 'PUSH_REPLY,ifconfig 10.9.9.9 255.0.0.0,peer-id 77,auth-token new');
    assert.equal(client.reportsOf('connected').length, 1);
    assert.equal(client.reportsOf('token')[0]?.token.reveal(), 'new');
    await assertTunnel(world, server, client);
  });
});

describe('older ends', () => {
  test('a server that has to be asked, keys by the PRF, a goodbye inside the tunnel', async (context) => {
    const { world, server, client } = await meet(context, {}, { peerInfo: new Map([['IV_PROTO', '2']]) });
    await world.run(500);
    await assertTunnel(world, server, client);
    const { options } = client.reportsOf('connected')[0].configuration;
    assert.ok(!options.some((option) => /protocol-flags|key-derivation/.test(option)));
    assert.equal(world.exported.length, 0);
    client.run((now, out) => {
      client.client.renegotiate(now, out);
    });
    await world.run(3_000);
    await assertTunnel(world, server, client, 2);
    client.run((now, out) => {
      client.client.stop(now, out);
    });
    await world.run(2_000);
    assert.deepEqual(endingOf(client), { kind: 'stopped' });
    assert.equal(server.server.counters.exits, 1);
  });

  test('2.5 with tls-crypt-v2, which sends its key once', async (context) => {
    const world = new World(new SeededRandom(1), certificates);
    context.after(() => {
      world.close();
    });
    const { key, wrap } = cryptV2(world.crypto, 2);
    const server = new ServerEnd(world, SERVER, { key, authenticate: admitByProfile });
    assert.ok(wrap.kind === 'tls-crypt-v2');
    let lost = 3;
    world.network.conditions = () => ({ loss: lost-- > 0 ? 1 : 0, duplication: 0.5, corruption: 0, delayMs: 20, jitterMs: 0 }); // prettier-ignore
    const client = new ClientEnd(world, CLIENT, SERVER, 2, { wrap: { ...wrap, firstPacketId: 1 } }).start();
    await world.run(20_000);
    await assertTunnel(world, server, client);
    assert.equal(server.server.counters.cookiesIssued, 0);
    assert.equal(server.server.counters.handshakesBegun, 1);
  });
});

describe('its end', () => {
  const said: [string, object][] = [
    ['AUTH_FAILED', { kind: 'authFailed', failure: { kind: 'plain', text: '' } }],
    ['AUTH_FAILED,no', { kind: 'authFailed', failure: { kind: 'plain', text: 'no' } }],
    ['RESTART', { kind: 'restart', advance: false, keepPassword: false, text: '' }],
    ['RESTART,[NP]now', { kind: 'restart', advance: true, keepPassword: true, text: 'now' }],
    ['HALT,gone', { kind: 'halt', text: 'gone' }],
    ['EXIT', { kind: 'exit' }],
  ];
  for (const [text, ending] of said)
    for (const connected of [true, false])
      test(`by ${text}${connected ? '' : ' before it is connected'}`, async (context) => {
        const { world, client } = await meet(context, connected ? {} : { authenticate: () => undefined });
        assert.equal(client.client.state, connected ? 'connected' : 'authenticating');
        hear(client, text);
        assert.deepEqual(endingOf(client), ending);
        assert.equal(client.client.session, 0);
        assert.equal(client.data.count, 0);
        assert.equal(client.client.pollTimeout(), undefined);
        hear(client, 'AUTH_FAILED');
        const { messages } = client;
        await world.run(10_000, 100);
        assert.equal(client.messages, messages, 'it says nothing more');
        assert.equal(client.reportsOf('ended').length, 1);
      });

  test('nobody answers', async (context) => {
    const world = new World(new SeededRandom(1), certificates);
    context.after(() => {
      world.close();
    });
    const client = new ClientEnd(world, CLIENT, SERVER, 2, { settings: { handWindowMs: 30_000 } }).start();
    await world.run(29_000, 100);
    assert.equal(endingOf(client), undefined);
    assert.ok(client.messages >= 4 && client.messages < 8, `${String(client.messages)} tries`);
    await world.run(2_000, 100);
    assert.deepEqual(endingOf(client), { kind: 'timeout', phase: 'handshake' });
  });

  test('a server that never pushes is asked now and then, and then given up', async (context) => {
    const { world, client } = await meet(context, { authenticate: () => undefined });
    await world.run(65_000, 100);
    const ending = endingOf(client);
    // Ours says at the end of the window that it took too long.
    assert.ok(ending?.kind === 'authFailed' || ending?.kind === 'timeout');
  });

  test('a server whose certificate does not do', async (context) => {
    const { client, server, world } = await meet(context, {}, { tls: { check: () => 'another name' } });
    assert.deepEqual(endingOf(client), { kind: 'tls', text: 'another name' });
    await world.run(70_000, 500);
    assert.equal(server.server.handshakes, 0);
    assert.equal(server.server.count, 0);
  });

  test('stopped before it was connected, and twice', async (context) => {
    const { client } = await meet(context, { authenticate: () => undefined });
    for (let i = 0; i < 2; i++)
      client.run((now, out) => {
        client.client.stop(now, out);
      });
    assert.deepEqual(endingOf(client), { kind: 'stopped' });
  });

  test('over TCP without a goodbye that would arrive: at once', async (context) => {
    const { world, client } = await meet(context, {}, { tcp: true, peerInfo: new Map([['IV_PROTO', '2']]) });
    await world.run(1_000);
    assert.ok(client.isConnected);
    client.run((now, out) => {
      client.client.stop(now, out);
    });
    await world.run(5);
    assert.deepEqual(endingOf(client), { kind: 'stopped' });
  });
});

describe('new keys', () => {
  test('after so many bytes', async (context) => {
    const { world, server, client } = await meet(
      context,
      { settings: { pingMs: 1_000 } },
      { settings: { renegotiateBytes: 50_000 } },
    );
    for (let number = 0; number < 100; number++) {
      client.sendPacket(number, 1_000);
      await world.run(100);
    }
    const renegotiated = client.reportsOf('renegotiated').length;
    assert.ok(renegotiated === 1 || renegotiated === 2, String(renegotiated));
    assert.equal(server.received.length, 100);
  });

  for (const atServer of [true, false])
    test(`when the ${atServer ? "server's" : "client's"} is used up by packets`, async (context) => {
      const limits = { ...DATA_LIMITS, renewPackets: 200 };
      const { world, server, client } = await meet(
        context,
        { settings: { epoch: false }, ...(atServer && { limits }) },
        atServer ? {} : { limits },
      );
      for (let number = 0; number < 1_000; number++) {
        client.sendPacket(number);
        server.sendTo(2, number);
        if (number % 10 === 0) await world.run(100);
      }
      await world.run(3_000);
      const renegotiated = client.reportsOf('renegotiated').length;
      assert.ok(renegotiated >= 1, String(renegotiated));
      await assertTunnel(world, server, client, 2_000);
    });

  test('not more often than each second, whatever the peer wants', async (context) => {
    const { world, server, client } = await meet(context);
    for (let i = 0; i < 100; i++) {
      client.run((now, out) => {
        client.client.renegotiate(now, out);
      });
      await world.run(100);
    }
    assert.ok(server.server.counters.renegotiations <= 10);
    await assertTunnel(world, server, client);
  });
});
