import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@sallyport/testkit';
import { countDatagrams } from '../../packages/carrier/src/message.ts';
import { decode, encode, fuzzCarrier } from '../fuzz/carrier.ts';

test('trains come out as the datagrams that went in, in order', () => {
  const random = new SeededRandom(5);
  for (let round = 0; round < 300; round++) {
    const trains = Array.from({ length: 1 + random.below(5) }, () => {
      const segmentSize = 1 + random.below(1500);
      return { bytes: random.bytes(1 + random.below(segmentSize * 8)), segmentSize };
    });
    const expected = trains.flatMap(({ bytes, segmentSize }) =>
      Array.from({ length: Math.ceil(bytes.length / segmentSize) }, (_, i) =>
        bytes.slice(i * segmentSize, (i + 1) * segmentSize),
      ),
    );
    const message = encode(trains);
    assert.equal(countDatagrams(message), expected.length);
    assert.deepEqual(decode(message).datagrams, expected);
  }
});

test('datagrams of one size are sent together, up to 64 and up to what UDP can hold', () => {
  const full = encode([{ bytes: new Uint8Array(45 * 1452 - 100), segmentSize: 1452 }]);
  assert.equal(decode(full).trains, 1);
  assert.equal(decode(encode([{ bytes: new Uint8Array(65 * 32), segmentSize: 32 }])).trains, 2);
  assert.equal(decode(encode([{ bytes: new Uint8Array(46 * 1452), segmentSize: 1452 }])).trains, 2);
  const mixed = encode([100, 100, 60, 100, 120].map((size) => ({ bytes: new Uint8Array(size), segmentSize: size })));
  assert.deepEqual(
    [decode(mixed).trains, decode(mixed).datagrams.map(({ length }) => length)],
    [3, [100, 100, 60, 100, 120]],
  );
});

test('what is no message is refused whole: empty, cut off, a datagram without bytes', () => {
  assert.equal(countDatagrams(new Uint8Array()), 0);
  assert.equal(countDatagrams(Uint8Array.of(0)), 0);
  assert.equal(countDatagrams(Uint8Array.of(0, 0)), 0);
  assert.equal(countDatagrams(Uint8Array.of(0, 1)), 0);
  assert.equal(countDatagrams(Uint8Array.of(0, 1, 9, 0)), 0);
  assert.equal(countDatagrams(Uint8Array.of(0, 1, 9, 0, 0)), 0);
  assert.equal(countDatagrams(Uint8Array.of(0, 1, 9, 0, 2, 1, 2)), 2);
});

test('random and mutated bytes: nothing is read or written beyond, and the end is always reached', () => {
  const { accepted, dropped } = fuzzCarrier(5000, 7);
  assert.ok(dropped > 1000 && accepted > 500, JSON.stringify({ accepted, dropped }));
});

test('a datagram larger than UDP can send is passed over', () => {
  const message = new Uint8Array(2 + 65_535 + 3);
  message.set([0xff, 0xff]);
  message.set([0, 1, 7], 2 + 65_535);
  assert.equal(countDatagrams(message), 2);
  assert.deepEqual(decode(message).datagrams, [Uint8Array.of(7)]);
});
