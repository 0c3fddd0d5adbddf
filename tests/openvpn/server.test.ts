// The server's end against our client: who is let in, what it is told, how it is sent away, and what the server keeps of
// those that are nobody.
import assert from 'node:assert/strict';
import { before, describe, test, type TestContext } from 'node:test';
import { Secret } from '@sallyport/core';
import type { AuthenticationRequest, ClientEvent, ClientWrap, EntranceKey, Verdict } from '@sallyport/openvpn';
import { SeededRandom } from '@sallyport/testkit';
import { encodeCrv1Response, encodeScrv1 } from '../../packages/openvpn/src/wire/challenge.ts';
import { IvProto } from '../../packages/openvpn/src/wire/peer-info.ts';
import { advancesBy, agree } from '../../packages/openvpn/src/session/negotiation.ts';
import { SERVER_SETTINGS } from '../../packages/openvpn/src/session/settings.ts';
import {
  admit,
  admitByProfile,
  ClientEnd,
  cryptV2,
  deviceName,
  makeCertificates,
  ServerEnd,
  World,
  type Certificates,
  type ClientSetup,
  type ServerSetup,
} from './simulation-world.ts';

const SERVER = '192.0.2.1:1194';
const CLIENT = '192.0.2.2:5000';
const STATIC_KEY = Uint8Array.from({ length: 256 }, (_, i) => (i * 11 + 5) & 255);

let certificates: Certificates;
before(async () => {
  certificates = await makeCertificates();
});

function worldOf(context: TestContext, seed = 1): World {
  const world = new World(new SeededRandom(seed), certificates);
  context.after(() => {
    world.close();
  });
  return world;
}

async function meet(
  context: TestContext,
  atServer: ServerSetup = {},
  atClient: ClientSetup = {},
): Promise<{ world: World; server: ServerEnd; client: ClientEnd }> {
  const world = worldOf(context);
  const server = new ServerEnd(world, SERVER, atServer);
  const client = new ClientEnd(world, CLIENT, SERVER, 2, atClient).start();
  await world.run(1_000);
  return { world, server, client };
}

/** A packet each way comes through. */
async function assertTunnel(world: World, server: ServerEnd, client: ClientEnd, number = 1): Promise<void> {
  assert.ok(client.isConnected, JSON.stringify(client.reports));
  client.sendPacket(number);
  server.sendTo(client.number, number);
  await world.run(100);
  assert.ok(server.received.includes(`${String(client.number)}>1#${String(number)}`));
  assert.ok(client.received.includes(`1>${String(client.number)}#${String(number)}`));
}

function endingOf(client: ClientEnd): Extract<ClientEvent, { kind: 'ended' }>['ending'] | undefined {
  return client.reportsOf('ended')[0]?.ending;
}

function login(userName: string, password: string): ClientSetup['credentials'] {
  return () => ({ userName, password: new Secret(password) });
}

describe('how the control channel is protected', () => {
  const { crypto } = new World(new SeededRandom(1), undefined as unknown as Certificates);
  const ways: [string, EntranceKey, ClientWrap][] = [
    ['nothing', { kind: 'none' }, { kind: 'none' }],
    ['tls-crypt', { kind: 'tls-crypt', key: STATIC_KEY }, { kind: 'tls-crypt', key: STATIC_KEY }],
    ['tls-crypt-v2', cryptV2(crypto, 2).key, cryptV2(crypto, 2).wrap],
    ...(['sha1', 'sha256', 'sha512'] as const).map((hash): [string, EntranceKey, ClientWrap] => [
      `tls-auth with ${hash} and directions`,
      { kind: 'tls-auth', key: STATIC_KEY, hash, direction: 0 },
      { kind: 'tls-auth', key: STATIC_KEY, hash, direction: 1 },
    ]),
    [
      'tls-auth without directions',
      { kind: 'tls-auth', key: STATIC_KEY, hash: 'sha1', direction: undefined },
      { kind: 'tls-auth', key: STATIC_KEY, hash: 'sha1', direction: undefined },
    ],
  ];
  for (const [name, key, wrap] of ways)
    test(name, async (context) => {
      const { world, server, client } = await meet(context, { key }, { wrap });
      await assertTunnel(world, server, client);
      for (let turn = 1; turn <= 8; turn++) {
        await world.run(2_000);
        // The next exchange is planned when one ends, so one from the client's side gives the server its turn.
        server.server.configure({ renegotiateMs: 1_500 });
        client.run((now, out) => {
          client.client.renegotiate(now, out);
        });
        await world.run(1_000);
        await assertTunnel(world, server, client, 10 + turn);
      }
      await world.run(300);
      server.server.configure({ renegotiateMs: 0 });
      client.run((now, out) => {
        client.client.renegotiate(now, out);
      });
      await world.run(3_000);
      assert.ok(server.server.counters.renegotiations >= 8, 'key ids went round');
      assert.equal(client.reportsOf('renegotiated').length, server.server.counters.renegotiations);
    });

  test('wrong keys: not a word', async (context) => {
    const other = STATIC_KEY.map((byte) => byte ^ 1);
    for (const [, key, wrap] of ways) {
      if (wrap.kind === 'none') continue;
      const wrong: ClientWrap =
        wrap.kind === 'tls-crypt-v2'
          ? { ...wrap, wrappedKey: wrap.wrappedKey.map((byte) => byte ^ 1) }
          : { ...wrap, key: other };
      const { world, server, client } = await meet(context, { key }, { wrap: wrong });
      await world.run(70_000, 1_000);
      assert.deepEqual(endingOf(client), { kind: 'timeout', phase: 'handshake' });
      assert.equal(server.messages, 0);
      assert.equal(server.server.handshakes, 0);
    }
  });
});

