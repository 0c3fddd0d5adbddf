// Random and mutated messages of the tunnel over TLS. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import { SeededRandom } from '@sallyport/testkit';
import {
  appendTrain,
  countDatagrams,
  encodedBytes,
  gatherTrain,
  MAX_TRAIN_BYTES,
  type Train,
} from '../../packages/carrier/src/message.ts';

const train: Train = { bytes: 0, segmentSize: 0, datagrams: 0, next: 0 };
const target = new Uint8Array(MAX_TRAIN_BYTES + 2);

/** Counts what is a message (accepted) and what is none (dropped). Nothing is read or written beyond either. */
export function fuzzCarrier(iterations: number, seed: number): { accepted: number; dropped: number } {
  const random = new SeededRandom(seed);
  let accepted = 0;
  let dropped = 0;
  for (let i = 0; i < iterations; i++) {
    try {
      const message = i % 2 === 0 ? random.bytes(random.below(80)) : mutatedMessage(random);
      const count = countDatagrams(message);
      if (count === 0) {
        dropped++;
        continue;
      }
      accepted++;
      const { datagrams } = decode(message);
      assert.equal(datagrams.length, count);
      assert.equal(
        datagrams.reduce((sum, { length }) => sum + 2 + length, 0),
        message.length,
      );
    } catch (cause) {
      throw new Error(`iteration ${String(i)} of seed ${String(seed)}: ${String(cause)}`, { cause });
    }
  }
  return { accepted, dropped };
}

function mutatedMessage(random: SeededRandom): Uint8Array {
  const message = encode([{ bytes: random.bytes(1 + random.below(600)), segmentSize: 1 + random.below(90) }]);
  for (let n = random.below(3); n > 0; n--) message[random.below(message.length)] = random.below(256);
  return random.below(4) === 0 ? message.slice(0, random.below(message.length)) : message;
}

/** The datagrams of a whole message, and how they are put together for sending. */
export function decode(message: Uint8Array): { datagrams: Uint8Array[]; trains: number } {
  const datagrams: Uint8Array[] = [];
  let trains = 0;
  for (let at = 0; at < message.length; at = train.next) {
    target[0] = 0xee;
    target.fill(0xee, 1, Math.min(target.length, message.length + 2));
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

export function encode(trains: readonly { bytes: Uint8Array; segmentSize: number }[]): Uint8Array {
  const length = trains.reduce((sum, { bytes, segmentSize }) => sum + encodedBytes(bytes.length, segmentSize), 0);
  const message = new Uint8Array(length);
  let at = 0;
  for (const { bytes, segmentSize } of trains) at = appendTrain(message, at, bytes, 0, bytes.length, segmentSize);
  assert.equal(at, length);
  return message;
}
