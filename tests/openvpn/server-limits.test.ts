// What a server begins and keeps for those that it has not let in: of one source, of one profile, of all.
import assert from 'node:assert/strict';
import { before, describe, test, type TestContext } from 'node:test';
import type { ClientEvent, Verdict } from '@sallyport/openvpn';
import { SeededRandom } from '@sallyport/testkit';
import { P_CONTROL_HARD_RESET_CLIENT_V3 } from '../../packages/openvpn/src/wire/opcodes.ts';
import { tlsCryptV2ClientWrap } from '../../packages/openvpn/src/wire/tls-crypt.ts';
import {
  admitByProfile,
  ClientEnd,
  cryptV2,
  deviceName,
  makeCertificates,
  ServerEnd,
  World,
  type Certificates,
  type ServerSetup,
} from './simulation-world.ts';

const SERVER = '192.0.2.1:1194';
const PENDING: Verdict = { kind: 'pending', timeoutSeconds: 300, info: 'OPEN_URL:https://x' };

let certificates: Certificates;
before(async () => {
  certificates = await makeCertificates();
});

function worldOf(context: TestContext): World {
  const world = new World(new SeededRandom(1), certificates);
  context.after(() => {
    world.close();
  });
  return world;
}

function endingOf(client: ClientEnd): Extract<ClientEvent, { kind: 'ended' }>['ending'] | undefined {
  return client.reportsOf('ended')[0]?.ending;
}

/** A server with tls-crypt-v2. */
function serverOf(world: World, setup: ServerSetup = {}): ServerEnd {
  return new ServerEnd(world, SERVER, { key: cryptV2(world.crypto, 2).key, authenticate: admitByProfile, ...setup });
}

/** Of a server that says nothing to the devices from 7 on. */
const answersFirst: ServerSetup = {
  authenticate: (request) => (/-[2-6]$/.test(Buffer.from(request.profile ?? []).toString()) ? admitByProfile(request) : undefined), // prettier-ignore
};

/** Clients by one profile, each from an address of its own, that get no answer and are gone. */
async function silent(world: World, number: number, count: number, old = false): Promise<void> {
  const { wrap } = cryptV2(world.crypto, number);
  assert.ok(wrap.kind === 'tls-crypt-v2');
  const thieves = Array.from({ length: count }, (_, i) => {
    const address = `198.51.${String(number)}.${String(i)}:5000`;
    return new ClientEnd(world, address, SERVER, number, { wrap: old ? { ...wrap, firstPacketId: 1 } : wrap }).start();
  });
  await world.run(300);
  for (const thief of thieves) thief.stopWorking();
}

describe('of one source, and of all', () => {
  test('of key exchanges, for one source and for all', async (context) => {
    const world = worldOf(context);
    const server = new ServerEnd(world, SERVER, {
      authenticate: () => undefined,
      settings: { maxHandshakesPerSource: 3, maxHandshakes: 5 },
    });
    for (let i = 0; i < 5; i++) new ClientEnd(world, `192.0.2.2:${String(1000 + i)}`, SERVER, 2).start();
    await world.run(1_000);
    assert.equal(server.server.handshakes, 3);
    for (let i = 0; i < 5; i++) new ClientEnd(world, `192.0.3.${String(i)}:1000`, SERVER, 2).start();
    await world.run(1_000);
    assert.equal(server.server.handshakes, 5);
    assert.ok(server.server.counters.limited >= 5);
    await world.run(130_000, 1_000);
    assert.equal(server.server.handshakes, 0, 'all of it is given back');
  });

  test('of what one source begins in a while', async (context) => {
    const world = worldOf(context);
    const server = new ServerEnd(world, SERVER, {
      authenticate: () => ({ kind: 'refuse', reason: 'no' }),
      settings: { maxStartsPerSource: 4 },
    });
    for (let i = 0; i < 8; i++) {
      new ClientEnd(world, `192.0.2.2:${String(1000 + i)}`, SERVER, 2).start();
      await world.run(500);
    }
    assert.equal(server.server.counters.handshakesBegun, 4);
  });

  test('of sessions: the next one is asked to come again', async (context) => {
    const { key } = cryptV2(worldOf(context).crypto, 2);
    const world = worldOf(context);
    const server = new ServerEnd(world, SERVER, { key, authenticate: admitByProfile, settings: { maxSessions: 2 } });
    const clients = [2, 3, 4].map(
      (number) =>
        new ClientEnd(world, `192.0.2.${String(number)}:1`, SERVER, number, {
          wrap: cryptV2(world.crypto, number).wrap,
        }),
    );
    for (const client of clients) {
      client.start();
      await world.run(1_000);
    }
    const ending = endingOf(clients[2]);
    assert.ok(ending?.kind === 'authFailed' && ending.failure.kind === 'temporary');
    assert.equal(server.data.count, 2);
  });
});

