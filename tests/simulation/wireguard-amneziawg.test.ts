import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { SeededRandom } from '../../packages/testkit/src/seeded-random.ts';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';
import { PERFECT_NETWORK } from '../../packages/testkit/src/simulated-network.ts';
import { decodeVariant, MESSAGE_COOKIE_REPLY, MESSAGE_INITIATION } from '../../packages/wireguard/src/messages.ts';
import { checkVariant, PLAIN_VARIANT, type Variant } from '../../packages/wireguard/src/variant.ts';
import { UNCHANGED_DEVICE } from '../../packages/wireguard/src/uapi.ts';
import type { SimulatedPeer } from './simulated-peer.ts';
import { World } from './world.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

function anyVariant(random: SeededRandom): Variant {
  for (;;) {
    const jmin = random.below(200);
    const variant = {
      jc: 1 + random.below(8),
      jmin,
      jmax: jmin + random.below(400),
      s1: 1 + random.below(120),
      s2: 1 + random.below(120),
      h1: random.u32(),
      h2: random.u32(),
      h3: random.u32(),
      h4: random.u32(),
    };
    if (checkVariant(variant) === undefined) return variant;
  }
}

/** A gateway that speaks WireGuard at one address and a variant at the other, and a client that can speak both too. */
function gatewayAndClient(random: SeededRandom): {
  world: World;
  gateway: SimulatedPeer;
  client: SimulatedPeer;
  variant: Variant;
} {
  const world = new World(random);
  const gateway = world.add('gateway');
  const client = world.add('client');
  const variant = anyVariant(random);
  for (const [peer, second] of [
    [gateway, '192.0.2.1:51821'],
    [client, '192.0.2.2:51821'],
  ] as const) {
    peer.device.setVariant(1, variant);
    peer.listenSecond(second);
  }
  gateway.connect(client, {});
  client.connect(gateway, { endpoint: gateway.secondAddress, listener: 1 });
  gateway.start();
  client.start();
  return { world, gateway, client, variant };
}

/** Which of its listeners a peer speaks to another by. */
function listenerOf(peer: SimulatedPeer, other: SimulatedPeer): number {
  return peer.device.endpointOf(other.publicKey)?.listener ?? 0;
}

