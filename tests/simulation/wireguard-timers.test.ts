import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';
import { MESSAGE_INITIATION } from '../../packages/wireguard/src/messages.ts';
import { PERFECT_NETWORK } from '../../packages/testkit/src/simulated-network.ts';
import type { SimulatedPeer } from './simulated-peer.ts';
import { keypairsOf, pairOf, World } from './world.ts';

const SECOND = 1000;
/** What a simulated machine may be late by: whole milliseconds of a timer, and a turn on each of its threads. */
const LATE_MS = 15;
const ONE_WAY_MS = PERFECT_NETWORK.delayMs;
const JITTER_MS = 333;

/** Asserts that `moment` is `expected` or at most `late` after. */
function assertAt(moment: number | undefined, expected: number, late = LATE_MS): void {
  assert.ok(moment !== undefined, 'it happens');
  assert.ok(moment >= expected && moment <= expected + late, `${moment - expected} ms after it was due`);
}

function initiations(peer: SimulatedPeer): number[] {
  return peer.messages.filter(({ type }) => type === MESSAGE_INITIATION).map(({ at }) => at);
}

function keepalives(peer: SimulatedPeer, to: SimulatedPeer): number {
  return peer.countsOf(to.name).keepalives;
}

/** Lets nothing through any more. */
function cut(world: World): void {
  world.network.conditions = () => ({ ...PERFECT_NETWORK, loss: 1 });
}

