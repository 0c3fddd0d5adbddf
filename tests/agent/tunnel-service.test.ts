import assert from 'node:assert/strict';
import { decapsulate, generateKeyPairSync, hkdfSync } from 'node:crypto';
import { describe, test } from 'node:test';
import type { DevicePlan } from '@sallyport/policy';
import { decodeMessage, encodeMessage, ENCAPSULATION_KEY_BYTES } from '@sallyport/tunnel-service';
import type { TunnelServiceMessage } from '@sallyport/tunnel-service';
import { agree } from '../../packages/agent/src/tunnel-service/post-quantum.ts';
import { Talks, type Decision } from '../../packages/agent/src/tunnel-service/talks.ts';
import { device } from './agent-world.ts';

const MTU = 1420;
const START = 1_700_000_000_000;
const KEY = new Uint8Array(ENCAPSULATION_KEY_BYTES).fill(1);

class World {
  now = START;
  draining = false;
  devices: ReadonlyMap<string, DevicePlan>;
  readonly talks: Talks;

  constructor(...devices: DevicePlan[]) {
    this.devices = mapOf(devices);
    this.talks = new Talks({ devices: () => this.devices, draining: () => this.draining, mtu: MTU }, this.now);
  }

  hear(message: TunnelServiceMessage, from = device(1).ipv4): Decision | undefined {
    return this.talks.hear(encodeMessage(message), from, this.now);
  }

  /** The answer that is sent at once. */
  answer(message: TunnelServiceMessage, from = device(1).ipv4): TunnelServiceMessage | undefined {
    const decision = this.hear(message, from);
    return decision?.kind === 'answer' ? decodeMessage(decision.bytes) : undefined;
  }

  /** Has a limit set, as the kernel would. */
  limit(mtu: number, from = device(1).ipv4): void {
    const decision = this.hear({ kind: 'pathMtu', id: 1n, mtu }, from);
    assert.equal(decision?.kind, 'limitMtu');
    assert.deepEqual(decodeMessage(this.talks.limited(decision, this.now) as Uint8Array), { kind: 'pathMtuTaken', id: 1n }); // prettier-ignore
  }
}

function mapOf(devices: readonly DevicePlan[]): ReadonlyMap<string, DevicePlan> {
  return new Map(devices.map((one) => [one.id, one]));
}

const ping = (padding = 1, id = 1n): TunnelServiceMessage => ({ kind: 'ping', id, padding });

describe('pings', () => {
  test('are answered at the same length, with whether the gateway wants to be left', () => {
    const world = new World(device(1));
    assert.deepEqual(world.answer(ping(100, 7n)), { kind: 'pong', id: 7n, padding: 100, draining: false });
    world.draining = true;
    assert.deepEqual(world.answer(ping(), device(1).ipv6), { kind: 'pong', id: 1n, padding: 1, draining: true });
  });

  test('of strangers, and of whoever is one from now on, are not', () => {
    const world = new World(device(1));
    for (const from of [device(2).ipv4, '192.0.2.1', 'fe80::1%tun0', '::ffff:100.64.0.2', '', 'x'])
      assert.equal(world.hear(ping(), from), undefined);
    world.devices = mapOf([device(2)]);
    assert.equal(world.hear(ping()), undefined);
    assert.ok(world.answer(ping(), device(2).ipv4) !== undefined);
  });

  test('are held to a rate, each device to its own', () => {
    const world = new World(device(1), device(2));
    const answered = (count: number, from: string): number =>
      Array.from({ length: count }, () => world.answer(ping(), from)).filter((pong) => pong !== undefined).length;
    assert.equal(answered(100, device(1).ipv4), 40);
    assert.equal(answered(10, device(1).ipv6), 0);
    assert.equal(answered(10, device(2).ipv4), 10);
    world.now += 1000;
    assert.equal(answered(100, device(1).ipv4), 20);
    // A clock that is set back gives nothing, and takes nothing either.
    world.now -= 3_600_000;
    assert.equal(answered(10, device(1).ipv4), 0);
    world.now += 1000;
    assert.equal(answered(100, device(1).ipv4), 20);
  });

  test('longer than what the tunnel carries to the device are not answered, for the answer would not come', () => {
    const world = new World(device(1));
    const fits = (packet: number, family: 4 | 6): boolean => {
      const headers = family === 4 ? 28 : 48;
      return world.answer(ping(packet - headers - 12), family === 4 ? device(1).ipv4 : device(1).ipv6) !== undefined;
    };
    assert.ok(fits(MTU, 4) && fits(MTU, 6) && !fits(MTU + 1, 4) && !fits(MTU + 1, 6));
    world.limit(1300);
    assert.ok(fits(1300, 4) && fits(1300, 6) && !fits(1301, 4) && !fits(1301, 6));
    world.limit(9000);
    assert.ok(fits(MTU, 4));
  });
});

