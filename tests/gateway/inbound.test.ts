/** The way in: what is refused, what is counted, and what reaches TUN. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { PATH_PORT } from '@sallyport/core';
import { PEER_ENDPOINT } from '../../packages/wireguard/src/layout.ts';
import { assertSamePackets, buildPacket, UDP, type PacketShape } from '../wire/packets.ts';
import { PORT, Rig } from './rig.ts';

const payload = Uint8Array.from({ length: 101 }, (_, i) => i);
/** From an address of the first session, whatever else is changed about it. */
const fromFirst = (version: 4 | 6, more: Partial<PacketShape> = {}): Uint8Array =>
  buildPacket({ version, protocol: UDP, payload, ...more });
const ofSecond4 = Uint8Array.of(192, 0, 2, 9);
const ofSecond6 = Uint8Array.of(0x20, 1, 0xd, 0xb8, ...new Array<number>(11).fill(0), 9);
const ofNobody = Uint8Array.of(203, 0, 113, 1);

for (const version of [4, 6] as const) {
  test(`IPv${String(version)}: a packet reaches TUN as it was, without its padding`, () => {
    const rig = new Rig();
    const packet = fromFirst(version);
    assert.notEqual(packet.length % 16, 0);
    const datagram = rig.seal(packet, rig.sessions[0]);
    assert.equal(datagram.length % 16, 0, 'it was padded');
    rig.receive([datagram]);
    assertSamePackets(rig.written, [packet]);
    assert.deepEqual(rig.drops, []);
  });

  test(`IPv${String(version)}: a session may not send from an address of another or of nobody`, () => {
    const rig = new Rig();
    const [first, second] = rig.sessions;
    const source = version === 4 ? ofSecond4 : ofSecond6;
    rig.receive([rig.seal(fromFirst(version, { source }), first)]);
    rig.receive([rig.seal(fromFirst(version), second)]);
    assert.deepEqual(rig.drops, ['wrongSource', 'wrongSource']);
    assert.equal(rig.written.length, 0);
    rig.receive([rig.seal(fromFirst(version, { source }), second)]);
    assertSamePackets(rig.written, [fromFirst(version, { source })]);
  });
}

test('the source that was looked up last vouches for no other session and no other source', () => {
  const rig = new Rig();
  const [first, second] = rig.sessions;
  const mine = [0, 1, 2].map((identification) => fromFirst(4, { identification }));
  const train = [
    rig.seal(mine[0], first),
    rig.seal(mine[0], second),
    rig.seal(mine[1], first),
    rig.seal(fromFirst(4, { source: ofSecond4 }), first),
    rig.seal(fromFirst(4, { source: ofNobody }), first),
    rig.seal(fromFirst(4, { source: ofNobody }), second),
    rig.seal(mine[2], first),
  ];
  rig.receive(train);
  assert.deepEqual(rig.drops, ['wrongSource', 'wrongSource', 'wrongSource', 'wrongSource']);
  assertSamePackets(rig.written, mine);
});

test('an address that has gone to another session counts for it from the next batch on', () => {
  const rig = new Rig();
  const [first, second] = rig.sessions;
  rig.receive([rig.seal(fromFirst(4), first)]);
  rig.allowedIps.insert(4, Uint8Array.of(10, 0, 0, 0), 8, second);
  rig.receive([rig.seal(fromFirst(4), first)]);
  assert.deepEqual(rig.drops, ['wrongSource']);
  rig.receive([rig.seal(fromFirst(4), second)]);
  assert.equal(rig.written.length, 2);
});

test('what is no whole IP packet is counted as malformed', () => {
  const rig = new Rig();
  const [first] = rig.sessions;
  const versions = fromFirst(4);
  versions[0] = 0x55;
  for (const bytes of [versions, fromFirst(4).subarray(0, 96), fromFirst(6).subarray(0, 128), Uint8Array.of(0x45)])
    rig.receive([rig.seal(bytes, first)]);
  assert.deepEqual(rig.drops, new Array<string>(4).fill('malformedPacket'));
  assert.equal(rig.written.length, 0);
});

