// Servers and clients in a bad network, in a flood, among replays and forgeries, on the move, and after the other end died.
import assert from 'node:assert/strict';
import { before, describe, test, type TestContext } from 'node:test';
import { SeededRandom, corrupt, type NetworkConditions } from '@sallyport/testkit';
import { tlsCryptWrap } from '../../packages/openvpn/src/wire/tls-crypt.ts';
import {
  P_CONTROL_HARD_RESET_CLIENT_V2,
  P_CONTROL_HARD_RESET_CLIENT_V3,
  P_CONTROL_V1,
  type ControlOpcode,
} from '../../packages/openvpn/src/wire/opcodes.ts';
import type { TlsOutput } from '@sallyport/openvpn';
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
} from './simulation-world.ts';

const SERVER = '192.0.2.1:1194';
const BAD: NetworkConditions = { loss: 0.3, duplication: 0.1, corruption: 0.05, delayMs: 20, jitterMs: 150 };
const STATIC_KEY = Uint8Array.from({ length: 256 }, (_, i) => (i * 11 + 5) & 255);

let certificates: Certificates;
before(async () => {
  certificates = await makeCertificates();
});

/** A test with a random seed, or that of TEST_SEED. */
function seeded(name: string, body: (world: World, random: SeededRandom) => Promise<void>): void {
  test(name, async (context: TestContext) => {
    const seed = Number(process.env['TEST_SEED'] ?? 1 + Math.floor(Math.random() * 0x7ffffffe));
    context.diagnostic(`TEST_SEED=${String(seed)}`);
    const random = new SeededRandom(seed);
    const world = new World(random, certificates);
    try {
      await body(world, random);
    } finally {
      world.close();
    }
  });
}

/** A device that connects again whenever its connection ends, each time from another port. */
class Device {
  readonly number: number;
  readonly ends: ClientEnd[] = [];
  readonly #world: World;
  readonly #settings: ClientSetup['settings'];

  constructor(world: World, number: number, settings: ClientSetup['settings'] = {}) {
    this.#world = world;
    this.number = number;
    this.#settings = settings;
    this.#connect();
  }

  get end(): ClientEnd {
    return this.ends[this.ends.length - 1];
  }

  get received(): string[] {
    return this.ends.flatMap(({ received }) => received);
  }

  /** To be called now and then. */
  attend(): void {
    if (this.end.client.state !== 'ended') return;
    this.end.stopWorking();
    this.#connect();
  }

