import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@sallyport/testkit';
import {
  appendTrain,
  countDatagrams,
  encodedBytes,
  gatherTrain,
  MAX_TRAIN_BYTES,
} from '../../packages/carrier/src/message.ts';

const train = { bytes: 0, segmentSize: 0, datagrams: 0, next: 0 };

/** The datagrams of a whole message, and how they are put together for sending. */
function decode(message: Uint8Array): { datagrams: Uint8Array[]; trains: number } {
  const target = new Uint8Array(MAX_TRAIN_BYTES + 2);
  const datagrams: Uint8Array[] = [];
  let trains = 0;
  for (let at = 0; at < message.length; at = train.next) {
    target.fill(0xee);
    gatherTrain(message, at, target, 1, train);
    assert.ok(train.next > at);
    if (train.bytes === 0) continue;
    trains++;
    assert.equal(target[0], 0xee, 'nothing is written before');
    assert.equal(target[train.bytes + 1], 0xee, 'nothing is written behind');
    assert.ok(train.bytes <= MAX_TRAIN_BYTES && train.datagrams <= 64);
    for (let offset = 0; offset < train.bytes; offset += train.segmentSize) {
      datagrams.push(target.slice(1 + offset, 1 + Math.min(offset + train.segmentSize, train.bytes)));
    }
  }
  return { datagrams, trains };
}

function encode(trains: readonly { bytes: Uint8Array; segmentSize: number }[]): Uint8Array {
  const length = trains.reduce((sum, { bytes, segmentSize }) => sum + encodedBytes(bytes.length, segmentSize), 0);
  const message = new Uint8Array(length);
  let at = 0;
  for (const { bytes, segmentSize } of trains) at = appendTrain(message, at, bytes, 0, bytes.length, segmentSize);
  assert.equal(at, length);
  return message;
}

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
  const random = new SeededRandom(7);
  const outcomes = { refused: 0, taken: 0 };
  for (let round = 0; round < 5000; round++) {
    let message: Uint8Array;
    if (round % 2 === 0) message = random.bytes(random.below(80));
    else {
      message = encode([{ bytes: random.bytes(1 + random.below(600)), segmentSize: 1 + random.below(90) }]);
      for (let i = random.below(3); i > 0; i--) message[random.below(message.length)] = random.below(256);
      if (random.below(4) === 0) message = message.slice(0, random.below(message.length));
    }
    const count = countDatagrams(message);
    if (count === 0) outcomes.refused++;
    else {
      outcomes.taken++;
      const { datagrams } = decode(message);
      assert.equal(datagrams.length, count);
      assert.equal(
        datagrams.reduce((sum, { length }) => sum + 2 + length, 0),
        message.length,
      );
    }
  }
  assert.ok(outcomes.refused > 1000 && outcomes.taken > 500, JSON.stringify(outcomes));
});

test('a datagram larger than UDP can send is passed over', () => {
  const message = new Uint8Array(2 + 65_535 + 3);
  message.set([0xff, 0xff]);
  message.set([0, 1, 7], 2 + 65_535);
  assert.equal(countDatagrams(message), 2);
  assert.deepEqual(decode(message).datagrams, [Uint8Array.of(7)]);
});
