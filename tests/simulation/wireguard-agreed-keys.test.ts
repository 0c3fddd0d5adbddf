import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Secret } from '../../packages/core/src/index.ts';
import { withSeed, type SeededRandom } from '../../packages/testkit/src/seeded-random.ts';
import { PERFECT_NETWORK } from '../../packages/testkit/src/simulated-network.ts';
import { MESSAGE_INITIATION } from '../../packages/wireguard/src/messages.ts';
import { UNCHANGED_DEVICE, UNCHANGED_PEER } from '../../packages/wireguard/src/uapi.ts';
import type { SimulatedPeer } from './simulated-peer.ts';
import { pairOf, type World } from './world.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

function agree(peer: SimulatedPeer, other: SimulatedPeer, key: Uint8Array | undefined): void {
  assert.ok(peer.device.setAgreedKey(other.publicKey, key && new Secret(key.slice())));
}

/** Whether each of the two says that its session was made with an agreed key. */
function agreed(a: SimulatedPeer, b: SimulatedPeer): (boolean | undefined)[] {
  return [a.device.activityOf(b.publicKey)?.sessionAgreed, b.device.activityOf(a.publicKey)?.sessionAgreed];
}

function initiationsOf(peer: SimulatedPeer): number {
  return peer.messages.filter(({ type }) => type === MESSAGE_INITIATION).length;
}

/** A client with a session with its gateway. */
function connected(random: SeededRandom): { world: World; client: SimulatedPeer; gateway: SimulatedPeer } {
  const { world, a: client, b: gateway } = pairOf(random);
  client.send(gateway);
  world.run(SECOND);
  assert.equal(gateway.received.length, 1);
  return { world, client, gateway };
}

/** Both ways, now. */
function assertCarries(world: World, a: SimulatedPeer, b: SimulatedPeer): void {
  const [there] = a.send(b);
  const [back] = b.send(a);
  world.run(SECOND);
  assert.equal(b.received.at(-1), there);
  assert.equal(a.received.at(-1), back);
}