  #connect(): void {
    const address = `192.0.2.${String(this.number)}:${String(5000 + this.ends.length)}`;
    const { wrap } = cryptV2(this.#world.crypto, this.number);
    this.ends.push(
      new ClientEnd(this.#world, address, SERVER, this.number, { wrap, settings: this.#settings }).start(),
    );
  }
}

function withProfiles(world: World, settings: ConstructorParameters<typeof ServerEnd>[2] = {}): ServerEnd {
  const { key } = cryptV2(world.crypto, 2);
  return new ServerEnd(world, SERVER, { key, authenticate: admitByProfile, ...settings });
}

describe('a bad network', () => {
  for (const epoch of [true, false])
    seeded(
      `new keys every few seconds under load, a third of all lost${epoch ? '' : ', without epochs'}`,
      async (world) => {
        world.network.conditions = () => BAD;
        const server = withProfiles(world, { settings: { renegotiateMs: 6_000, epoch }, verdictAfterMs: 150 });
        const devices = [2, 3, 4].map(
          (number) => new Device(world, number, { renegotiateMs: number === 4 ? 5_000 : 0 }),
        );
        let sent = 0;
        let open = 0;
        for (let number = 0; number < 1_800; number++) {
          for (const device of devices) {
            if (device.end.isConnected && server.sessionOf(device.number) !== 0) open++;
            sent++;
            device.end.sendPacket(number);
            server.sendTo(device.number, number);
            device.attend();
          }
          await world.run(100);
          assert.ok(server.data.count <= 3);
        }
        world.network.conditions = () => ({ ...BAD, loss: 0, corruption: 0 });
        await world.run(1_000);
        const { renegotiations } = server.server.counters;
        // At such a loss an exchange takes some twenty seconds, by the pauses before packets are sent again.
        assert.ok(renegotiations > 5, `${String(renegotiations)} renegotiations`);
        assert.ok(open > 0.6 * sent, `connected ${String((100 * open) / sent)} % of the time`);
        // Two thirds arrive of what was sent while it was open; not much is lost beside to keys that are not there yet.
        const up = server.received.length / open;
        const down = devices.reduce((sum, { received }) => sum + received.length, 0) / open;
        assert.ok(up > 0.55 && down > 0.55, `${String(up)} up, ${String(down)} down`);
        assert.equal(new Set(server.received).size, server.received.length, 'nothing comes twice');
        for (const { received } of devices) assert.equal(new Set(received).size, received.length);
      },
    );

  seeded('each of fifty clients gets in', async (world) => {
    world.network.conditions = () => BAD;
    const server = withProfiles(world, { settings: { maxHandshakesPerSource: 64 } });
    const devices = Array.from({ length: 50 }, (_, i) => new Device(world, 2 + i));
    const seconds = 240;
    for (let second = 0; second < seconds && server.server.count < devices.length; second++) {
      for (const device of devices) device.attend();
      await world.run(1_000);
    }
    assert.equal(server.server.count, devices.length);
    const tries = devices.reduce((sum, { ends }) => sum + ends.length, 0);
    assert.ok(tries < 75, `${String(tries)} tries`);
  });
});

describe('floods and forgeries', () => {
  /** First packets, and third ones that prove nothing, from addresses that nobody has. */
  function forged(random: SeededRandom, opcode: ControlOpcode, firstPacketId: number): Uint8Array {
    const crypto = new World(random, certificates).crypto;
    const profile = cryptV2(crypto, 9);
    assert.ok(profile.wrap.kind === 'tls-crypt-v2');
    const v3 = opcode === P_CONTROL_HARD_RESET_CLIENT_V3;
    const wrap = tlsCryptWrap({
      crypto,
      server: false,
      unixTime: 1_700_000_000,
      firstPacketId,
      key: v3 ? profile.wrap.key : STATIC_KEY,
    });
    const reset = opcode !== P_CONTROL_V1;
    const datagram = wrap.wrap({
      opcode,
      keyId: 0,
      sessionId: random.bytes(8),
      acks: reset ? [] : [0],
      remoteSessionId: reset ? undefined : random.bytes(8),
      packetId: reset ? 0 : 1,
      payload: reset ? new Uint8Array(0) : random.bytes(200),
    });
    assert.ok(datagram !== undefined);
    return v3 ? Uint8Array.of(...datagram, ...profile.wrap.wrappedKey) : datagram;
  }

  function address(i: number): string {
    return `198.51.${String(100 + (i >> 8))}.${String(i & 255)}:${String(1024 + (i % 60_000))}`;
  }

  const kinds: [string, ControlOpcode, number][] = [
    ['first packets with tls-crypt', P_CONTROL_HARD_RESET_CLIENT_V2, 1],
    ['third packets with tls-crypt that prove nothing', P_CONTROL_V1, 2],
    ['first packets with tls-crypt-v2', P_CONTROL_HARD_RESET_CLIENT_V3, 0x0f000001],
    ['first packets of old clients with tls-crypt-v2', P_CONTROL_HARD_RESET_CLIENT_V3, 1],
  ];
  for (const [name, opcode, firstPacketId] of kinds)
    seeded(`16,000 ${name}: nothing is kept, and a client gets in`, async (world, random) => {
      const v3 = opcode === P_CONTROL_HARD_RESET_CLIENT_V3;
      const server = v3
        ? withProfiles(world)
        : new ServerEnd(world, SERVER, { key: { kind: 'tls-crypt', key: STATIC_KEY } });
      const wrap = v3 ? cryptV2(world.crypto, 2).wrap : ({ kind: 'tls-crypt', key: STATIC_KEY } as const);
      const datagrams = Array.from({ length: 2_000 }, () => forged(random, opcode, firstPacketId));
      let sent = 0;
      let answered = 0;
      let answeredBytes = 0;
      let sentBytes = 0;
      world.network.onSent = (datagram, from, to) => {
        if (to.startsWith('198.51.')) {
          answered++;
          answeredBytes += datagram.length;
        } else if (from.startsWith('198.51.')) sentBytes += datagram.length;
      };
      const client = new ClientEnd(world, '192.0.2.2:5000', SERVER, 2, { wrap });
      let most = 0;
      for (let turn = 0; turn < 200; turn++) {
        if (turn === 50) client.start();
        for (let i = 0; i < 80; i++) world.network.send(address(sent), SERVER, datagrams[sent++ % datagrams.length]);
        await world.run(20);
        most = Math.max(most, server.server.handshakes);
      }
      await world.run(3_000);
      assert.ok(client.isConnected);
      client.sendPacket(1);
      await world.run(100);
      assert.deepEqual(server.received, ['2>1#1']);
      // Old clients need something to be kept, of one profile hardly anything; and the client itself is one.
      const kept = v3 && firstPacketId === 1 ? 4 : 0;
      assert.ok(most <= kept + 1, `kept ${String(most)}`);
      assert.ok(answered <= sent + 4 * 30, `${String(answered)} answers`);
      assert.ok(answeredBytes < 1.4 * sentBytes, 'it is no amplifier');
      await world.run(15_000, 100);
      assert.equal(server.server.handshakes, 0);
      assert.equal(server.server.count, 1);
    });

  seeded('what was seen on the way, sent again from anywhere: nothing comes of it', async (world, random) => {
    const server = withProfiles(world, { settings: { renegotiateMs: 4_000 } });
    const seen: [Uint8Array, string][] = [];
    world.network.onSent = (datagram, _from, to) => {
      seen.push([datagram.slice(), to]);
    };
    const device = new Device(world, 2);
    for (let number = 0; number < 100; number++) {
      device.end.sendPacket(number);
      // What comes before it has a key is lost, and would be new to it later.
      if (device.end.isConnected) server.sendTo(2, number);
      await world.run(100);
    }
    world.network.onSent = () => undefined;
    await world.run(1_000);
    const before = {
      up: server.received.length,
      down: device.received.length,
      begun: server.server.counters.handshakesBegun,
    };
    for (let i = 0; i < 3_000; i++) {
      const [datagram, to] = random.pick(seen);
      const from = random.pick(['192.0.2.66:6666', SERVER, device.end.address]);
      if (from !== to) world.network.send(from, to, datagram);
      if (i % 50 === 0) await world.run(100);
    }
    await world.run(1_000);
    assert.equal(device.ends.length, 1);
    assert.equal(server.received.length, before.up);
    assert.equal(device.received.length, before.down);
    assert.equal(
      server.server.counters.handshakesBegun,
      before.begun,
      'a third packet is good for its address and for a while',
    );
    device.end.sendPacket(1_000);
    server.sendTo(2, 1_000);
    await world.run(100);
    assert.ok(server.received.includes('2>1#1000') && device.received.includes('1>2#1000'));
    assert.equal(server.server.count, 1);
  });

  seeded('broken datagrams at every stage: dropped, and no more', async (world, random) => {
    const server = withProfiles(world, { settings: { renegotiateMs: 3_000 } });
    const device = new Device(world, 2, { renegotiateMs: 5_000 });
    world.network.onSent = (datagram, from, to) => {
      if (!random.chance(0.5)) return;
      const copy = datagram.slice();
      world.clock.after(random.below(400), () => {
        world.network.onSent = () => undefined;
        for (let i = 0; i < 5; i++)
          world.network.send(random.chance(0.7) ? from : '192.0.2.66:1', to, corrupt(copy, random));
        world.network.send(from, to, random.bytes(random.below(200)));
        world.network.onSent = onSent;
      });
    };
    const { onSent } = world.network;
    for (let number = 0; number < 200; number++) {
      device.end.sendPacket(number);
      server.sendTo(2, number);
      await world.run(100);
    }
    assert.equal(device.ends.length, 1, JSON.stringify(device.ends[0].reports.at(-1)));
    assert.ok(server.received.length > 190);
    assert.equal(server.server.count, 1);
    assert.ok(server.server.counters.renegotiations > 3);
  });

  seeded('whatever TLS may bring out, at every stage', async (world, random) => {
    const server = withProfiles(world);
    for (let turn = 0; turn < 60; turn++) {
      const device = new Device(world, 2 + (turn % 20));
      const { end } = device;
      const texts = ['PUSH_REPLY', 'PUSH_REPLY,push-continuation 2', 'PUSH_REQUEST', 'AUTH_FAILED,CRV1:R,E:a:b', 'EXIT', 'RESTART,[', 'AUTH_PENDING,timeout 99999999999', 'INFO_PRE,', 'PUSH_REPLY,peer-id 99999999,ifconfig 1 2,cipher X', 'CR_RESPONSE,', ',', '']; // prettier-ignore
      const output = (): TlsOutput => {
        if (random.chance(0.1)) return { kind: 'secure', certificate: undefined };
        if (random.chance(0.1)) return { kind: 'ended', reason: 'x' };
        if (random.chance(0.2)) return { kind: 'records', bytes: random.bytes(random.below(70_000)) };
        if (random.chance(0.4)) return { kind: 'plaintext', bytes: Buffer.from(`${random.pick(texts)}\0`) };
        const bytes = random.bytes(5 + random.below(600));
        if (random.chance(0.5)) bytes.set([0, 0, 0, 0, 2]);
        return { kind: 'plaintext', bytes };
      };
      await world.run(random.below(400));
      for (let i = 0; i < 8; i++) {
        const id = random.below(120);
        const one = output();
        server.run((now, out) => {
          server.server.handleTls(id, one, now, out);
        });
        const another = output();
        end.run((now, out) => {
          end.client.handleTls(1 + random.below(2), another, now, out);
        });
        await world.run(random.below(100));
      }
      end.stopWorking();
    }
    await world.run(130_000, 500);
    assert.equal(server.server.handshakes, 0);
    assert.equal(server.data.count, server.server.count);
  });

  seeded('an attacker who knows all but the address can not break into a key exchange', async (world, random) => {
    const server = new ServerEnd(world, SERVER, { verdictAfterMs: 300 });
    const client = new ClientEnd(world, '192.0.2.2:5000', SERVER, 2);
    world.network.onSent = (datagram, from, to) => {
      if (from === '192.0.2.66:1') return;
      // Before the real one, of which the end differs, from elsewhere.
      const forgery = datagram.slice();
      for (let i = Math.max(9, forgery.length - 40); i < forgery.length; i++) forgery[i] = random.u32();
      world.network.send('192.0.2.66:1', to, forgery);
    };
    client.start();
    await world.run(2_000);
    assert.ok(client.isConnected);
    assert.ok(server.dropsOf('wrongSource') + server.dropsOf('cookieRequired') > 0);
    assert.ok(client.dropsOf('wrongSource') > 0);
  });
});

describe('the other end', () => {
  seeded('a client moves to another address, and again while keys are exchanged', async (world) => {
    const server = withProfiles(world, { settings: { renegotiateMs: 4_000 } });
    const device = new Device(world, 2, { renegotiateMs: 7_000 });
    await world.run(2_000);
    let number = 0;
    for (let move = 0; move < 8; move++) {
      device.end.moveTo(`203.0.113.${String(1 + move)}:${String(1000 + move)}`);
      for (let i = 0; i < 31; i++) {
        number++;
        device.end.sendPacket(number);
        server.sendTo(2, number);
        await world.run(100);
      }
    }
    assert.equal(device.ends.length, 1);
    assert.equal(device.end.reportsOf('ended').length, 0);
    assert.ok(server.server.counters.renegotiations >= 5);
    assert.equal(server.received.length, number);
    // What was under way to the old address is lost.
    assert.ok(device.received.length >= number - 8);
  });

  seeded(
    'one that moves without sending data: its control packets are answered where its data came from',
    async (world) => {
      const server = withProfiles(world, { settings: { pingMs: 1_000 } });
      const device = new Device(world, 2);
      await world.run(1_500);
      device.end.moveTo('203.0.113.5:1');
      device.end.run((now, out) => {
        device.end.client.renegotiate(now, out);
      });
      await world.run(10_000);
      assert.equal(device.end.reportsOf('renegotiated').length, 1, 'a ping told the server');
      assert.equal(server.server.count, 1);
    },
  );

  seeded('the server starts anew: what its clients still send is nothing to it, and they come back', async (world) => {
    const first = withProfiles(world);
    const devices = [2, 3].map((number) => new Device(world, number));
    await world.run(2_000);
    assert.equal(first.server.count, 2);
    first.stopWorking();
    const second = withProfiles(world);
    for (let second = 0; second < 120; second++) {
      for (const device of devices) {
        device.end.sendPacket(second);
        device.attend();
      }
      await world.run(1_000, 50);
    }
    assert.equal(second.server.count, 2);
    for (const device of devices) {
      assert.deepEqual(device.ends[0].reportsOf('ended')[0]?.ending, { kind: 'timeout', phase: 'ping' });
      assert.equal(device.ends.length, 2);
      assert.ok(device.end.isConnected);
    }
    assert.equal(second.server.counters.handshakesBegun, 2);
  });

  seeded('clients that are killed and started over and over leave nothing behind', async (world, random) => {
    const server = withProfiles(world, { verdictAfterMs: 50 });
    for (let turn = 0; turn < 60; turn++) {
      const device = new Device(world, 2 + random.below(4));
      await world.run(random.below(2) === 0 ? 40 + random.below(150) : 1_000);
      device.end.stopWorking();
    }
    assert.ok(server.data.count <= 4);
    await world.run(200_000, 1_000);
    assert.equal(server.data.count, 0);
    assert.equal(server.server.count, 0);
    assert.equal(server.server.handshakes, 0);
    assert.equal(server.server.pollTimeout(), undefined);
  });

  seeded('weeks: keys by the hour, pings in between, and little of either', async (world) => {
    const server = withProfiles(world);
    const device = new Device(world, 2);
    await world.run(2_000);
    const before = world.network.counts.sent;
    const hours = 48;
    await world.run(hours * 3_600_000, 500);
    assert.equal(device.ends.length, 1);
    const { renegotiations } = server.server.counters;
    assert.ok(renegotiations >= hours && renegotiations <= 1.3 * hours, String(renegotiations));
    // Twelve pings a minute, six each way; a key exchange takes some twenty packets.
    const anHour = (world.network.counts.sent - before) / hours;
    assert.ok(anHour < 12 * 60 + 60, String(anHour));
  });
});

test('renegotiations are wrapped with a key that TLS gave, and that is not all', async () => {
  const world = new World(new SeededRandom(3), certificates);
  const later: Uint8Array[] = [];
  world.network.onSent = (datagram, from) => {
    if (from !== SERVER && datagram[0] >> 3 !== 9 && (datagram[0] & 7) === 1) later.push(datagram.slice());
  };
  new ServerEnd(world, SERVER, { key: { kind: 'tls-crypt', key: STATIC_KEY }, authenticate: () => admit(2) });
  const client = new ClientEnd(world, '192.0.2.2:1', SERVER, 2, {
    wrap: { kind: 'tls-crypt', key: STATIC_KEY },
  }).start();
  await world.run(3_000);
  client.run((now, out) => {
    client.client.renegotiate(now, out);
  });
  await world.run(1_000);
  assert.ok(client.reportsOf('renegotiated').length === 1 && later.length > 0);
  const exported = world.exported.find(({ label }) => label.includes('dynamic'));
  assert.ok(exported !== undefined && exported.bytes.some((byte) => byte !== 0));
  const options = { crypto: world.crypto, server: true, unixTime: 1_700_000_000 };
  const opens = (key: Uint8Array): boolean => typeof tlsCryptWrap({ ...options, key }).unwrap(later[0]) !== 'number';
  assert.ok(opens(exported.bytes.map((byte, i) => byte ^ STATIC_KEY[i])));
  for (const wrong of [new Uint8Array(256), STATIC_KEY, exported.bytes]) assert.ok(!opens(wrong));
  world.close();
});