describe('timers of section 6, one at a time', () => {
  test('the first packet waits for the handshake, and goes with it', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      const sent = a.send(b, 3);
      world.run(SECOND);
      assert.deepEqual(b.received, sent);
      assert.equal(initiations(a).length, 1);
      assert.equal(initiations(b).length, 0);
      assert.equal(keepalives(a, b), 0, 'data has confirmed the key');
      assert.equal(a.eventsOf('established').length, 1);
      assert.equal(b.eventsOf('established').length, 1);
    });
  });

  test('6.5: what is received and not answered is answered by a keepalive after 10 s, once', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      a.send(b);
      const start = world.now + 3 * ONE_WAY_MS;
      world.run(10 * SECOND);
      assert.equal(keepalives(b, a), 0);
      world.run(3 * ONE_WAY_MS + LATE_MS);
      assert.equal(keepalives(b, a), 1);
      assert.ok(world.now >= start + 10 * SECOND);
      world.run(100 * SECOND);
      assert.equal(keepalives(b, a), 1);
      assert.equal(keepalives(a, b), 0);
      assert.equal(initiations(a).length, 1);
      assert.equal(initiations(b).length, 0);
    });
  });

  test('6.5: more that is received within the 10 s is answered by a second keepalive', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      a.send(b);
      world.run(9 * SECOND);
      a.send(b);
      world.run(60 * SECOND);
      assert.equal(keepalives(b, a), 2);
    });
  });

  test('6.2: data that nothing answers begins a handshake after 15 s and jitter', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      a.send(b);
      world.run(30 * SECOND);
      cut(world);
      const before = initiations(a).length;
      const sentAt = world.now;
      a.send(b);
      world.run(5 * SECOND);
      a.send(b);
      world.run(11 * SECOND);
      assertAt(initiations(a)[before], sentAt + 15 * SECOND, JITTER_MS + LATE_MS);
      assert.equal(initiations(a).length, before + 1);
    });
  });

  test('6.4: an initiation is sent again every 5 s and jitter, for 90 s; then what waited is dropped', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      b.stop();
      a.send(b, 3);
      world.run(200 * SECOND);
      const times = initiations(a);
      for (let i = 1; i < times.length; i++) assertAt(times[i], times[i - 1] + 5 * SECOND, JITTER_MS + LATE_MS);
      const last = times[times.length - 1] - times[0];
      assert.ok(last >= 80 * SECOND && last <= 90 * SECOND + 18 * (JITTER_MS + LATE_MS), `the last after ${last} ms`);
      assert.equal(a.eventsOf('handshakeGivenUp').length, 1);
      assert.equal(a.dropped('queueFull'), 3);

      b.start();
      world.run(60 * SECOND);
      assert.equal(b.received.length, 0);
      assert.equal(initiations(a).length, times.length, 'nothing begins it again by itself');
      const sent = a.send(b);
      world.run(SECOND);
      assert.deepEqual(b.received, sent);
    });
  });

  test('6.4: who goes on sending is not given up', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      b.stop();
      world.repeat(20, 10 * SECOND, () => a.send(b));
      world.run(200 * SECOND);
      assert.equal(a.eventsOf('handshakeGivenUp').length, 0);
      b.start();
      world.run(6 * SECOND);
      assert.equal(b.received.length, 20);
    });
  });

  test('6.2: the initiator renews by time when it sends, after 120 s', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      const start = world.now;
      world.repeat(130, SECOND, () => a.send(b));
      world.run(130 * SECOND);
      assert.equal(initiations(a).length, 2);
      assert.equal(initiations(b).length, 0);
      assertAt(initiations(a)[1], start + 120 * SECOND, SECOND + 4 * ONE_WAY_MS + LATE_MS);
      assert.equal(b.received.length, 130);
    });
  });

  test('6.2: the responder does not renew by time, however much it sends', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      a.send(b);
      world.run(SECOND);
      world.repeat(163, SECOND, () => b.send(a));
      world.run(163 * SECOND);
      assert.equal(initiations(b).length, 0);
      // The initiator's keepalives, one every 10 s, are what finds the key old.
      const [first, second, ...more] = initiations(a);
      assert.ok(second >= first + 120 * SECOND && second < first + 131 * SECOND);
      assert.deepEqual(more, []);
      assert.equal(a.received.length, 163);
    });
  });

  test('6.2: who only receives renews as the initiator 15 s before the key is rejected', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      a.send(b);
      world.run(SECOND);
      const created = a.eventsOf('established')[0];
      const receive = (age: number): void => {
        world.clock.runUntil(created + age * SECOND - ONE_WAY_MS);
        b.send(a);
        world.run(2 * ONE_WAY_MS);
      };
      // Later than this the keepalive that answers would be what finds the key old.
      receive(157);
      receive(164.9);
      assert.equal(initiations(a).length, 1);
      receive(165.1);
      assert.equal(initiations(a).length, 2);
      world.run(20 * SECOND);
      assert.equal(initiations(a).length, 2);
      assert.equal(initiations(b).length, 0);
      assert.equal(a.received.length, 3);
    });
  });

  test('6.2: a key is not used past 180 s: a packet then waits for a new one', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      a.send(b);
      world.run(181 * SECOND);
      const sent = b.send(a);
      world.run(10 * ONE_WAY_MS);
      assert.equal(initiations(b).length, 1);
      assert.deepEqual(a.received, sent);
    });
  });

  test('6.3: after three times 180 s nothing is left of the keys, on either side', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      const start = world.now;
      a.send(b);
      b.send(a);
      world.run(539 * SECOND);
      for (const peer of [a, b]) {
        assert.ok(keypairsOf(peer) > 0 && peer.holdsKey(), 'the search finds keys that are there');
        assert.equal(peer.eventsOf('keysErased').length, 0);
      }
      world.run(2 * SECOND);
      for (const peer of [a, b]) {
        assert.equal(keypairsOf(peer), 0);
        assert.ok(!peer.holdsKey());
        assertAt(peer.eventsOf('keysErased')[0], start + 540 * SECOND, 10 * ONE_WAY_MS);
      }
      world.run(3_600 * SECOND);
      assert.equal(a.eventsOf('keysErased').length, 1);
      const sent = a.send(b);
      world.run(SECOND);
      assert.deepEqual(b.received.slice(-1), sent);
    });
  });

  test('6.3: the erasure waits for as long as keys are renewed', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      world.repeat(1200, SECOND, () => a.send(b));
      world.run(1200 * SECOND);
      assert.equal(a.eventsOf('keysErased').length + b.eventsOf('keysErased').length, 0);
      world.run(700 * SECOND);
      assert.equal(a.eventsOf('keysErased').length, 1);
      assert.equal(b.eventsOf('keysErased').length, 1);
    });
  });

  test('6.1: a persistent keepalive goes every interval of silence, from the start', () => {
    withSeed((random) => {
      const world = new World(random);
      const a = world.add('a');
      const b = world.add('b');
      a.connect(b, { endpoint: b.address, persistentKeepalive: 25 });
      b.connect(a, {});
      b.start();
      a.start();
      world.run(SECOND);
      assert.equal(a.eventsOf('established').length, 1, 'the keepalive asks for a key');
      const start = keepalives(a, b);
      world.run(51 * SECOND);
      assert.equal(keepalives(a, b), start + 2);
      // Traffic in either direction makes it unnecessary.
      const before = keepalives(a, b);
      world.repeat(6, 9 * SECOND, () => a.send(b));
      world.run(45 * SECOND);
      assert.equal(keepalives(a, b), before);
      // It keeps the tunnel alive without a word from either application.
      world.run(3_600 * SECOND);
      assert.equal(a.eventsOf('handshakeGivenUp').length, 0);
      assert.equal(a.eventsOf('keysErased').length, 0);
      const sent = b.send(a);
      world.run(2 * ONE_WAY_MS);
      assert.deepEqual(a.received, sent, 'the other side can speak at any time');
      assert.equal(initiations(b).length, 0);
    });
  });

  test('two peers without traffic are silent', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      a.send(b);
      world.run(700 * SECOND);
      const before = world.network.counts.sent;
      world.run(7 * 86_400 * SECOND);
      assert.equal(world.network.counts.sent, before);
    });
  });
});
