import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@sallyport/testkit';
import { beginsWithReset, isData, MAX_PACKET_BYTES } from '../../packages/carrier/src/stream-frames.ts';
import { fuzzOpenVpnStream, readStream, stream } from '../fuzz/openvpn-stream.ts';

const WHOLE = (): number => 1_000_000;

test('a stream is put together as it was cut', () => {
  const random = new SeededRandom(3);
  for (let round = 0; round < 100; round++) {
    const packets = Array.from({ length: 1 + random.below(20) }, () => random.bytes(1 + random.below(3000)));
    const read = readStream(stream(packets), () => 1 + random.below(2500));
    assert.deepEqual(read.packets, packets);
    assert.equal(read.wrong, false);
  }
});

test('packets of one size leave together with a shorter one behind them, up to 64 and up to what UDP can hold', () => {
  const trainsOf = (...sizes: number[]): number =>
    readStream(stream(sizes.map((size) => new Uint8Array(size))), WHOLE).trains;
  assert.equal(trainsOf(100, 100, 100, 60), 1);
  assert.equal(trainsOf(100, 100, 60, 100, 120), 3);
  assert.equal(trainsOf(60, 60, 100), 2);
  assert.equal(trainsOf(...new Array<number>(64).fill(40)), 1);
  assert.equal(trainsOf(...new Array<number>(65).fill(40)), 2);
  assert.equal(trainsOf(...new Array<number>(45).fill(1444)), 1);
  assert.equal(trainsOf(...new Array<number>(46).fill(1444)), 2);
});

test('a length that no packet has ends the stream behind those before it', () => {
  const before = Uint8Array.of(7, 8, 9);
  for (const length of [0, MAX_PACKET_BYTES + 1, 0xffff]) {
    const bytes = Uint8Array.from([...stream([before, before]), length >> 8, length & 255, 1, 2]);
    for (const pieceBytes of [1, 3, 100])
      assert.deepEqual(
        { ...readStream(bytes, () => pieceBytes), trains: 0 },
        { packets: [before, before], trains: 0, wrong: true },
      );
  }
  const largest = new Uint8Array(MAX_PACKET_BYTES);
  assert.deepEqual(readStream(stream([largest]), () => 999).packets, [largest]);
});

test('random and mutated streams: nothing behind the end counts, and trains are what can be sent', () => {
  const { accepted, dropped } = fuzzOpenVpnStream(3000, 7);
  assert.ok(dropped > 500 && accepted > 500, JSON.stringify({ accepted, dropped }));
});

test('a client begins with a hard reset, and a packet of data is known by its first byte', () => {
  assert.equal(beginsWithReset(Uint8Array.of(0, 14)), undefined);
  assert.equal(beginsWithReset(Uint8Array.of(0, 14, 0x38)), true);
  assert.equal(beginsWithReset(Uint8Array.of(0, 14, 0x39)), false);
  assert.deepEqual(
    [0x30, 0x48, 0x4f, 0x38, 0x50, 0x28].map((byte) => isData(byte)),
    [true, true, true, false, false, false],
  );
});