describe('of one profile, from wherever it comes', () => {
  test('key exchanges in progress are few, and others get in', async (context) => {
    const world = worldOf(context);
    const server = serverOf(world, { ...answersFirst, settings: { maxHandshakes: 20 } });
    await silent(world, 9, 60);
    assert.equal(server.server.handshakes, 8);
    const good = new ClientEnd(world, '192.0.2.2:5000', SERVER, 2, { wrap: cryptV2(world.crypto, 2).wrap }).start();
    await world.run(1_000);
    assert.ok(good.isConnected);
    await world.run(70_000, 1_000);
    assert.equal(server.server.handshakes, 0);
  });

  test('and so are those that it begins in a while', async (context) => {
    const world = worldOf(context);
    const server = serverOf(world, { authenticate: () => ({ kind: 'refuse', reason: 'no' }) });
    const { wrap } = cryptV2(world.crypto, 9);
    for (let i = 0; i < 20; i++) {
      new ClientEnd(world, `198.51.100.${String(i)}:5000`, SERVER, 9, { wrap }).start();
      await world.run(1_000, 50);
    }
    assert.equal(server.server.counters.handshakesBegun, 12);
    await world.run(20_000, 1_000);
    const later = new ClientEnd(world, '198.51.100.99:5000', SERVER, 9, { wrap }).start();
    await world.run(1_000);
    assert.equal(endingOf(later)?.kind, 'authFailed', 'after a while it is heard again');
  });

  test('renegotiations that it asks for are counted among them', async (context) => {
    const world = worldOf(context);
    const server = serverOf(world, { settings: { maxStartsPerProfile: 5 } });
    const { wrap } = cryptV2(world.crypto, 2);
    const client = new ClientEnd(world, '192.0.2.2:5000', SERVER, 2, { wrap }).start();
    for (let i = 0; i < 12; i++) {
      await world.run(1_500, 50);
      client.run((now, out) => {
        client.client.renegotiate(now, out);
      });
    }
    assert.equal(server.server.counters.renegotiations, 4);
    assert.ok(server.dropsOf('rateLimited') > 0);
    await world.run(30_000, 100);
    assert.ok(client.isConnected);
    assert.equal(server.server.counters.renegotiations, 5, 'what it asked for is only late');
  });

  test('an old client counts for them once it has proved its address', async (context) => {
    const world = worldOf(context);
    const server = serverOf(world, { ...answersFirst, settings: { maxStartsPerProfile: 2 } });
    const wrap = cryptV2(world.crypto, 2).wrap;
    assert.ok(wrap.kind === 'tls-crypt-v2');
    const clients: ClientEnd[] = [];
    for (let i = 0; i < 3; i++) {
      const old = { ...wrap, firstPacketId: 1 };
      clients.push(new ClientEnd(world, `192.0.2.${String(10 + i)}:5000`, SERVER, 2, { wrap: old }).start());
      await world.run(500);
    }
    assert.deepEqual(
      clients.map(({ isConnected }) => isConnected),
      [true, true, false],
    );
    assert.equal(server.server.handshakes, 0);
    await silent(world, 7, 20, true);
    assert.ok(server.server.handshakes <= 4);
    await world.run(70_000, 1_000);
    assert.equal(server.server.handshakes, 0);
  });

  test('one login waits for its user: a new one takes the place of that', async (context) => {
    const world = worldOf(context);
    const server = serverOf(world, { authenticate: () => PENDING });
    const wrapOf = (number: number): ReturnType<typeof cryptV2>['wrap'] => cryptV2(world.crypto, number).wrap;
    const first = new ClientEnd(world, '192.0.2.2:5000', SERVER, 2, { wrap: wrapOf(2) }).start();
    const other = new ClientEnd(world, '192.0.2.3:5000', SERVER, 3, { wrap: wrapOf(3) }).start();
    await world.run(1_000);
    const second = new ClientEnd(world, '192.0.2.4:5000', SERVER, 2, { wrap: wrapOf(2) }).start();
    await world.run(1_000);
    const ending = endingOf(first);
    assert.ok(ending?.kind === 'authFailed' && ending.failure.kind === 'plain');
    assert.match(ending.failure.text, /another login/);
    const [asked] = server.requests;
    assert.deepEqual(server.cancelled, [asked.id]);
    for (const request of server.requests) server.decide(request.id, admitByProfile(request));
    await world.run(1_000);
    assert.deepEqual([first.isConnected, second.isConnected, other.isConnected], [false, true, true]);
    await world.run(10_000, 1_000);
    assert.equal(server.server.handshakes, 0);
  });
});

