import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withSeed, type SeededRandom } from '../../packages/testkit/src/seeded-random.ts';
import { corrupt, PERFECT_NETWORK } from '../../packages/testkit/src/simulated-network.ts';
import { PEER_BYTES, PEER_ENDPOINT } from '../../packages/wireguard/src/layout.ts';
import { MESSAGE_COOKIE_REPLY, MESSAGE_INITIATION } from '../../packages/wireguard/src/messages.ts';
import { Flood } from './flood.ts';
import type { SimulatedPeer } from './simulated-peer.ts';
import { keypairsOf, pairOf, World } from './world.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** Data that nothing answers for 15 s, then a handshake, of which the first message may be lost to a late turn. */
const RECOVERY_MS = 22 * SECOND;

/** Both applications send every second: both must be heard within the bound. */
function assertRecovers(world: World, a: SimulatedPeer, b: SimulatedPeer, within = RECOVERY_MS): void {
  world.run(within);
  const last = [...a.send(b), ...b.send(a)];
  world.run(2 * SECOND);
  assert.deepEqual(
    [...b.received, ...a.received].filter((name) => last.includes(name)),
    last,
  );
}

/** A client that may move, and a server that only knows it from what it sends. */
function clientAndServer(random: SeededRandom): { world: World; client: SimulatedPeer; server: SimulatedPeer } {
  const world = new World(random);
  const server = world.add('server');
  const client = world.add('client');
  const presharedKey = random.bytes(32);
  server.connect(client, { presharedKey });
  client.connect(server, { presharedKey, endpoint: server.address });
  server.start();
  client.start();
  return { world, client, server };
}