test('datagrams are counted that are empty, too short or forged, and those around them get in', () => {
  const rig = new Rig();
  const [first] = rig.sessions;
  const good = [1, 2, 3].map((identification) => fromFirst(4, { identification }));
  const sealed = good.map((packet) => rig.seal(packet, first));
  const forged = sealed[1].slice();
  forged[40] ^= 1;
  rig.receive([sealed[0], forged, sealed[1], sealed[2], sealed[2].subarray(0, 31)]);
  assertSamePackets(rig.written, good);
  assert.deepEqual(rig.drops.splice(0).sort(), ['authenticationFailed', 'malformedDatagram']);
  rig.receive([new Uint8Array(0)], 0, 0);
  assert.deepEqual(rig.drops, ['malformedDatagram']);
});

test('a train of more datagrams than a batch gets in whole and in order', () => {
  const rig = new Rig();
  const packets = Array.from({ length: 300 }, (_, identification) => fromFirst(4, { identification }));
  rig.receive(packets.map((packet) => rig.seal(packet, rig.sessions[0])));
  assertSamePackets(rig.written, packets);
  assert.deepEqual(rig.drops, []);
});

test('trains by several paths are opened together: in order, each by its own path, the rest where one is forged', () => {
  const rig = new Rig();
  const [first, second] = rig.sessions;
  const build = (i: number, tos: number): Uint8Array =>
    fromFirst(4, { payload: Uint8Array.of(i, 1, 2, 3), tos, ...(i % 2 === 1 && { source: ofSecond4 }) });
  const packets = Array.from({ length: 200 }, (_, i) => build(i, 1));
  const sealed = packets.map((packet, i) => rig.seal(packet, i % 2 === 0 ? first : second));
  sealed[3][40] ^= 1;
  // From one to nine datagrams each, of which every other one saw congestion.
  const trains: { datagrams: Uint8Array[]; tos: number }[] = [];
  const expected: Uint8Array[] = [];
  for (let i = 0; i < packets.length;) {
    const tos = trains.length % 2 === 0 ? 0 : 3;
    const datagrams = sealed.slice(i, i + 1 + (trains.length % 9));
    for (let k = i; k < i + datagrams.length; k++) if (k !== 3) expected.push(build(k, tos === 0 ? 1 : 3));
    trains.push({ datagrams, tos });
    i += datagrams.length;
  }
  rig.receiveAll(trains);
  // Two flows: the coalescer keeps the order of each. Of what can't be fragmented it may change identification (and checksum).
  const ofFlow = (all: readonly Uint8Array[], first: boolean): Uint8Array[] =>
    all
      .filter((packet) => (packet[12] === ofSecond4[0]) !== first)
      .map((packet) => packet.slice().fill(0, 4, 6).fill(0, 10, 12));
  for (const flow of [true, false]) assertSamePackets(ofFlow(rig.written, flow), ofFlow(expected, flow));
  assert.deepEqual(rig.drops, ['authenticationFailed']);
});

test('a session that moves while its datagrams wait is where its last one came from', () => {
  const rig = new Rig();
  const [first] = rig.sessions;
  const packets = [0, 1, 2, 3].map((identification) => fromFirst(4, { identification }));
  const sealed = packets.map((packet) => rig.seal(packet, first));
  rig.receiveAll([{ datagrams: sealed.slice(0, 2) }, { datagrams: sealed.slice(2) }]);
  assertSamePackets(rig.written, packets);
  assert.equal(rig.arena.view.getUint16(first + PEER_ENDPOINT + PATH_PORT, true), PORT + 1);
});

for (const version of [4, 6] as const) {
  test(`IPv${String(version)}: a congestion mark outside goes inside, or the packet goes`, () => {
    const DSCP = 0xb8;
    // Outer and inner field, and what the packet has inside then; undefined where it is dropped (RFC 6040, figure 4).
    const cases: readonly (readonly [outer: number, inner: number, result: number | undefined])[] = [
      [0, 0, 0],
      [0, 2, 2],
      [0, 3, 3],
      [1, 2, 1],
      [2, 1, 1],
      [3, 1, 3],
      [3, 2, 3],
      [3, 3, 3],
      [3, 0, undefined],
    ];
    for (const [outer, inner, result] of cases) {
      const rig = new Rig();
      rig.receive([rig.seal(fromFirst(version, { tos: 0x20 | inner }), rig.sessions[0])], DSCP | outer);
      const expected = result === undefined ? [] : [fromFirst(version, { tos: 0x20 | result })];
      assertSamePackets(rig.written, expected, `outer ${String(outer)}, inner ${String(inner)}:`);
      assert.deepEqual(rig.drops, result === undefined ? ['ecnMismatch'] : []);
    }
  });
}
