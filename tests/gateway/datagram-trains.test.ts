/** Which datagrams leave together. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DatagramTrains } from '@sallyport/gateway';
import { SeededRandom } from '@sallyport/testkit';

const A = 1024;
const PATH = 64;

interface Datagram {
  readonly at: number;
  readonly length: number;
  readonly path: number;
  readonly ecn: number;
}

interface Train extends Datagram {
  readonly segmentSize: number;
}

function trainsOf(datagrams: readonly Datagram[]): Train[] {
  const sent: Train[] = [];
  const trains = new DatagramTrains({
    send: (at, length, segmentSize, path, ecn) => sent.push({ at, length, segmentSize, path, ecn }),
  });
  for (const { at, length, path, ecn } of datagrams) trains.add(at, length, path, ecn);
  trains.flush();
  return sent;
}

/** Datagrams of these lengths that touch. */
function touching(lengths: readonly number[]): Datagram[] {
  let end = A;
  return lengths.map((length) => {
    const at = end;
    end += length;
    return { at, length, path: PATH, ecn: 0 };
  });
}

function shapes(datagrams: readonly Datagram[]): string[] {
  return trainsOf(datagrams).map(({ length, segmentSize }) => `${String(length)}/${String(segmentSize)}`);
}

test('datagrams of one size that touch leave together', () => {
  assert.deepEqual(trainsOf(touching([100, 100, 100])), [{ at: A, length: 300, segmentSize: 100, path: PATH, ecn: 0 }]);
});

test('a shorter one ends the train, a longer one begins another', () => {
  assert.deepEqual(shapes(touching([100, 100, 60, 60, 60])), ['260/100', '120/60']);
  assert.deepEqual(shapes(touching([60, 100, 100])), ['60/60', '200/100']);
});

test('what ended with a shorter one has been sent before the next comes', () => {
  let sent = 0;
  const trains = new DatagramTrains({ send: () => sent++ });
  for (const { at, length } of touching([100, 60])) trains.add(at, length, PATH, 0);
  assert.equal(sent, 1);
  trains.flush();
  assert.equal(sent, 1, 'and is not sent again');
});

test('64 datagrams and 65,507 bytes are the most', () => {
  assert.deepEqual(shapes(touching(new Array<number>(130).fill(32))), ['2048/32', '2048/32', '64/32']);
  assert.deepEqual(shapes(touching([32_753, 32_753, 1])), ['65507/32753']);
  assert.deepEqual(shapes(touching([32_753, 32_753, 2])), ['65506/32753', '2/2']);
});

test('another path, other ECN bits or a gap begin a new train', () => {
  const [one, two] = touching([100, 100]);
  for (const other of [
    { ...two, path: PATH + 64 },
    { ...two, ecn: 2 },
    { ...two, at: two.at + 1 },
  ]) {
    assert.deepEqual(trainsOf([one, other]), [
      { ...one, segmentSize: 100 },
      { ...other, segmentSize: 100 },
    ]);
  }
});

test('any sequence: the same datagrams in the same order, in trains that the kernel takes', () => {
  const random = new SeededRandom(7);
  for (let round = 0; round < 300; round++) {
    let end = A;
    let length = 1420;
    const datagrams = Array.from({ length: 1 + random.below(150) }, (): Datagram => {
      if (random.below(10) === 0) length = [32, 100, 1420, 9000][random.below(4)];
      const at = random.below(20) === 0 ? end + 8 : end;
      end = at + length;
      return { at, length, path: random.below(20) === 0 ? PATH + 64 : PATH, ecn: random.below(20) === 0 ? 1 : 0 };
    });
    const unpacked = trainsOf(datagrams).flatMap(({ at, length: bytes, segmentSize, path, ecn }) => {
      assert.ok(bytes <= 65_507);
      const count = Math.ceil(bytes / segmentSize);
      assert.ok(count <= 64);
      return Array.from({ length: count }, (_, i) => ({
        at: at + i * segmentSize,
        length: Math.min(segmentSize, bytes - i * segmentSize),
        path,
        ecn,
      }));
    });
    assert.deepEqual(unpacked, datagrams);
  }
});