describe('faults', () => {
  for (const who of ['initiator', 'responder', 'both'] as const) {
    test(`the ${who} restarted, its keys lost`, () => {
      withSeed((random) => {
        const { world, a, b } = pairOf(random);
        a.send(b);
        world.repeat(60, SECOND, () => {
          a.send(b);
          b.send(a);
        });
        world.run(30 * SECOND);
        if (who !== 'responder') a.restart();
        if (who !== 'initiator') b.restart();
        assertRecovers(world, a, b);
        world.assertBounded();
      });
    });
  }

  test('the clock set back: handshakes go on, also when it is set right again', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      const days = 86_400 * SECOND;
      for (const step of [3 * days, -30 * days, -MINUTE, 27 * days, MINUTE]) {
        a.wallClockOffset += step;
        b.wallClockOffset -= step;
        world.run(200 * SECOND);
        assertRecovers(world, a, b, 0);
      }
      assert.equal(a.countsOf('b').initiations + b.countsOf('a').initiations >= 5, true);
    });
  });

  test('a client that moves is followed as soon as it sends, and answered there', () => {
    withSeed((random) => {
      const { world, client, server } = clientAndServer(random);
      client.send(server);
      world.run(SECOND);
      for (let i = 0; i < 20; i++) {
        client.roam(`198.51.100.${1 + i}:${1024 + i}`);
        client.send(server);
        world.run(SECOND);
        const sent = server.send(client);
        world.run(SECOND);
        assert.deepEqual(client.received.slice(-1), sent);
        world.run(random.below(100) * SECOND);
      }
      assert.equal(client.countsOf('server').initiations + server.countsOf('client').initiations <= 12, true);
    });
  });

  test('a server without an address for its client waits to hear from it', () => {
    withSeed((random) => {
      const { world, client, server } = clientAndServer(random);
      server.send(client);
      world.run(MINUTE);
      assert.equal(server.dropped('noEndpoint'), 1);
      assert.equal(world.network.counts.sent, 0);
      client.send(server);
      world.run(SECOND);
      const sent = server.send(client);
      world.run(SECOND);
      assert.deepEqual(client.received, sent);
    });
  });

  test('a network that loses one direction, then heals', () => {
    withSeed((random) => {
      for (const deaf of ['a', 'b']) {
        const { world, a, b } = pairOf(random);
        const to = world.peer(deaf).address;
        a.send(b);
        world.run(10 * SECOND);
        world.network.conditions = (_, target) => ({ ...PERFECT_NETWORK, loss: target === to ? 1 : 0 });
        world.repeat(400, SECOND, () => {
          a.send(b);
          b.send(a);
        });
        world.run(300 * SECOND);
        world.network.conditions = () => PERFECT_NETWORK;
        assertRecovers(world, a, b);
      }
    });
  });

  test('where the session half could not be told, the next packet tells it', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      a.send(b);
      world.run(30 * SECOND);
      assert.equal(b.countsOf('a').keepalives, 1);
      a.attendRefusal = b.attendRefusal = 1;
      world.repeat(120, SECOND, () => a.send(b));
      world.run(110 * SECOND);
      // Neither the keepalive nor the renewal could be asked for.
      assert.equal(a.countsOf('b').initiations, 1);
      assert.equal(b.countsOf('a').keepalives, 1);
      a.attendRefusal = b.attendRefusal = 0;
      world.run(2 * SECOND);
      assert.equal(a.countsOf('b').initiations, 2);
      world.run(38 * SECOND);
      assert.ok(b.countsOf('a').keepalives >= 2);
      assert.equal(b.received.length, 121);
      assert.equal(b.eventsOf('established').length, 2);

      a.attendRefusal = b.attendRefusal = 0.5;
      world.repeat(1000, SECOND, () => a.send(b));
      world.run(1020 * SECOND);
      assert.equal(b.received.length, 1121);
      assert.equal(a.countsOf('b').initiations, 2 + 8);
    });
  });

  test('what is forged, garbled or repeated changes nothing', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      const delivered: { readonly datagram: Uint8Array; readonly to: string }[] = [];
      world.network.onSent = (datagram, _from, to) => delivered.push({ datagram: datagram.slice(), to });
      world.repeat(300, SECOND, () => {
        a.send(b);
        b.send(a);
      });
      const attempts = { repeated: 0, garbled: 0, random: 0 };
      for (let second = 0; second < 300; second++) {
        world.run(SECOND - 1);
        for (let i = 0; i < 10; i++) {
          const { datagram, to } = delivered[random.below(delivered.length)];
          const kind = random.pick(['repeated', 'garbled', 'random'] as const);
          let bytes = datagram;
          if (kind === 'random')
            bytes = Uint8Array.of(1 + random.below(4), 0, 0, 0, ...random.bytes(random.below(200)));
          // MAC2 means nothing to who is not under load, so an end that changed is no forgery.
          if (kind === 'garbled') bytes = garble(datagram, random);
          const victim = to === a.address ? a : b;
          const record = peerRecord(victim);
          const [received, keypairs] = [victim.received.length, keypairsOf(victim)];
          const sent = world.network.counts.sent;
          victim.receiveNow(bytes, random.pick(['203.0.113.66:666', a.address, b.address]));
          assert.deepEqual(peerRecord(victim), record, `${kind}, of type ${bytes[0]}`);
          assert.deepEqual([victim.received.length, keypairsOf(victim)], [received, keypairs]);
          assert.equal(world.network.counts.sent, sent, `${kind}, of type ${bytes[0]}, was answered`);
          attempts[kind]++;
        }
        world.run(1);
      }
      for (const count of Object.values(attempts)) assert.ok(count > 500);
      assert.equal(a.received.length + b.received.length, 600);
    });
  });

  test('an initiation whose MAC1 is wrong is not answered', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      const initiations: Uint8Array[] = [];
      world.network.onSent = (datagram) => initiations.push(datagram);
      world.network.conditions = () => ({ ...PERFECT_NETWORK, loss: 1 });
      a.send(b);
      world.run(SECOND);
      const forged = initiations[0].slice();
      forged[forged.length - 32 + random.below(16)] ^= 1 << random.below(8);
      b.receiveNow(forged, a.address);
      assert.equal(b.messages.length, 0);
      b.receiveNow(initiations[0], a.address);
      assert.equal(b.messages.length, 1, 'as the right one is');
    });
  });

  test('under load handshakes need a cookie, and come through a flood of forged ones', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      const flood = new Flood(b, random);
      world.repeat(32, 250, () => flood.send(world, 150));
      world.clock.after(SECOND, () => a.send(b));
      world.run(2 * SECOND);
      assert.ok(b.dropped('cookieRequired') > 500, `${b.dropped('cookieRequired')} refused for want of a cookie`);
      assert.ok(b.messages.some(({ type, to }) => type === MESSAGE_COOKIE_REPLY && to === a.address));
      assert.equal(b.received.length, 0);
      world.run(5 * SECOND);
      assert.equal(b.received.length, 1, 'while the flood goes on');
      assert.equal(keypairsOf(b), 1);
      // When it is over, no cookie is needed any more.
      world.run(200 * SECOND);
      const replies = b.messages.filter(({ type }) => type === MESSAGE_COOKIE_REPLY).length;
      a.send(b);
      world.run(SECOND);
      assert.equal(b.received.length, 2);
      assert.equal(b.messages.filter(({ type }) => type === MESSAGE_COOKIE_REPLY).length, replies);
    });
  });

  test('24 hours of renewals: nothing is lost, and nothing grows', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      const hour = 3600 * SECOND;
      world.repeat(24 * 720, 5 * SECOND, (i) => {
        a.send(b);
        b.send(a);
        if (i % 720 === 100) world.assertBounded();
      });
      world.run(24 * hour + MINUTE);
      assert.deepEqual([a.received.length, b.received.length], [24 * 720, 24 * 720]);
      const established = a.eventsOf('established').length;
      assert.ok(established >= 690 && established <= 1500, `${established} handshakes`);
      assert.equal(a.messages.filter(({ type }) => type === MESSAGE_INITIATION).length <= 720, true);
      world.assertBounded();
    });
  });
});

function garble(datagram: Uint8Array, random: SeededRandom): Uint8Array {
  const mac2Bytes = datagram[0] === MESSAGE_INITIATION || datagram[0] === 2 ? 16 : 0;
  for (;;) {
    const bytes = corrupt(datagram, random);
    const end = datagram.length - mac2Bytes;
    if (bytes.length !== datagram.length || bytes.some((byte, i) => i < end && byte !== datagram[i])) return bytes;
  }
}

/** All that the halves share of a peer: keypairs, timers, counters, endpoint. */
function peerRecord(peer: SimulatedPeer): Uint8Array {
  const at = peer.regions.peers;
  assert.ok(PEER_ENDPOINT < PEER_BYTES);
  return peer.arena.u8.slice(at, at + PEER_BYTES);
}
