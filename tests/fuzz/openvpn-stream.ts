// Streams of OpenVPN over TCP, valid, mutated and random, cut anywhere. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import { SeededRandom } from '@sallyport/testkit';
import { MAX_TRAIN_BYTES, MAX_TRAIN_DATAGRAMS } from '../../packages/carrier/src/message.ts';
import { MAX_PACKET_BYTES, StreamTrain } from '../../packages/carrier/src/stream-frames.ts';

/** Counts streams that are packets to their end (accepted) and others (dropped). */
export function fuzzOpenVpnStream(iterations: number, seed: number): { accepted: number; dropped: number } {
  const random = new SeededRandom(seed);
  let accepted = 0;
  let dropped = 0;
  for (let i = 0; i < iterations; i++) {
    try {
      const stream = i % 4 === 0 ? random.bytes(random.below(60)) : mutatedStream(random);
      const expected = packetsOf(stream);
      const { packets, wrong } = readStream(stream, () => 1 + random.below(1 + random.below(400)));
      assert.deepEqual(packets, expected.packets);
      assert.equal(wrong, expected.wrong);
      if (wrong) dropped++;
      else accepted++;
    } catch (cause) {
      throw new Error(`iteration ${String(i)} of seed ${String(seed)}: ${String(cause)}`, { cause });
    }
  }
  return { accepted, dropped };
}

export function stream(packets: readonly Uint8Array[]): Uint8Array {
  const bytes = packets.flatMap((packet) => [packet.length >> 8, packet.length & 255, ...packet]);
  return Uint8Array.from(bytes);
}

function mutatedStream(random: SeededRandom): Uint8Array {
  const size = 1 + random.below(90);
  const packets = Array.from({ length: random.below(12) }, () =>
    random.bytes(random.below(3) === 0 ? 1 + random.below(120) : size),
  );
  const bytes = stream(packets);
  for (let n = random.below(3); n > 0 && bytes.length > 0; n--) bytes[random.below(bytes.length)] = random.below(256);
  return bytes;
}

/** What the stream holds, one packet after the other, until something else comes. */
function packetsOf(bytes: Uint8Array): { packets: Uint8Array[]; wrong: boolean } {
  const packets: Uint8Array[] = [];
  for (let at = 0; at + 2 <= bytes.length;) {
    const length = (bytes[at] << 8) | bytes[at + 1];
    if (length === 0 || length > MAX_PACKET_BYTES) return { packets, wrong: true };
    if (at + 2 + length > bytes.length) break;
    packets.push(bytes.slice(at + 2, at + 2 + length));
    at += 2 + length;
  }
  return { packets, wrong: false };
}

/** Reads a stream in pieces as long as `pieceBytes` says, as the relays' thread does; `trains` is how many it takes. */
export function readStream(
  bytes: Uint8Array,
  pieceBytes: () => number,
): { packets: Uint8Array[]; trains: number; wrong: boolean } {
  const train = new StreamTrain();
  const packets: Uint8Array[] = [];
  let trains = 0;
  let part = new Uint8Array(0);
  for (let at = 0; at < bytes.length;) {
    const piece = bytes.subarray(at, at + pieceBytes());
    at += piece.length;
    const end = 3 + part.length + piece.length;
    // What is behind the end must not count: it would be the rest of any packet.
    const area = new Uint8Array(end + 300).fill(1);
    area.set(part, 3);
    area.set(piece, 3 + part.length);
    let next = 3;
    while (train.find(area, next, end)) {
      trains++;
      next = takeTrain(train, area, next, end, packets);
    }
    assert.ok(train.next === next);
    if (train.wrong) return { packets, trains, wrong: true };
    part = area.slice(next, end);
    assert.ok(part.length < 2 + MAX_PACKET_BYTES);
  }
  return { packets, trains, wrong: false };
}

/** Checks a train, and returns where it ends. */
function takeTrain(train: StreamTrain, area: Uint8Array, from: number, end: number, packets: Uint8Array[]): number {
  assert.ok(train.packets <= MAX_TRAIN_DATAGRAMS && train.lastSize > 0 && train.lastSize <= train.size);
  assert.ok((train.packets - 1) * train.size + train.lastSize <= MAX_TRAIN_BYTES);
  let at = from;
  for (let i = 1; i <= train.packets; i++) {
    const size = i === train.packets ? train.lastSize : train.size;
    packets.push(area.slice(at + 2, at + 2 + size));
    at += 2 + size;
  }
  assert.equal(at, train.next);
  assert.ok(at <= end);
  return at;
}