describe('of profiles that nobody knows', () => {
  const knows = (profile: Uint8Array): boolean => Buffer.from(profile.subarray(1)).toString() === deviceName(2);

  test('less of each, and of all of them together', async (context) => {
    const world = worldOf(context);
    const server = serverOf(world, { ...answersFirst, knows, settings: { maxUnknownHandshakes: 10 } });
    await silent(world, 9, 12);
    assert.equal(server.server.handshakes, 4);
    for (const number of [10, 11, 12]) await silent(world, number, 6);
    assert.equal(server.server.handshakes, 10);
    const stranger = new ClientEnd(world, '192.0.2.3:5000', SERVER, 3, { wrap: cryptV2(world.crypto, 3).wrap }).start();
    const known = new ClientEnd(world, '192.0.2.2:5000', SERVER, 2, { wrap: cryptV2(world.crypto, 2).wrap }).start();
    await world.run(1_000);
    assert.deepEqual([stranger.isConnected, known.isConnected], [false, true]);
  });

  test('they may log in', async (context) => {
    const world = worldOf(context);
    serverOf(world, { knows });
    const stranger = new ClientEnd(world, '192.0.2.3:5000', SERVER, 3, { wrap: cryptV2(world.crypto, 3).wrap }).start();
    await world.run(1_000);
    assert.ok(stranger.isConnected);
  });
});

test('packets of no session: so many in a second, whatever is in them', async (context) => {
  const world = worldOf(context);
  const server = serverOf(world, { settings: { maxArrivals: 50 } });
  const junk = new Uint8Array(400).fill(1);
  const send = (opcode: number): void => {
    junk[0] = opcode << 3;
    for (let i = 0; i < 80; i++) world.network.send(`198.51.100.1:${String(1000 + i)}`, SERVER, junk);
  };
  for (const opcode of [10, 11]) send(opcode);
  await world.run(500);
  assert.equal(server.dropsOf('rateLimited'), 60);
  await world.run(1_000);
  send(10);
  await world.run(500);
  assert.equal(server.dropsOf('rateLimited'), 90);
});

test('first packets of one profile: so many in a second, and those of others are looked at', async (context) => {
  const world = worldOf(context);
  const server = serverOf(world, { settings: { maxArrivals: 300, maxArrivalsPerProfile: 50 } });
  const { wrap } = cryptV2(world.crypto, 9);
  assert.ok(wrap.kind === 'tls-crypt-v2');
  const { key, wrappedKey } = wrap;
  const flood = (): void => {
    for (let i = 0; i < 200; i++) {
      const options = { crypto: world.crypto, server: false, unixTime: 1_700_000_000, key, wrappedKey };
      const reset = tlsCryptV2ClientWrap(options).wrap({
        opcode: P_CONTROL_HARD_RESET_CLIENT_V3,
        keyId: 0,
        sessionId: world.random.bytes(8),
        acks: [],
        remoteSessionId: undefined,
        packetId: 0,
        payload: new Uint8Array(0),
      });
      assert.ok(reset !== undefined);
      world.network.send(`198.51.100.${String(i)}:1024`, SERVER, reset);
    }
  };
  flood();
  await world.run(500);
  assert.deepEqual([server.server.counters.cookiesIssued, server.dropsOf('rateLimited')], [50, 150]);
  const good = new ClientEnd(world, '192.0.2.2:5000', SERVER, 2, { wrap: cryptV2(world.crypto, 2).wrap }).start();
  await world.run(400);
  assert.ok(good.isConnected);
  await world.run(1_000);
  flood();
  await world.run(500);
  assert.equal(server.server.counters.cookiesIssued, 101);
});

test('starts of all in a while', async (context) => {
  const world = worldOf(context);
  const server = serverOf(world, { settings: { maxStarts: 3 } });
  const clients = [2, 3, 4, 5].map(
    (number) =>
    new ClientEnd(world, `192.0.2.${String(number)}:1`, SERVER, number, { wrap: cryptV2(world.crypto, number).wrap }).start(), // prettier-ignore
  );
  await world.run(2_000);
  assert.equal(server.server.count, 3);
  await world.run(20_000, 50);
  assert.ok(clients.every(({ isConnected }) => isConnected));
});
