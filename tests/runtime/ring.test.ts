/** The queue from a worker to the main thread: order, bounds, and what is kept free for whom. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { PATH_BYTES } from '@sallyport/core';
import { Arena } from '@sallyport/io';
import { SeededRandom } from '@sallyport/testkit';
import { ATTEND, CONTROL, HOLD, Ring } from '../../packages/runtime/src/ring.ts';
import { lengthOf, type WriterStart } from './ring-writer.ts';

const CAPACITY = 256 * 1024;

interface Taken {
  readonly kind: number;
  readonly session: number;
  readonly bytes: Uint8Array;
  readonly path: Uint8Array;
}

function open() {
  const arena = Arena.create(2 * 1024 * 1024);
  const ring = new Ring(arena, arena.allocate(Ring.bytes(CAPACITY)), CAPACITY);
  const at = arena.allocate(65_536);
  const path = arena.allocate(PATH_BYTES);
  const pop = (): Taken | undefined => {
    let taken: Taken | undefined;
    ring.pop((kind, session, bytes, place) => {
      taken = { kind, session, bytes, path: arena.u8.slice(place, place + PATH_BYTES) };
    });
    return taken;
  };
  return { arena, ring, at, path, pop };
}

test('records come out as they went in, in order, and are copies', () => {
  const { arena, ring, at, path, pop } = open();
  assert.equal(pop(), undefined);
  for (let i = 1; i <= 3; i++) {
    arena.u8.fill(i, at, at + 100);
    arena.u8.fill(0x10 + i, path, path + PATH_BYTES);
    assert.ok(ring.push(i, 64 * i, at, 33 * i, path));
  }
  arena.u8.fill(0xff, at, at + 100);
  arena.u8.fill(0xff, path, path + PATH_BYTES);
  for (let i = 1; i <= 3; i++)
    assert.deepEqual(pop(), {
      kind: i,
      session: 64 * i,
      bytes: new Uint8Array(33 * i).fill(i),
      path: new Uint8Array(PATH_BYTES).fill(0x10 + i),
    });
  assert.equal(pop(), undefined);
});

test('records of any size, pushed and taken many times round, against a list', () => {
  const { arena, ring, at, pop } = open();
  const random = new SeededRandom(5);
  const waiting: { kind: number; session: number; length: number; first: number }[] = [];
  let refused = 0;
  for (let round = 0; round < 6000; round++) {
    if (random.below(5) < 3) {
      const length = random.below(random.below(4) === 0 ? 40_000 : 1500);
      const kind = [CONTROL, HOLD, ATTEND][random.below(3)];
      const first = random.below(256);
      for (let i = 0; i < length; i++) arena.u8[at + i] = first + i;
      if (ring.push(kind, round, at, length, 0)) waiting.push({ kind, session: round, length, first });
      else refused++;
    } else {
      const expected = waiting.shift();
      const taken = pop();
      assert.equal(taken?.session, expected?.session);
      if (expected === undefined || taken === undefined) continue;
      assert.equal(taken.kind, expected.kind);
      assert.equal(taken.bytes.length, expected.length);
      assert.ok(taken.bytes.every((byte, i) => byte === ((expected.first + i) & 255)));
    }
    assert.equal(ring.controls, waiting.filter(({ kind }) => kind === CONTROL).length);
  }
  assert.ok(refused > 100, 'the ring was full now and then');
});

test('the 32-bit positions may run over', () => {
  const { arena, at } = open();
  const place = arena.allocate(Ring.bytes(CAPACITY));
  // Head and tail, 8 records before 2^32.
  const start = -8 * 1024;
  arena.i32[place >> 2] = start;
  arena.i32[(place + 64) >> 2] = start;
  const ring = new Ring(arena, place, CAPACITY);
  for (let i = 0; i < 1000; i++) {
    assert.ok(ring.push(HOLD, i, at, 944, 0));
    assert.ok(ring.push(HOLD, i + 1, at, 944, 0));
    for (const session of [i, i + 1]) assert.ok(ring.pop((_kind, id) => assert.equal(id, session)));
  }
});

test('packets that wait keep to one half, handshakes leave the reserve, what is said of timers fits last', () => {
  const { ring, at } = open();
  const length = 1024 - 80;
  const fill = (kind: number): number => {
    let count = 0;
    while (ring.push(kind, 64, at, length, 0)) count++;
    return count;
  };
  assert.equal(fill(HOLD), CAPACITY / 2 / 1024);
  assert.equal(fill(CONTROL), (CAPACITY / 2 - 65_536) / 1024);
  assert.equal(ring.push(HOLD, 64, at, 0, 0), false);
  let attends = 0;
  while (ring.push(ATTEND, 64, 0, 0, 0)) attends++;
  assert.equal(attends, Math.floor(65_536 / 80));
  assert.ok(ring.pop(() => undefined));
  assert.equal(ring.push(HOLD, 64, at, length, 0), false);
  assert.ok(ring.push(ATTEND, 64, 0, 0, 0), 'what was taken is free again');
});

test('forgotten sessions become nobody, the others and the bytes stay', () => {
  const { arena, ring, at, pop } = open();
  // Some way round, so that a filler lies between.
  for (let i = 0; i < 5; i++) {
    assert.ok(ring.push(CONTROL, 0, at, 40_000, 0));
    assert.ok(pop());
  }
  arena.u8.fill(9, at, at + 40_000);
  for (const session of [64, 128, 64, 192]) assert.ok(ring.push(HOLD, session, at, 30_000, 0));
  ring.forget(new Set([64, 192]));
  const taken = [pop(), pop(), pop(), pop()];
  assert.deepEqual(
    taken.map((record) => record?.session),
    [0, 128, 0, 0],
  );
  assert.ok(taken.every((record) => record?.kind === HOLD && record.bytes.every((byte) => byte === 9)));
});

test('what is left at the end counts as used where a record does not fit there', () => {
  const { ring, at, pop } = open();
  for (let i = 0; i < 8; i++) assert.ok(ring.push(ATTEND, i, at, 30_000, 0));
  assert.equal(pop()?.session, 0);
  // 30,080 bytes are free at the start, and 21,504 at the end.
  assert.equal(ring.push(ATTEND, 9, at, 30_008, 0), false);
  assert.ok(ring.push(ATTEND, 8, at, 30_000, 0));
  for (let i = 1; i < 9; i++) assert.equal(pop()?.session, i);
});

test('a filler of 8 bytes at the very end has no session to forget', () => {
  const { arena, ring, at, pop } = open();
  // Records of 80 bytes but one, up to 8 bytes before the end.
  const records = Math.floor((CAPACITY - 8 - 136) / 80);
  assert.equal(records * 80 + 136, CAPACITY - 8);
  for (let i = 0; i < records; i++) {
    assert.ok(ring.push(ATTEND, 0, 0, 0, 0));
    assert.ok(pop());
  }
  assert.ok(ring.push(ATTEND, 0, at, 56, 0));
  assert.ok(ring.push(ATTEND, 64, 0, 0, 0));
  arena.u32[at >> 2] = 64; // what lies behind the ring
  ring.forget(new Set([64]));
  assert.equal(arena.u32[at >> 2], 64);
  assert.deepEqual([pop()?.session, pop()?.session], [0, 0]);
});

test('a handler that throws has had its record all the same', () => {
  const { ring, at, pop } = open();
  assert.ok(ring.push(HOLD, 1, at, 8, 0));
  assert.ok(ring.push(HOLD, 2, at, 8, 0));
  assert.throws(() =>
    ring.pop(() => {
      throw new Error('no');
    }),
  );
  assert.equal(pop()?.session, 2);
});

test('two threads: nothing is lost, doubled, torn or out of order', async (t) => {
  const arena = Arena.create(4 * 1024 * 1024);
  const capacity = 128 * 1024;
  const place = arena.allocate(Ring.bytes(capacity));
  const workerData: WriterStart = {
    arena: arena.shared,
    ring: place,
    capacity,
    packet: arena.allocate(32_768),
    count: 20_000,
  };
  const ring = new Ring(arena, place, capacity);
  const writer = new Worker(new URL('ring-writer.ts', import.meta.url), { workerData });
  t.after(() => writer.terminate());
  const ended = new Promise<number>((resolve, reject) => {
    writer.on('error', reject);
    writer.on('message', resolve);
  });
  let next = 0;
  let turns = 0;
  let failed: unknown;
  ended.catch((error: unknown) => (failed = error));
  while (next < workerData.count && failed === undefined) {
    const some = ring.pop((_kind, session, bytes) => {
      assert.equal(session, next++);
      assert.equal(bytes.length, lengthOf(session));
      for (let i = 0; i < bytes.length; i += 97)
        if (bytes[i] !== (session & 255)) assert.fail(`record ${session} is torn`);
    });
    // Now and then, and where there is nothing, let the writer's own messages in.
    if (++turns % (some ? 5000 : 200) === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok((await ended) > 0, 'the ring was full now and then');
  assert.equal(
    ring.pop(() => undefined),
    false,
  );
  assert.equal(ring.controls, 0);
});
