import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Secret } from '../../packages/core/src/index.ts';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';
import { PERFECT_NETWORK } from '../../packages/testkit/src/simulated-network.ts';
import { MESSAGE_RESPONSE } from '../../packages/wireguard/src/messages.ts';
import type { SimulatedPeer } from './simulated-peer.ts';
import { keypairsOf, pairOf, World } from './world.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
/** So that a keypair lasts for seconds. */
const SHORT_LIVED = { rekeyAfterTimeMs: 6 * SECOND, rejectAfterTimeMs: 40 * SECOND };

function handshakes(peer: SimulatedPeer): number {
  return peer.eventsOf('established').length;
}

function assertNothingDropped(...peers: SimulatedPeer[]): void {
  for (const peer of peers) assert.deepEqual([...peer.drops].filter(Boolean), [], `${peer.name} dropped nothing`);
}

describe('keypairs', () => {
  test('renewals lose nothing and reorder nothing, with packets in flight on both sides', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random, SHORT_LIVED);
      world.network.conditions = () => ({ ...PERFECT_NETWORK, delayMs: 150 });
      const fromA: string[] = [];
      const fromB: string[] = [];
      fromA.push(...a.send(b));
      world.run(SECOND);
      world.repeat(3000, 20, () => {
        fromA.push(...a.send(b, random.below(3)));
        fromB.push(...b.send(a, random.below(3)));
      });
      world.run(61 * SECOND);
      assert.ok(handshakes(a) >= 7, `${handshakes(a)} handshakes`);
      assert.deepEqual(b.received, fromA);
      assert.deepEqual(a.received, fromB);
      assertNothingDropped(a, b);
      world.assertBounded();
    });
  });

  test('renewals lose nothing when packets overtake one another', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random, SHORT_LIVED);
      world.network.conditions = () => ({ ...PERFECT_NETWORK, delayMs: 30, jitterMs: 200, duplication: 0.1 });
      const fromA = a.send(b);
      const fromB: string[] = [];
      world.run(SECOND);
      world.repeat(1500, 40, () => {
        fromA.push(...a.send(b));
        fromB.push(...b.send(a));
      });
      world.run(62 * SECOND);
      assert.deepEqual(new Set(b.received), new Set(fromA));
      assert.deepEqual(new Set(a.received), new Set(fromB));
      assert.ok(a.dropped('replayed') > 50 && b.dropped('replayed') > 50);
    });
  });

  test('two that begin at the same moment both come to a key, and lose nothing then or later', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random, SHORT_LIVED);
      world.network.conditions = () => ({ ...PERFECT_NETWORK, delayMs: 150 });
      const fromA: string[] = [];
      const fromB: string[] = [];
      world.repeat(3000, 20, () => {
        fromA.push(...a.send(b));
        fromB.push(...b.send(a));
      });
      world.run(61 * SECOND);
      assert.deepEqual(new Set(b.received), new Set(fromA));
      assert.deepEqual(new Set(a.received), new Set(fromB));
    });
  });

  test('after that, a renewal whose response is lost loses nothing either', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      const fromA = a.send(b);
      const fromB = b.send(a);
      world.run(SECOND);
      assert.deepEqual([a.countsOf('b').initiations, b.countsOf('a').initiations], [1, 1]);
      // Now each sends with the keypair that it began itself.
      world.run(120 * SECOND);
      let responses = 0;
      world.network.onSent = (datagram) => (responses += datagram[0] === MESSAGE_RESPONSE ? 1 : 0);
      world.network.conditions = (from) => ({
        ...PERFECT_NETWORK,
        loss: from === b.address && responses === 0 ? 1 : 0,
      });
      world.repeat(40, 100, () => fromA.push(...a.send(b)));
      world.run(3 * SECOND);
      assert.equal(responses, 1);
      world.run(10 * SECOND);
      assert.deepEqual(b.received, fromA);
      assert.deepEqual(a.received, fromB);
    });
  });

  test('both begin, and any one datagram of theirs is lost: they come to a key all the same', () => {
    withSeed((random) => {
      for (let lost = 0; lost < 6; lost++) {
        const { world, a, b } = pairOf(random);
        let sent = 0;
        world.network.conditions = () => ({ ...PERFECT_NETWORK, loss: sent++ === lost ? 1 : 0 });
        const fromA = a.send(b);
        const fromB = b.send(a);
        world.run(16 * SECOND);
        // The datagram lost may have carried one of the packets, which nothing repeats.
        assert.ok(b.received.length + a.received.length >= 1, `with datagram ${lost} lost`);
        const more = [...a.send(b), ...b.send(a)];
        world.run(SECOND);
        assert.deepEqual([...b.received.slice(-1), ...a.received.slice(-1)], more, `with datagram ${lost} lost`);
        assert.ok(b.received.length >= fromA.length && a.received.length >= fromB.length);
      }
    });
  });

  for (const sender of ['initiator', 'responder'] as const) {
    test(`the ${sender} renews by count`, () => {
      withSeed((random) => {
        const { world, a, b } = pairOf(random, { rekeyAfterMessagesHigh: 0, rekeyAfterMessagesLow: 100 });
        a.send(b);
        world.run(6 * SECOND);
        const from = sender === 'initiator' ? a : b;
        const to = sender === 'initiator' ? b : a;
        const before = from.countsOf(to.name).initiations;
        const sentBefore = from.countsOf(to.name).data + from.countsOf(to.name).keepalives;
        from.send(to, 99 - sentBefore);
        world.run(SECOND);
        assert.equal(from.countsOf(to.name).initiations, before);
        from.send(to, 1);
        world.run(SECOND);
        assert.equal(from.countsOf(to.name).initiations, before + 1);
        assert.equal(to.countsOf(from.name).initiations, 1 - before);
        assert.equal(handshakes(from), 2);
      });
    });

    test(`the ${sender} sends no more than a keypair may; the rest waits for the next`, () => {
      withSeed((random) => {
        const limits = { rekeyAfterMessagesHigh: 0, rekeyAfterMessagesLow: 200 };
        const { world, a, b } = pairOf(random, { ...limits, rejectAfterMessagesHigh: 0, rejectAfterMessagesLow: 300 });
        a.send(b);
        world.run(SECOND);
        const from = sender === 'initiator' ? a : b;
        const to = sender === 'initiator' ? b : a;
        const before = to.received.length;
        // In runs of 64, the last of which is too long for what is left of the keypair.
        const sent = from.send(to, 400);
        world.run(7 * SECOND);
        assert.deepEqual(new Set(to.received.slice(before)), new Set(sent));
        assert.equal(handshakes(from), 2);
        assertNothingDropped(a, b);
      });
    });
  }

  test('a renewal by count that was given up is asked for again by the next packet', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random, { rekeyAfterMessagesHigh: 0, rekeyAfterMessagesLow: 5 });
      a.send(b);
      world.run(6 * SECOND);
      world.network.conditions = () => ({ ...PERFECT_NETWORK, loss: 1 });
      a.send(b, 5);
      world.run(135 * SECOND);
      assert.equal(a.eventsOf('handshakeGivenUp').length, 1);
      const before = a.countsOf('b').initiations;
      assert.ok(before <= 1 + 23, 'nothing begins it again by itself');
      world.network.conditions = () => PERFECT_NETWORK;
      // The keypair is still good.
      const sent = a.send(b);
      world.run(SECOND);
      assert.deepEqual(b.received.slice(1), sent);
      assert.equal(a.countsOf('b').initiations, before + 1);
      assert.equal(handshakes(a), 2);
    });
  });

  test('a keypair that is used up to its last counter', () => {
    withSeed((random) => {
      const limits = { rekeyAfterMessagesHigh: 0, rekeyAfterMessagesLow: 5 };
      const { world, a, b } = pairOf(random, { ...limits, rejectAfterMessagesHigh: 0, rejectAfterMessagesLow: 8 });
      const sent: string[] = [];
      world.repeat(100, 500, () => {
        sent.push(...a.send(b));
        b.send(a);
      });
      world.run(60 * SECOND);
      // A packet that need not wait any more may overtake those that do.
      assert.deepEqual(new Set(b.received), new Set(sent));
      assert.equal(a.received.length, 100);
    });
  });

  test('128 packets wait at most, the newest, and go in order', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      b.stop();
      const sent: string[] = [];
      world.repeat(10, SECOND, () => sent.push(...a.send(b, 100)));
      world.run(10 * SECOND);
      assert.equal(a.dropped('queueFull'), 1000 - 128);
      b.start();
      world.run(6 * SECOND);
      assert.deepEqual(b.received, sent.slice(-128));
    });
  });

  test('another private key: nothing more goes by the old sessions', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      a.send(b);
      world.run(SECOND);
      // b answers a's next handshake, but what a sends by it does not come: b can't know that it is confirmed.
      world.run(120 * SECOND);
      let fromA = 0;
      world.network.conditions = (from) => ({ ...PERFECT_NETWORK, loss: from === a.address && fromA++ >= 2 ? 1 : 0 });
      a.send(b);
      world.run(SECOND);
      assert.deepEqual([handshakes(a), handshakes(b)], [2, 1]);
      const before = b.countsOf('a').data + b.countsOf('a').keepalives;
      b.changePrivateKey(new Secret(random.bytes(32)));
      world.network.conditions = () => PERFECT_NETWORK;
      b.send(a, 3);
      a.send(b, 3);
      world.run(SECOND);
      assert.equal(handshakes(b), 2, 'now it is');
      b.send(a, 3);
      world.run(60 * SECOND);
      assert.equal(b.countsOf('a').data + b.countsOf('a').keepalives, before);
    });
  });

  test('what waits for a peer that is removed never goes to the one that takes its place', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      const c = world.add('c');
      c.connect(a, { endpoint: a.address });
      c.start();
      b.stop();
      a.send(b, 5);
      world.run(SECOND);
      // Some wait already; some are still on their way to where they wait.
      a.send(b, 5);
      const session = a.sessionOf(b);
      a.disconnect(b);
      a.connect(c, { endpoint: c.address });
      assert.equal(a.sessionOf(c), session, 'it takes the same record');
      const sent = a.send(c);
      world.run(MINUTE);
      assert.deepEqual(c.received, sent);
      assert.equal(b.received.length, 0);
    });
  });

  test('an interface that goes down forgets its keys at once, and comes up again', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random);
      a.send(b);
      world.run(SECOND);
      a.stop();
      assert.equal(keypairsOf(a), 0);
      assert.ok(!a.holdsKey());
      a.start();
      const sent = a.send(b);
      world.run(SECOND);
      assert.deepEqual(b.received.slice(1), sent);
    });
  });

  test('keypair records are given back: hundreds of renewals take no more of them than three', () => {
    withSeed((random) => {
      const { world, a, b } = pairOf(random, { rekeyAfterTimeMs: 5 * SECOND, rejectAfterTimeMs: 40 * SECOND });
      world.repeat(1000, 5 * SECOND, (i) => {
        a.send(b);
        if (i % 100 === 50) world.assertBounded();
      });
      world.run(5_010 * SECOND);
      assert.ok(handshakes(a) > 490, `${handshakes(a)} handshakes`);
      assert.equal(b.received.length, 1000);
      world.assertBounded();
      world.run(200 * SECOND);
      assert.equal(keypairsOf(a) + keypairsOf(b), 0);
    });
  });

  test('three peers: each pair has keys of its own', () => {
    withSeed((random) => {
      const world = new World(random);
      const peers = ['a', 'b', 'c'].map((name) => world.add(name));
      for (const peer of peers)
        for (const other of peers) if (other !== peer) peer.connect(other, { endpoint: other.address });
      for (const peer of peers) peer.start();
      world.repeat(300, SECOND, () => {
        for (const peer of peers) for (const other of peers) if (other !== peer) peer.send(other);
      });
      world.run(305 * SECOND);
      for (const peer of peers) assert.equal(peer.received.length, 600);
      world.assertBounded();
    });
  });
});