describe('keys', () => {
  test('both ends derive the same from what OpenSSL agrees, and other ends another', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ml-kem-768');
    const raw = publicKey.export({ format: 'der', type: 'spki' }).subarray(-ENCAPSULATION_KEY_BYTES);
    const [gateway, peer] = [1, 2].map((byte) => Buffer.alloc(32, byte).toString('base64')) as [string, string];
    const agreement = agree(raw, gateway, peer);
    assert.ok(agreement !== undefined);
    const shared = decapsulate(privateKey, agreement.ciphertext);
    const info = Buffer.concat([Buffer.from('sallyport psk v1'), Buffer.alloc(32, 1), Buffer.alloc(32, 2)]);
    const expected = new Uint8Array(hkdfSync('sha256', shared, '', info, 32));
    assert.deepEqual(agreement.presharedKey.reveal(), expected);
    assert.notDeepEqual(agree(raw, gateway, peer)?.presharedKey.reveal(), expected, 'each agreement is a new one');
  });

  test('what is no encapsulation key is none', () => {
    for (const bytes of [new Uint8Array(0), new Uint8Array(1183), new Uint8Array(ENCAPSULATION_KEY_BYTES).fill(0xff)])
      assert.equal(agree(bytes, '', ''), undefined);
  });

  test('the same request has the same answer; another under its number is another', () => {
    const world = new World(device(1));
    const request: TunnelServiceMessage = { kind: 'keyRequest', id: 9n, encapsulationKey: KEY };
    const decision = world.hear(request);
    assert.equal(decision?.kind, 'agreeKey');
    assert.equal(decision.device.id, 'd1');
    const ciphertext = new Uint8Array(1088).fill(5);
    const bytes = world.talks.agreed(decision, ciphertext, world.now);
    assert.deepEqual(decodeMessage(bytes), { kind: 'keyAnswer', id: 9n, ciphertext });
    for (let i = 0; i < 10; i++) assert.deepEqual(world.answer(request), { kind: 'keyAnswer', id: 9n, ciphertext });
    assert.equal(world.hear({ ...request, encapsulationKey: KEY.with(0, 2) })?.kind, 'agreeKey');
    world.now += 60_001;
    assert.equal(world.hear(request)?.kind, 'agreeKey');
  });

  test('are agreed three times at once, and every five seconds', () => {
    const world = new World(device(1));
    let id = 0n;
    const asked = (count: number): number =>
      Array.from({ length: count }, () => world.hear({ kind: 'keyRequest', id: ++id, encapsulationKey: KEY })).filter(
        (decision) => decision !== undefined,
      ).length;
    assert.equal(asked(10), 3);
    world.now += 5000;
    assert.equal(asked(10), 1);
    world.now += 60_000;
    assert.equal(asked(10), 3);
  });

  test('another key of the device starts afresh', () => {
    const world = new World(device(1));
    const request: TunnelServiceMessage = { kind: 'keyRequest', id: 9n, encapsulationKey: KEY };
    const decision = world.hear(request) as Extract<Decision, { kind: 'agreeKey' }>;
    world.talks.agreed(decision, new Uint8Array(1088), world.now);
    assert.ok(world.answer(request) !== undefined);
    world.devices = mapOf([device(1, { publicKey: Buffer.alloc(32, 9).toString('base64') })]);
    assert.equal(world.hear(request)?.kind, 'agreeKey');
  });
});

describe('the largest packet to a device', () => {
  test('is at least what IPv6 needs; the tunnel’s own, or more, is no limit', () => {
    const world = new World(device(1));
    assert.equal(world.hear({ kind: 'pathMtu', id: 1n, mtu: 1279 }), undefined);
    assert.equal(
      world.answer({ kind: 'pathMtu', id: 2n, mtu: MTU })?.kind,
      'pathMtuTaken',
      'there is none to take back',
    );
    const decision = world.hear({ kind: 'pathMtu', id: 3n, mtu: 1280 });
    assert.deepEqual(decision?.kind === 'limitMtu' && decision.mtu, 1280);
  });

  test('is set once, and again when it is another', () => {
    const world = new World(device(1));
    world.limit(1300);
    assert.equal(world.answer({ kind: 'pathMtu', id: 2n, mtu: 1300 })?.kind, 'pathMtuTaken');
    const decision = world.hear({ kind: 'pathMtu', id: 3n, mtu: MTU });
    assert.deepEqual(decision?.kind === 'limitMtu' && decision.mtu, null);
  });

  test('goes with the device, with its addresses, and ten minutes after its last word', () => {
    const world = new World(device(1), device(2), device(3));
    for (const number of [1, 2, 3]) world.limit(1300, device(number).ipv4);
    assert.deepEqual(world.talks.lapse(world.now), []);
    world.devices = mapOf([device(1), device(2, { ipv4: '100.64.0.99' }), device(3)]);
    const left = ({ ipv4, ipv6 }: DevicePlan) => ({ ipv4, ipv6 });
    assert.deepEqual(world.talks.lapse(world.now), [left(device(2))]);
    world.devices = mapOf([device(1), device(2)]);
    assert.deepEqual(world.talks.lapse(world.now), [left(device(3))]);
    world.now += 9 * 60_000;
    assert.ok(world.answer(ping()) !== undefined);
    world.now += 9 * 60_000;
    assert.deepEqual(world.talks.lapse(world.now), []);
    world.now += 2 * 60_000;
    assert.deepEqual(world.talks.lapse(world.now), [left(device(1))]);
    assert.deepEqual(world.talks.lapse(world.now), []);
  });

  test('of who speaks before anybody looked goes too, unless the address has passed to one with a limit', () => {
    const world = new World(device(1));
    world.limit(1300);
    world.devices = mapOf([device(1, { ipv4: '100.64.0.99' }), device(5, { ipv4: device(1).ipv4 })]);
    assert.ok(world.answer(ping(), '100.64.0.99') !== undefined);
    world.limit(1290, device(1).ipv4);
    assert.deepEqual(world.talks.lapse(world.now), []);
    world.devices = mapOf([device(1, { ipv4: '100.64.0.99' })]);
    assert.deepEqual(world.talks.lapse(world.now), [{ ipv4: device(1).ipv4, ipv6: device(5).ipv6 }]);
  });

  test('of a device that is gone when the kernel has it has to go again', () => {
    const world = new World(device(1));
    const decision = world.hear({ kind: 'pathMtu', id: 1n, mtu: 1300 }) as Extract<Decision, { kind: 'limitMtu' }>;
    world.devices = new Map();
    assert.equal(world.talks.limited(decision, world.now), undefined);
  });
});