describe('AmneziaWG', () => {
  test('nothing on the wire has a length or a type word of WireGuard, and all of it arrives', () => {
    withSeed((random) => {
      const { world, gateway, client, variant } = gatewayAndClient(random);
      const kinds = { junk: 0, initiation: 0, response: 0, transport: 0 };
      const seen = new Set<string>();
      world.network.onSent = (datagram, from, to) => {
        assert.ok(from.endsWith(':51821') && to.endsWith(':51821'), `${from} > ${to}`);
        const word = new DataView(datagram.buffer, datagram.byteOffset).getUint32(0, true);
        assert.ok(datagram.length < 4 || word < 1 || word > 4 || datagram.length < 32, `type ${word}`);
        const { type } = decodeVariant(datagram, variant);
        if (type === 0) {
          assert.ok(datagram.length >= variant.jmin && datagram.length <= variant.jmax, `${datagram.length} of junk`);
          kinds.junk++;
        } else if (type === 1) kinds.initiation++;
        else if (type === 2) kinds.response++;
        else if (type === 4) kinds.transport++;
        // Padding is random, so that no two are alike.
        assert.ok(datagram.length < 16 || !seen.has(datagram.join()), 'the same datagram twice');
        seen.add(datagram.join());
      };
      const sent = client.send(gateway, 3);
      world.run(SECOND);
      const answers = gateway.send(client, 3);
      world.run(SECOND);
      assert.deepEqual(gateway.received, sent);
      assert.deepEqual(client.received, answers);
      assert.deepEqual(kinds.initiation, 1);
      assert.deepEqual(kinds.junk, variant.jc);
      assert.deepEqual(kinds.response, 1);
      assert.ok(kinds.transport >= 6);
      // Junk is dropped before the session half hears of it.
      assert.equal(gateway.dropped('unknownMessageType') + gateway.dropped('malformedDatagram'), variant.jc);
      assert.equal(gateway.dropped('handshakeRejected'), 0);
    });
  });

  test('both listeners at once: each peer is answered in the variant that it speaks, over hours of renewals', () => {
    withSeed((random) => {
      const { world, gateway, client } = gatewayAndClient(random);
      const plain = world.add('plain');
      plain.connect(gateway, { endpoint: gateway.address });
      gateway.connect(plain, {});
      plain.start();
      world.network.conditions = () => ({ ...PERFECT_NETWORK, loss: 0.05, duplication: 0.02 });
      world.network.onSent = (_datagram, from, to) => {
        assert.equal(from.split(':')[1], to.split(':')[1], `${from} > ${to}`);
      };
      world.repeat(600, 12 * SECOND, () => {
        for (const peer of [client, plain]) {
          peer.send(gateway);
          gateway.send(peer);
        }
      });
      world.run(121 * MINUTE);
      assert.ok(client.eventsOf('established').length > 50 && plain.eventsOf('established').length > 50);
      assert.ok(client.received.length > 500 && plain.received.length > 500 && gateway.received.length > 1000);
      assert.deepEqual([listenerOf(gateway, client), listenerOf(gateway, plain)], [1, 0]);
    });
  });

  test('a peer moves from the one port to the other and back, and what the gateway begins goes by the new one', () => {
    withSeed((random) => {
      const { world, gateway, client } = gatewayAndClient(random);
      for (const [address, listener] of [
        [gateway.address, 0],
        [gateway.secondAddress, 1],
        [gateway.address, 0],
      ] as const) {
        client.connect(gateway, { endpoint: address, listener });
        const [packet] = client.send(gateway);
        world.run(SECOND);
        assert.equal(gateway.received.at(-1), packet);
        assert.equal(listenerOf(gateway, client), listener);
        const [answer] = gateway.send(client);
        world.run(SECOND);
        assert.equal(client.received.at(-1), answer);
        // A handshake of the gateway's own.
        const before = gateway.messages.length;
        assert.ok(gateway.startHandshake(client));
        world.run(SECOND);
        const initiation = gateway.messages.slice(before).find(({ type }) => type === MESSAGE_INITIATION);
        assert.equal(initiation?.to, listener === 0 ? client.address : client.secondAddress);
        assert.equal(listenerOf(gateway, client), listener);
      }
    });
  });

  test('a peer that only sends data to the other port, from the port that it has, is answered there', () => {
    withSeed((random) => {
      const { world, gateway, client, variant } = gatewayAndClient(random);
      client.device.setVariant(0, variant);
      client.connect(gateway, { endpoint: gateway.secondAddress });
      client.send(gateway);
      world.run(SECOND);
      for (const listener of [0, 1, 0]) {
        client.device.setVariant(0, listener === 0 ? undefined : variant);
        client.connect(gateway, { endpoint: listener === 0 ? gateway.address : gateway.secondAddress });
        client.send(gateway);
        world.run(SECOND);
        assert.equal(listenerOf(gateway, client), listener);
        const [answer] = gateway.send(client);
        world.run(SECOND);
        assert.equal(client.received.at(-1), answer);
      }
      assert.equal(client.eventsOf('established').length, 1, 'all by one handshake');
    });
  });

  test('a variant that is changed while running: a new handshake, and the packets go on', () => {
    withSeed((random) => {
      const { world, gateway, client } = gatewayAndClient(random);
      client.send(gateway);
      world.run(SECOND);
      const other = anyVariant(random);
      gateway.device.setVariant(1, other);
      client.device.setVariant(1, other);
      assert.ok(client.startHandshake(gateway));
      const [packet] = client.send(gateway);
      world.run(SECOND);
      assert.equal(gateway.received.at(-1), packet);
      client.device.setVariant(1, undefined);
      const [lost] = client.send(gateway);
      world.run(SECOND);
      assert.notEqual(gateway.received.at(-1), lost, 'plain WireGuard does not pass by the port of a variant');
    });
  });

  test('another variant, or one port’s datagram at the other, reaches nothing and makes nothing', () => {
    withSeed((random) => {
      const { world, gateway, client, variant } = gatewayAndClient(random);
      client.device.setVariant(1, { ...variant, h1: (variant.h1 ^ 0x80) >>> 0 });
      client.send(gateway);
      world.run(SECOND);
      assert.equal(gateway.messages.length, 0);
      assert.equal(gateway.dropped('unknownMessageType') + gateway.dropped('malformedDatagram'), variant.jc + 1);
      client.device.setVariant(1, undefined);
      client.startHandshake(gateway);
      world.run(SECOND);
      assert.equal(gateway.messages.length, 0);
      assert.equal(client.eventsOf('established').length, 0);
    });
  });

  test('a configuration names what it changes of the first listener’s variant, and a wrong one changes nothing', () => {
    withSeed((random) => {
      const { world, gateway } = gatewayAndClient(random);
      const apply = (variant: Partial<Variant>): string | undefined =>
        gateway.device.apply({ ...UNCHANGED_DEVICE, variant }, world.now);
      assert.equal(gateway.device.variant(0), undefined);
      assert.equal(apply({ jc: 3, jmax: 9, h1: 77 }), undefined);
      assert.equal(apply({ s2: 5 }), undefined);
      assert.deepEqual(gateway.device.variant(0), { ...PLAIN_VARIANT, jc: 3, jmax: 9, h1: 77, s2: 5 });
      assert.equal(apply({ h2: 77 }), 'invalidVariant');
      assert.equal(gateway.device.variant(0)?.h2, 2);
      assert.equal(apply(PLAIN_VARIANT), undefined);
      assert.equal(gateway.device.variant(0), undefined);
      assert.throws(() => gateway.device.setVariant(1, { ...PLAIN_VARIANT, jc: 1000 }), RangeError);
    });
  });

  test('under load a cookie is asked for and given in the variant', () => {
    withSeed((random) => {
      const { world, gateway, client } = gatewayAndClient(random);
      gateway.device.sessions.noteBacklog(1000, world.now);
      client.send(gateway);
      world.run(500);
      assert.deepEqual(
        gateway.messages.map(({ type }) => type),
        [MESSAGE_COOKIE_REPLY],
      );
      gateway.device.sessions.noteBacklog(1000, world.now + 5 * SECOND);
      world.run(10 * SECOND);
      assert.ok(client.eventsOf('established').length > 0, 'the cookie opened the way');
    });
  });
});