describe('agreed keys', () => {
  test('are used from the next handshake on, and kept by changes of other things', () => {
    withSeed((random) => {
      const { world, client, gateway } = connected(random);
      assert.deepEqual(agreed(client, gateway), [false, false]);
      const key = random.bytes(32);
      agree(gateway, client, key);
      agree(client, gateway, key);
      assert.deepEqual(agreed(client, gateway), [false, false], 'the session is still the one without');
      client.startHandshake(gateway);
      world.run(SECOND);
      assert.deepEqual(agreed(client, gateway), [true, true]);
      assertCarries(world, client, gateway);
      client.setPersistentKeepalive(gateway, 25);
      world.run(20 * MINUTE);
      assert.deepEqual(agreed(client, gateway), [true, true], 'after renewals');
      const [activity] = client.device.peerActivity();
      assert.equal(activity.sessionAgreed, true);
    });
  });

  test('stand beside the configured key', () => {
    withSeed((random) => {
      const { world, client, gateway } = connected(random);
      const presharedKey = random.bytes(32);
      client.connect(gateway, { presharedKey });
      gateway.connect(client, { presharedKey });
      const key = random.bytes(32);
      agree(gateway, client, key);
      client.startHandshake(gateway);
      world.run(30 * SECOND);
      assert.deepEqual(agreed(client, gateway), [false, false]);
      agree(client, gateway, key);
      client.startHandshake(gateway);
      world.run(SECOND);
      assert.deepEqual(agreed(client, gateway), [true, true]);
    });
  });

  test('a client that lost its key gets back in with its third initiation, and can agree anew', () => {
    withSeed((random) => {
      const { world, client, gateway } = connected(random);
      const key = random.bytes(32);
      agree(gateway, client, key);
      agree(client, gateway, key);
      client.startHandshake(gateway);
      world.run(SECOND);
      client.restart();
      client.connect(gateway, { endpoint: gateway.address });
      const before = initiationsOf(client);
      client.send(gateway);
      world.run(9 * SECOND);
      assert.equal(client.eventsOf('established').length, 2, 'the first two answers are of no use');
      world.run(4 * SECOND);
      assert.equal(initiationsOf(client) - before, 3);
      assert.deepEqual(agreed(client, gateway), [false, false]);
      assertCarries(world, client, gateway);

      const next = random.bytes(32);
      agree(gateway, client, next);
      agree(client, gateway, next);
      client.startHandshake(gateway);
      world.run(SECOND);
      assert.deepEqual(agreed(client, gateway), [true, true], 'the first answer, the count begun anew');
    });
  });

  test('a client without the key goes on for hours, as renewals begin in good time', () => {
    withSeed((random) => {
      const { world, client, gateway } = connected(random);
      agree(gateway, client, random.bytes(32));
      const sent: string[] = [];
      world.repeat(3600, 2 * SECOND, () => sent.push(...client.send(gateway)));
      world.run(121 * MINUTE);
      assert.deepEqual(gateway.received.slice(1), sent);
    });
  });

  test('a gateway that lost its keys is answered without', () => {
    withSeed((random) => {
      const { world, client, gateway } = connected(random);
      const key = random.bytes(32);
      agree(client, gateway, key);
      agree(gateway, client, key);
      gateway.restart();
      const before = initiationsOf(client);
      client.startHandshake(gateway);
      world.run(SECOND);
      assert.equal(initiationsOf(client) - before, 1);
      assert.deepEqual(agreed(client, gateway), [false, false]);
      assertCarries(world, client, gateway);
    });
  });

  test('the key before the newest is good for a response, the one before that is not', () => {
    withSeed((random) => {
      const { world, client, gateway } = connected(random);
      const [first, second, third] = [random.bytes(32), random.bytes(32), random.bytes(32)];
      agree(gateway, client, first);
      agree(client, gateway, first);
      agree(client, gateway, second);
      agree(client, gateway, second); // again: nothing changes
      client.startHandshake(gateway);
      world.run(SECOND);
      assert.deepEqual(agreed(client, gateway), [true, true]);
      agree(client, gateway, third);
      const established = client.eventsOf('established').length;
      client.startHandshake(gateway);
      world.run(SECOND);
      assert.equal(client.eventsOf('established').length, established);
    });
  });

  test('two lost responses cost one session the agreed key, no more', () => {
    withSeed((random) => {
      const { world, client, gateway } = connected(random);
      const key = random.bytes(32);
      agree(gateway, client, key);
      agree(client, gateway, key);
      world.network.conditions = (from) => ({ ...PERFECT_NETWORK, loss: from === gateway.address ? 1 : 0 });
      client.startHandshake(gateway);
      world.run(9 * SECOND);
      world.network.conditions = () => PERFECT_NETWORK;
      world.run(4 * SECOND);
      assert.deepEqual(agreed(client, gateway), [false, false]);
      client.startHandshake(gateway);
      world.run(SECOND);
      assert.deepEqual(agreed(client, gateway), [true, true]);
    });
  });

  test('confirmed responses never count, however often handshakes follow one another', () => {
    withSeed((random) => {
      const { world, client, gateway } = connected(random);
      const key = random.bytes(32);
      agree(gateway, client, key);
      agree(client, gateway, key);
      for (let i = 0; i < 20; i++) {
        client.startHandshake(gateway);
        world.run(300);
        assert.deepEqual(agreed(client, gateway), [true, true], `handshake ${i}`);
      }
    });
  });

  test('agreeing all the time, at different moments and with one side missing it at times, loses no packet', () => {
    withSeed((random) => {
      const { world, client, gateway } = connected(random);
      const sent: string[] = [];
      const back: string[] = [];
      world.repeat(3000, 100, () => {
        sent.push(...client.send(gateway));
        back.push(...gateway.send(client));
      });
      world.repeat(60, 5 * SECOND, () => {
        const key = random.bytes(32);
        agree(gateway, client, key);
        if (random.chance(0.8))
          world.clock.after(random.below(400), () => {
            agree(client, gateway, key);
            client.startHandshake(gateway);
            if (random.chance(0.3)) gateway.startHandshake(client);
          });
      });
      world.run(302 * SECOND);
      assert.deepEqual(gateway.received.slice(1), sent);
      assert.deepEqual(client.received, back);
      world.assertBounded();
    });
  });

  test('keys that differ make no session where the configured ones differ too', () => {
    withSeed((random) => {
      const { world, client, gateway } = connected(random);
      client.connect(gateway, { presharedKey: random.bytes(32) });
      agree(client, gateway, random.bytes(32));
      agree(gateway, client, random.bytes(32));
      const established = client.eventsOf('established').length;
      client.startHandshake(gateway);
      world.run(MINUTE);
      assert.equal(client.eventsOf('established').length, established);
    });
  });

  test('go with the peer, with the private key, and when they are taken back', () => {
    withSeed((random) => {
      const { world, client, gateway } = connected(random);
      const key = random.bytes(32);
      const [a, b] = [client.device, gateway.device];
      const handshake = (): (boolean | undefined)[] => {
        client.startHandshake(gateway);
        world.run(15 * SECOND);
        return agreed(client, gateway);
      };
      const both = (): void => {
        agree(gateway, client, key);
        agree(client, gateway, key);
      };
      both();
      assert.deepEqual(handshake(), [true, true]);
      agree(client, gateway, undefined);
      assert.deepEqual(handshake(), [false, false]);
      both();
      client.disconnect(gateway);
      assert.equal(a.setAgreedKey(gateway.publicKey, new Secret(key.slice())), false);
      assert.equal(a.activityOf(gateway.publicKey), undefined);
      client.connect(gateway, { endpoint: gateway.address });
      assert.deepEqual(handshake(), [false, false]);
      both();
      assert.deepEqual(handshake(), [true, true]);
      // The same private key again changes nothing; none and then the same one does.
      const same = b.privateKey?.reveal().slice();
      assert.ok(same !== undefined);
      const apply = (privateKey: Uint8Array): void => {
        b.apply({ ...UNCHANGED_DEVICE, privateKey: new Secret(privateKey.slice()) }, world.now);
      };
      apply(same);
      assert.deepEqual(handshake(), [true, true]);
      apply(new Uint8Array(32));
      apply(same);
      assert.deepEqual(handshake(), [false, false]);
      both();
      assert.equal(
        b.apply({ ...UNCHANGED_DEVICE, peers: [{ ...UNCHANGED_PEER, publicKey: client.publicKey }] }, world.now),
        undefined,
      );
      assert.deepEqual(handshake(), [true, true]);
      assert.throws(() => a.setAgreedKey(gateway.publicKey, new Secret(new Uint8Array(31))), RangeError);
    });
  });
});