describe('what is agreed on', () => {
  for (const cipher of ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC'] as const)
    for (const epoch of [true, false])
      test(`${cipher}${epoch ? ' with epochs where they go' : ''}`, async (context) => {
        const setup = { settings: { dataCiphers: [cipher], epoch } };
        const { world, server, client } = await meet(context, setup, setup);
        await assertTunnel(world, server, client);
        const format = epoch && cipher !== 'AES-256-CBC' ? 'epoch' : 'v2';
        assert.deepEqual(
          [server.reportsOf('established')[0]?.cipher, server.reportsOf('established')[0]?.format],
          [cipher, format],
        );
        assert.deepEqual(client.reportsOf('connected')[0]?.configuration.cipher, cipher);
      });

  test("the server's order counts, of what the client takes", async (context) => {
    const { client } = await meet(
      context,
      { settings: { dataCiphers: ['CHACHA20-POLY1305', 'AES-256-GCM'] } },
      { settings: { dataCiphers: ['AES-256-GCM', 'CHACHA20-POLY1305'] } },
    );
    assert.equal(client.reportsOf('connected')[0]?.configuration.cipher, 'CHACHA20-POLY1305');
  });

  test('no cipher in common: the client is told what to do', async (context) => {
    const { client, server } = await meet(
      context,
      { settings: { dataCiphers: ['AES-128-GCM'] } },
      { settings: { dataCiphers: ['AES-256-GCM'] } },
    );
    const ending = endingOf(client);
    assert.ok(ending?.kind === 'authFailed' && ending.failure.kind === 'plain');
    assert.match(ending.failure.text, /AES-128-GCM.*data-ciphers/);
    assert.equal(server.requests.length, 0);
  });

  test('old clients, by what they say of themselves', () => {
    const agreed = (peerInfo: Record<string, string>, options = ''): ReturnType<typeof agree> =>
      agree(
        { ...SERVER_SETTINGS, dataCiphers: ['AES-256-GCM', 'AES-256-CBC'] },
        new Map(Object.entries(peerInfo)),
        options,
      );
    const refused = (peerInfo: Record<string, string>, options = ''): string => {
      const agreement = agreed(peerInfo, options);
      return typeof agreement === 'string' ? agreement : '';
    };
    const cbc = 'V4,dev-type tun,cipher AES-256-CBC,auth SHA256,tls-client';
    // 2.4: knows NCP, no exported keys.
    const old = agreed({ IV_PROTO: '2', IV_NCP: '2' }, cbc);
    assert.ok(typeof old !== 'string');
    assert.deepEqual([old.cipher, old.exportedKeys, old.takesCipher, old.format], ['AES-256-GCM', false, true, 'v2']);
    // With --ncp-disable.
    const fixed = agreed({ IV_PROTO: '2' }, cbc);
    assert.ok(typeof fixed !== 'string');
    assert.deepEqual([fixed.cipher, fixed.takesCipher], ['AES-256-CBC', false]);
    assert.match(refused({ IV_PROTO: '2' }, cbc.replace('SHA256', 'SHA1')), /no cipher in common/);
    assert.match(refused({ IV_PROTO: '2' }, 'cipher BF-CBC,auth SHA1'), /no cipher in common/);
    assert.match(refused({}, cbc), /2\.4/);
    assert.match(refused({ IV_PROTO: '2', IV_CIPHERS: 'AES-256-GCM' }, `${cbc},comp-lzo`), /compression/);
    assert.match(refused({ IV_PROTO: '2', IV_CIPHERS: 'AES-256-GCM' }, `${cbc},mtu-dynamic`), /fragment/);
    // Junk is no number, and no cipher.
    assert.match(refused({ IV_PROTO: '0x7fffffffffff' }, cbc), /2\.4/);
  });

  test('what sends a client to its next server', () => {
    const by = (version: string, proto: number): string | undefined =>
      advancesBy(new Map([['IV_VER', version], ['IV_PROTO', String(proto)]])); // prettier-ignore
    assert.equal(by('2.6.12', IvProto.authFailTemp), 'restart');
    assert.equal(by('3.11.7', IvProto.authFailTemp), 'refusal');
    assert.equal(by('3.git:master', IvProto.authFailTemp), 'refusal');
    assert.equal(by('3.7', 0), undefined);
    assert.equal(advancesBy(new Map()), 'restart');
  });

  test('name servers are pushed in the one form that the client makes the right thing of', async (context) => {
    const dhcp = ['dhcp-option DNS 10.8.0.1', 'dhcp-option DNS6 fd00:8::1', 'dhcp-option DOMAIN-SEARCH corp.example'];
    const dns = ['dns server 0 address 10.8.0.1', 'dns search-domains corp.example'];
    const knows = new Map([['IV_PROTO', String(IvProto.dataV2 | IvProto.requestPush | IvProto.dnsOptionV2)]]);
    for (const [push, peerInfo, pushed] of [
      [[...dns, ...dhcp], undefined, dhcp],
      [[...dns, ...dhcp], knows, dns],
      [dhcp, knows, dhcp],
    ] as const) {
      const { client } = await meet(
        context,
        { authenticate: () => admit(2, { push: [...push, 'dhcp-option NTP 10.8.0.1'] }) },
        peerInfo && { peerInfo },
      );
      const { options } = client.reportsOf('connected')[0].configuration;
      assert.deepEqual(
        options.filter((option) => /^d(?:ns|hcp)/.test(option)),
        [...pushed, 'dhcp-option NTP 10.8.0.1'],
      );
    }
  });

  test('the push reply, in several pieces, in order', async (context) => {
    const push = Array.from({ length: 200 }, (_, i) => `route 10.${String(i)}.0.0 255.255.0.0`);
    const { world, server, client } = await meet(context, {
      authenticate: () =>
        admit(2, { push: [...push, 'not,pushable', 'dhcp-option DNS 10.8.0.1'], token: new Secret('tok') }),
    });
    await assertTunnel(world, server, client);
    const { configuration } = client.reportsOf('connected')[0];
    assert.deepEqual(configuration.options, [
      'topology subnet',
      'route-gateway 10.8.0.1',
      'ping 10',
      'ping-restart 60',
      ...push,
      'dhcp-option DNS 10.8.0.1',
      'ifconfig-ipv6 fd00:8::2/64 fd00:8::1',
      'ifconfig 10.8.0.2 255.255.255.0',
      'peer-id 0',
      'auth-token tok',
      'cipher AES-256-GCM',
      'protocol-flags cc-exit tls-ekm dyn-tls-crypt aead-epoch',
      'tun-mtu 1420',
    ]);
    assert.deepEqual(configuration.ipv4, { address: '10.8.0.2', prefixLength: 24 });
    assert.deepEqual(configuration.ipv6, { address: 'fd00:8::2', prefixLength: 64 });
    assert.equal(configuration.mtu, 1420);
  });
});

describe('logins', () => {
  test('what the request says', async (context) => {
    const { key, wrap } = cryptV2(worldOf(context).crypto, 2);
    const { server } = await meet(
      context,
      { key },
      { wrap, credentials: login('bob', encodeScrv1('secret', '123456')), peerInfo: new Map([['UV_X', 'y']]) },
    );
    const [request] = server.requests;
    assert.equal(request.userName, 'bob');
    assert.equal(request.password?.reveal(), 'secret');
    assert.equal(request.response?.reveal(), '123456');
    assert.equal(request.challengeState, undefined);
    assert.equal(Buffer.from(request.profile ?? []).toString(), `\0${deviceName(2)}`);
    assert.equal(request.peerInfo.get('UV_X'), 'y');
    assert.ok(request.certificate !== undefined);
    assert.equal(request.renewing, undefined);
  });

  test('no certificate, no password', async (context) => {
    const { server } = await meet(context, {}, { tls: { certificate: undefined, privateKey: undefined } });
    assert.deepEqual([server.requests[0].certificate, server.requests[0].userName], [undefined, undefined]);
  });

  const refusals: [string, Omit<Extract<Verdict, { kind: 'refuse' }>, 'kind'>, unknown][] = [
    ['a reason', { reason: 'The password is wrong.' }, { kind: 'plain', text: 'The password is wrong.' }],
    ['no reason', { reason: '' }, { kind: 'plain', text: '' }],
    [
      'come again',
      { reason: 'busy', retryAfterSeconds: 42 },
      { kind: 'temporary', backoffSeconds: 42, advance: 'no', text: 'busy' },
    ],
    [
      'go elsewhere',
      { reason: 'busy', retryAfterSeconds: 1, elsewhere: true },
      { kind: 'temporary', backoffSeconds: 1, advance: 'remote', text: 'busy' },
    ],
    ['the token is no good', { reason: 'expired', sessionEnded: true }, { kind: 'sessionEnded', text: 'expired' }],
    [
      'a challenge',
      { reason: '', challenge: { state: 'abc', text: 'Code: please', echo: true } },
      {
        kind: 'challenge',
        challenge: { state: 'abc', userName: 'bob', text: 'Code: please', echo: true, responseRequired: true },
      },
    ],
  ];
  for (const [name, refusal, failure] of refusals)
    for (const verdictAfterMs of [undefined, 500])
      test(`refused: ${name}${verdictAfterMs === undefined ? '' : ', later'}`, async (context) => {
        const { world, server, client } = await meet(
          context,
          { authenticate: () => ({ kind: 'refuse', ...refusal }), ...(verdictAfterMs && { verdictAfterMs }) },
          { credentials: login('bob', 'wrong') },
        );
        await world.run(1_000);
        assert.deepEqual(endingOf(client), { kind: 'authFailed', failure });
        assert.equal(server.server.counters.refused, 1);
        await world.run(6_000);
        assert.equal(server.server.handshakes, 0, 'nothing is kept of it');
        assert.equal(server.data.count, 0);
      });

  test('refused: longer than anybody looks at, which its user is told', async (context) => {
    for (const credentials of [login('bob', 'x'.repeat(4097)), login('x'.repeat(4097), 'right')]) {
      const { world, server, client } = await meet(context, {}, { credentials });
      const failure = { kind: 'plain', text: 'user name or password is too long' };
      assert.deepEqual(endingOf(client), { kind: 'authFailed', failure });
      assert.equal(server.requests.length, 0);
      await world.run(6_000);
      assert.equal(server.server.handshakes, 0);
    }
  });

  test('the answer to a challenge comes with the next connection', async (context) => {
    const world = worldOf(context);
    const server = new ServerEnd(world, SERVER, {
      authenticate: ({ challengeState, response }) =>
        challengeState === 'abc' && response?.reveal() === '123456'
          ? admit(2)
          : { kind: 'refuse', reason: '', challenge: { state: 'abc', text: 'Code', echo: false } },
    });
    const first = new ClientEnd(world, CLIENT, SERVER, 2, { credentials: login('bob', 'right') }).start();
    await world.run(1_000);
    const ending = endingOf(first);
    assert.ok(ending?.kind === 'authFailed' && ending.failure.kind === 'challenge');
    const answer = encodeCrv1Response(ending.failure.challenge.state, '123456');
    const second = new ClientEnd(world, '192.0.2.2:5001', SERVER, 2, { credentials: login('bob', answer) }).start();
    await world.run(1_000);
    await assertTunnel(world, server, second);
  });

  test('a login elsewhere: pending, then let in', async (context) => {
    const info = 'WEB_AUTH::https://vpn.example/login?code=x';
    const { world, server, client } = await meet(context, {
      authenticate: () => ({ kind: 'pending', timeoutSeconds: 200, info }),
    });
    assert.deepEqual(client.reports, [
      { kind: 'authenticationPending', timeoutSeconds: 205 },
      { kind: 'info', text: info },
    ]);
    await world.run(190_000, 500);
    assert.equal(client.client.state, 'authenticating');
    server.decide(server.requests[0].id, admit(2));
    await world.run(1_000);
    await assertTunnel(world, server, client);
    server.decide(server.requests[0].id, { kind: 'refuse', reason: 'too late' });
    await assertTunnel(world, server, client, 2);
  });

  test('a login elsewhere that nobody makes', async (context) => {
    const { world, server, client } = await meet(context, {
      authenticate: () => ({ kind: 'pending', timeoutSeconds: 100, info: 'OPEN_URL:https://vpn.example/' }),
    });
    await world.run(110_000, 500);
    const ending = endingOf(client);
    assert.ok(ending?.kind === 'authFailed' && ending.failure.kind === 'temporary');
    assert.deepEqual(server.cancelled, [server.requests[0].id]);
    assert.equal(server.server.handshakes, 0);
  });

  test('no verdict at all, and one that nobody waits for any more', async (context) => {
    const { world, server, client } = await meet(context, { authenticate: () => undefined });
    client.stopWorking();
    await world.run(70_000, 500);
    assert.deepEqual(server.cancelled, [1]);
    server.decide(1, admit(2));
    assert.equal(server.data.count, 0);
    assert.equal(server.server.handshakes, 0);
  });

  test('a token stands for the password in renegotiations, and is renewed with them', async (context) => {
    let issued = 0;
    const { world, server, client } = await meet(
      context,
      { authenticate: () => admit(2, { token: new Secret(`token-${String(++issued)}`) }) },
      { credentials: login('bob', 'secret') },
    );
    for (let i = 0; i < 3; i++) {
      await world.run(2_000);
      client.run((now, out) => {
        client.client.renegotiate(now, out);
      });
      await world.run(1_000);
    }
    assert.deepEqual(
      server.requests.map(({ password, userName, renewing }) => [userName, password?.reveal(), renewing]),
      [
        ['bob', 'secret', undefined],
        ['bob', 'token-1', deviceName(2)],
        ['bob', 'token-2', deviceName(2)],
        ['bob', 'token-3', deviceName(2)],
      ],
    );
    assert.equal(client.reportsOf('token').at(-1)?.token.reveal(), 'token-4');
    await assertTunnel(world, server, client);
  });

  test('a renegotiation that is refused ends it', async (context) => {
    const authenticate = ({ renewing }: AuthenticationRequest): Verdict =>
      renewing === undefined ? admit(2) : { kind: 'refuse', reason: 'disabled' };
    const { world, server, client } = await meet(context, { authenticate });
    await world.run(2_000);
    client.run((now, out) => {
      client.client.renegotiate(now, out);
    });
    await world.run(1_000);
    assert.deepEqual(endingOf(client), { kind: 'authFailed', failure: { kind: 'plain', text: 'disabled' } });
    assert.equal(server.reportsOf('closed')[0]?.because, 'refused');
    assert.equal(server.data.count, 0);
  });
});

describe('its end', () => {
  test('a device is disconnected: nothing passes from then on, and it knows why', async (context) => {
    const { world, server, client } = await meet(context);
    await assertTunnel(world, server, client);
    server.run((now, out) => {
      assert.equal(server.server.disconnectDevice(deviceName(3), { kind: 'halt', reason: '' }, now, out), false);
      assert.equal(
        server.server.disconnectDevice(
          deviceName(2),
          { kind: 'authFailed', reason: 'Your device was removed.' },
          now,
          out,
        ),
        true,
      );
    });
    assert.equal(server.data.count, 0);
    assert.equal(server.server.count, 0);
    client.sendPacket(9);
    await world.run(1_000);
    assert.ok(!server.received.includes('2>1#9'));
    assert.deepEqual(endingOf(client), {
      kind: 'authFailed',
      failure: { kind: 'plain', text: 'Your device was removed.' },
    });
    assert.equal(server.reportsOf('closed')[0]?.because, 'disconnected');
    await world.run(6_000);
    assert.equal(server.server.pollTimeout(), undefined, 'nothing is left of it');
  });

  test('OpenVPN 3 is told to come again, in the form that leaves it its password', async (context) => {
    const { world, server, client } = await meet(context, {}, { peerInfo: new Map([['IV_VER', '3.11.7']]) });
    assert.equal([...server.server.clients()][0].advancesBy, 'refusal');
    server.run((now, out) => {
      server.server.drain({ kind: 'restart', advance: true, reason: 'maintenance' }, now, out);
    });
    await world.run(1_000);
    assert.deepEqual(endingOf(client), { kind: 'restart', advance: false, keepPassword: true, text: 'maintenance' });
  });

  test('all are sent to the next server', async (context) => {
    const { world, server, client } = await meet(context);
    server.run((now, out) => {
      server.server.drain({ kind: 'restart', advance: true, reason: 'maintenance' }, now, out);
    });
    await world.run(1_000);
    assert.deepEqual(endingOf(client), { kind: 'restart', advance: true, keepPassword: true, text: 'maintenance' });
    const late = new ClientEnd(world, '192.0.2.9:1', SERVER, 3).start();
    await world.run(2_000);
    assert.equal(late.client.state, 'negotiating');
    assert.ok(server.dropsOf('handshakeRejected') > 0);
    server.server.setDraining(false);
    await world.run(10_000);
    assert.ok(late.isConnected);
  });

  for (const epoch of [true, false])
    test(`the client says goodbye${epoch ? '' : ', as old ones do'}`, async (context) => {
      const { world, server, client } = await meet(
        context,
        {},
        { peerInfo: epoch ? new Map() : new Map([['IV_PROTO', '14']]) },
      );
      await assertTunnel(world, server, client);
      client.run((now, out) => {
        client.client.stop(now, out);
      });
      await world.run(2_000);
      assert.deepEqual(endingOf(client), { kind: 'stopped' });
      assert.equal(server.reportsOf('closed')[0]?.because, 'exit');
      assert.equal(server.server.counters.exits, 1);
    });

  test('a client that is gone is noticed; a server that is gone too', async (context) => {
    const { world, server, client } = await meet(context);
    await world.run(300_000, 1_000);
    assert.ok(client.isConnected, 'pings keep it');
    client.stopWorking();
    await world.run(110_000, 1_000);
    assert.equal(server.server.count, 1);
    await world.run(15_000, 1_000);
    assert.equal(server.reportsOf('closed')[0]?.because, 'pingTimeout');
    assert.equal(server.server.count, 0);
    const other = new ClientEnd(world, '192.0.2.3:1', SERVER, 3).start();
    await world.run(1_000);
    server.stopWorking();
    await world.run(65_000, 1_000);
    assert.deepEqual(endingOf(other), { kind: 'timeout', phase: 'ping' });
  });

  test('a device that comes again takes the place of itself once it was let in', async (context) => {
    const { key } = cryptV2(worldOf(context).crypto, 2);
    const world = worldOf(context);
    let good = false;
    const server: ServerEnd = new ServerEnd(world, SERVER, {
      key,
      authenticate: (request): Verdict =>
        server.requests.length === 1 || good ? admitByProfile(request) : { kind: 'refuse', reason: 'no' },
    });
    const { wrap } = cryptV2(world.crypto, 2);
    const first = new ClientEnd(world, CLIENT, SERVER, 2, { wrap }).start();
    await world.run(1_000);
    const intruder = new ClientEnd(world, '192.0.2.7:1', SERVER, 2, { wrap }).start();
    await world.run(1_000);
    assert.equal(endingOf(intruder)?.kind, 'authFailed');
    await assertTunnel(world, server, first);
    good = true;
    const again = new ClientEnd(world, '192.0.2.8:1', SERVER, 2, { wrap }).start();
    await world.run(1_000);
    await assertTunnel(world, server, again, 2);
    assert.deepEqual(
      server.reportsOf('closed').map(({ because }) => because),
      ['replaced'],
    );
    assert.equal(server.server.count, 1);
    assert.equal(server.data.count, 1);
  });

  test('from the same address and port too: a client that was killed and started', async (context) => {
    const { world, server, client } = await meet(context);
    await assertTunnel(world, server, client);
    client.stopWorking();
    const again = new ClientEnd(world, CLIENT, SERVER, 2).start();
    await world.run(1_000);
    await assertTunnel(world, server, again, 2);
    assert.equal(server.server.count, 1);
  });
});
