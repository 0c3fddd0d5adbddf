// Mutated messages of the tunnel service: the decoder, and what the gateway decides. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import type { DevicePlan } from '@sallyport/policy';
import { SeededRandom } from '@sallyport/testkit';
import {
  CIPHERTEXT_BYTES,
  decodeMessage,
  ENCAPSULATION_KEY_BYTES,
  encodeMessage,
  type TunnelServiceMessage,
} from '@sallyport/tunnel-service';
import { Talks } from '../../packages/agent/src/tunnel-service/talks.ts';

const DEVICE: DevicePlan = { id: 'd', publicKey: `${'A'.repeat(43)}=`, ipv4: '10.7.0.2', ipv6: 'fd07::2', groups: [] };
const SOURCES = [DEVICE.ipv4, DEVICE.ipv6, '10.7.0.3', '192.0.2.1', '::ffff:10.7.0.2', 'fe80::1%lo', 'nonsense', ''];

export function fuzzTunnelService(iterations: number, seed: number): { accepted: number; dropped: number } {
  const random = new SeededRandom(seed);
  const devices = new Map([[DEVICE.id, DEVICE]]);
  const talks = new Talks({ devices: () => devices, draining: () => random.chance(0.5), mtu: 1420 }, 0);
  let now = 0;
  let accepted = 0;
  let dropped = 0;
  for (let i = 0; i < iterations; i++) {
    try {
      const bytes = mutatedMessage(random);
      const message = decodeMessage(bytes);
      if (message === undefined) dropped++;
      else {
        accepted++;
        const again = encodeMessage(message);
        assert.equal(again.length, bytes.length);
        assert.deepEqual(decodeMessage(again), message);
      }
      const source = random.pick(SOURCES);
      const decision = talks.hear(bytes, source, (now += random.below(100)));
      if (decision === undefined) continue;
      assert.ok(message !== undefined && [DEVICE.ipv4, DEVICE.ipv6].includes(source), 'an answer to nobody');
      // Nobody gets more out of it than was put in, so that it amplifies nothing.
      if (decision.kind === 'answer') assert.ok(decision.bytes.length <= bytes.length);
      if (decision.kind === 'limitMtu') talks.limited(decision, now);
      if (decision.kind === 'agreeKey') talks.agreed(decision, random.bytes(CIPHERTEXT_BYTES), now);
      if (random.chance(0.01)) talks.lapse(now);
    } catch (cause) {
      throw new Error(`iteration ${String(i)} of seed ${String(seed)}: ${String(cause)}`, { cause });
    }
  }
  return { accepted, dropped };
}

export function randomMessage(random: SeededRandom): TunnelServiceMessage {
  const id = (BigInt(random.u32()) << 32n) | BigInt(random.u32());
  switch (random.below(6)) {
    case 0:
      return { kind: 'ping', id, padding: 1 + random.below(2000) };
    case 1:
      return { kind: 'pong', id, padding: 1 + random.below(2000), draining: random.chance(0.5) };
    case 2:
      return { kind: 'keyRequest', id, encapsulationKey: random.bytes(ENCAPSULATION_KEY_BYTES) };
    case 3:
      return { kind: 'keyAnswer', id, ciphertext: random.bytes(CIPHERTEXT_BYTES) };
    case 4:
      return { kind: 'pathMtu', id, mtu: random.below(65_536) };
    default:
      return { kind: 'pathMtuTaken', id };
  }
}

function mutatedMessage(random: SeededRandom): Uint8Array {
  if (random.chance(0.1)) return random.bytes(random.below(40));
  const bytes = encodeMessage(randomMessage(random));
  for (let n = random.below(3); n > 0; n--) bytes[random.below(Math.min(bytes.length, 16))] = random.u32();
  return random.chance(0.3) ? bytes.slice(0, random.below(bytes.length + 1)) : bytes;
}
