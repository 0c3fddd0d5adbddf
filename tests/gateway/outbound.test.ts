/** The way out: where packets go, what is refused, and that nothing is lost when the output area is full. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbound } from '@sallyport/gateway';
import {
  assertSamePackets,
  buildPacket,
  buildSuperFrame,
  concat,
  expectedSegments,
  TCP,
  UDP,
} from '../wire/packets.ts';
import { MTU, Rig } from './rig.ts';

const GSO_TCPV4 = 1;
const inside = Uint8Array.of(10, 9, 9, 9);
const inside6 = Uint8Array.of(0xfd, ...new Array<number>(15).fill(1));
const toFirst = (version: 4 | 6, tos = 0): Uint8Array =>
  buildPacket({
    version,
    protocol: UDP,
    destination: version === 4 ? inside : inside6,
    tos,
    payload: new Uint8Array(50),
  });
/** A super-packet from and to the first session. */
const superShape = (sequence: number, bytes: number) => ({
  version: 4 as const,
  protocol: TCP,
  destination: inside,
  sequence,
  payload: Uint8Array.from({ length: bytes }, (_, i) => i * 7 + sequence),
});

for (const version of [4, 6] as const) {
  test(`IPv${String(version)}: a packet leaves sealed for the session of its destination`, () => {
    const rig = new Rig();
    rig.putPacket(toFirst(version));
    rig.outbound.flush();
    assert.equal(rig.sent.length, 1);
    assert.equal(rig.sent[0].bytes[4], 17, 'the receiver index of the first session');
    // The default destination of a built packet is the second session's.
    rig.putPacket(buildPacket({ version, protocol: UDP }));
    rig.outbound.flush();
    assert.equal(rig.sent[1].bytes[4], 18);
  });

  test(`IPv${String(version)}: only the ECN bits of a packet show outside`, () => {
    const rig = new Rig();
    for (const tos of [0xb8, 0xb9, 0xba, 0xbb]) rig.putPacket(toFirst(version, tos));
    rig.outbound.flush();
    assert.deepEqual(
      rig.sent.map(({ ecn }) => ecn),
      [0, 1, 2, 3],
    );
  });

  test(`IPv${String(version)}: a packet that nobody's address holds comes back whole`, () => {
    const rig = new Rig();
    const destination = version === 4 ? Uint8Array.of(203, 0, 113, 5) : new Uint8Array(16).fill(0x33);
    const packet = buildPacket({ version, protocol: UDP, destination, payload: new Uint8Array(9) });
    rig.putPacket(packet);
    rig.outbound.flush();
    assert.deepEqual(
      rig.refused.map(({ reason }) => reason),
      ['noRoute'],
    );
    assertSamePackets([rig.refused[0].packet], [packet]);
    assert.equal(rig.sent.length, 0);
  });
}

test('frames that are no IP packet, or not what their header says, are counted and nothing leaves', () => {
  const rig = new Rig();
  const packet = toFirst(4);
  rig.putPacket(packet.subarray(0, 19));
  rig.putPacket(toFirst(6).subarray(0, 39));
  rig.putPacket(concat(Uint8Array.of(0x75), packet.subarray(1)));
  assert.deepEqual(rig.drops.splice(0), ['malformedPacket', 'malformedPacket', 'malformedPacket']);
  rig.putPacket(packet.subarray(0, packet.length - 1));
  rig.putFrame(buildSuperFrame(superShape(0, 3000), GSO_TCPV4, 0));
  rig.putFrame(buildSuperFrame(superShape(0, 3000), 77, 1000));
  rig.outbound.flush();
  assert.deepEqual(rig.drops, ['malformedFrame', 'malformedFrame', 'malformedFrame']);
  assert.equal(rig.sent.length, 0);
});

test('a malformed frame behind a good one costs the good one nothing', () => {
  const rig = new Rig();
  rig.putPacket(toFirst(4));
  rig.putFrame(buildSuperFrame(superShape(0, 3000), GSO_TCPV4, 0));
  rig.putPacket(toFirst(4));
  rig.outbound.flush();
  assert.equal(rig.sent.length, 2);
  for (const { bytes } of rig.sent) rig.receive([bytes]);
  assert.deepEqual(rig.drops, ['malformedFrame']);
  assertSamePackets(rig.written, [toFirst(4), toFirst(4)]);
});

test('super-packets: more than the output area holds, and every segment arrives, in order', () => {
  const rig = new Rig();
  const { u8 } = rig.arena;
  const gsoSize = MTU - 40;
  const expected: Uint8Array[] = [];
  const around = 64;
  u8.fill(0xcc, rig.area + Outbound.areaBytes - around, rig.area + Outbound.areaBytes);
  for (let i = 0; i < 20; i++) {
    const shape = superShape(i * 65_000, 65_000);
    rig.putFrame(buildSuperFrame(shape, GSO_TCPV4, gsoSize));
    expected.push(...expectedSegments(shape, gsoSize));
  }
  assert.ok(rig.flushes > 0, 'the area was full in between');
  rig.outbound.flush();
  assert.equal(rig.sent.length, expected.length);
  assert.ok(
    rig.sent.every(({ bytes }) => bytes.length <= MTU + 32),
    'no datagram is above the MTU',
  );
  for (const { bytes } of rig.sent) rig.receive([bytes]);
  assert.deepEqual(rig.drops, []);
  assertSamePackets(rig.written, expected);
  const margin = u8.subarray(rig.area + Outbound.areaBytes - around, rig.area + Outbound.areaBytes);
  assert.ok(
    margin.every((byte) => byte === 0xcc),
    'nothing is written past the area',
  );
});

test('a frame of the smallest segments fits an empty area', () => {
  const rig = new Rig();
  const shape = superShape(1, 1000 * 8);
  rig.putFrame(buildSuperFrame(shape, GSO_TCPV4, 8));
  rig.outbound.flush();
  assert.deepEqual(rig.drops, []);
  assert.equal(rig.sent.length, 1000);
});

test('single packets: the area is sent before it runs over, and nothing outside it is written', () => {
  const rig = new Rig();
  const { u8 } = rig.arena;
  const margin = 64;
  const outside = [
    [rig.area - 256, rig.area],
    [rig.area + Outbound.areaBytes - margin, rig.area + Outbound.areaBytes + 8192],
  ];
  for (const [from, to] of outside) u8.fill(0xcc, from, to);
  const packet = buildPacket({ version: 4, protocol: UDP, destination: inside, payload: new Uint8Array(1000) });
  for (let i = 0; i < 1000; i++) rig.putPacket(packet);
  rig.outbound.flush();
  assert.ok(rig.flushes > 1);
  assert.equal(rig.sent.length, 1000);
  for (const [from, to] of outside) assert.ok(u8.subarray(from, to).every((byte) => byte === 0xcc));
});