describe('a probe', () => {
  test('that is answered moves the peer, and one that is not changes nothing', () => {
    withSeed((random) => {
      const { world, gateway, client } = gatewayAndClient(random);
      client.send(gateway);
      world.run(SECOND);
      const established = client.eventsOf('established').length;
      assert.ok(client.probe(gateway, '192.0.2.99:51820'));
      world.run(20 * SECOND);
      assert.equal(world.network.counts.unreachable, 1, 'one initiation, not sent again');
      assert.equal(client.eventsOf('established').length, established);
      assert.equal(listenerOf(client, gateway), 1);
      const [packet] = client.send(gateway);
      world.run(SECOND);
      assert.equal(gateway.received.at(-1), packet);

      assert.ok(client.probe(gateway, gateway.address, 0));
      world.run(SECOND);
      assert.equal(listenerOf(client, gateway), 0);
      assert.equal(listenerOf(gateway, client), 0);
      const [next] = client.send(gateway);
      const [answer] = gateway.send(client);
      world.run(SECOND);
      assert.equal(gateway.received.at(-1), next);
      assert.equal(client.received.at(-1), answer);
    });
  });

  test('goes on beside a handshake of the peer’s own, and forgets its key when nobody answers', () => {
    withSeed((random) => {
      const { world, gateway, client } = gatewayAndClient(random);
      client.probe(gateway, '192.0.2.99:51820');
      client.send(gateway);
      world.run(SECOND);
      assert.equal(client.eventsOf('established').length, 1);
      // The answer to a probe may come after that of a handshake that began later.
      world.network.conditions = (_from, to) => ({ ...PERFECT_NETWORK, delayMs: to === gateway.address ? 300 : 20 });
      client.probe(gateway, gateway.address, 0);
      client.startHandshake(gateway);
      world.run(SECOND);
      assert.equal(client.eventsOf('established').length, 3);
      assert.equal(listenerOf(client, gateway), 0);
      world.network.conditions = () => PERFECT_NETWORK;
      client.connect(gateway, { endpoint: gateway.secondAddress, listener: 1 });
      client.startHandshake(gateway);
      world.run(SECOND);
      // A late answer to what was given up finds nothing.
      world.network.conditions = (from) => ({ ...PERFECT_NETWORK, delayMs: from === gateway.address ? 6000 : 20 });
      client.probe(gateway, gateway.address, 0);
      world.run(8 * SECOND);
      assert.equal(client.dropped('unknownReceiver'), 1);
      assert.equal(listenerOf(client, gateway), 1);
    });
  });
});

describe('a handshake that is asked for', () => {
  test('begins at once, is sent again until it is answered, and needs the interface to be up', () => {
    withSeed((random) => {
      const { world, gateway, client } = gatewayAndClient(random);
      world.network.conditions = () => ({ ...PERFECT_NETWORK, loss: 1 });
      assert.ok(client.startHandshake(gateway));
      world.run(14 * SECOND);
      const initiations = client.messages.filter(({ type }) => type === MESSAGE_INITIATION);
      assert.equal(initiations.length, 3);
      world.network.conditions = () => PERFECT_NETWORK;
      assert.ok(client.startHandshake(gateway));
      world.run(300);
      assert.equal(client.eventsOf('established').length, 1, 'without waiting for the timer');
      const activity = client.device.activityOf(gateway.publicKey);
      assert.ok(
        activity !== undefined && activity.lastReceivedAt > world.now - 300 && activity.lastReceivedAt <= world.now,
      );
      client.stop();
      assert.equal(client.startHandshake(gateway), false);
      assert.equal(client.probe(gateway, gateway.address), false);
    });
  });

  test('many in a row are no flood', () => {
    withSeed((random) => {
      const { world, gateway, client } = gatewayAndClient(random);
      world.network.conditions = () => ({ ...PERFECT_NETWORK, loss: 1 });
      world.repeat(100, 10, () => client.startHandshake(gateway));
      world.run(1100);
      const initiations = client.messages.filter(({ type }) => type === MESSAGE_INITIATION);
      assert.ok(initiations.length >= 3 && initiations.length <= 5, `${initiations.length} initiations`);
    });
  });
});
