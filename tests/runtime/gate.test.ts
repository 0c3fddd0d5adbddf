/** Changes by the main thread against batches of workers: never both at once. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Arena } from '@sallyport/io';
import { Gate } from '../../packages/runtime/src/gate.ts';
import { BLOCK, CELL, ENTERED, STOP, WORDS, type GateWorkerStart } from './gate-worker.ts';

const turn = () => new Promise((resolve) => setImmediate(resolve));

interface Shared {
  readonly i32: Int32Array;
  readonly gate: Gate;
  /** The i32 index of what the workers and the test share. */
  readonly words: number;
}

/** Two workers that go in and out until `use` is done; returns how much each has counted. */
async function withWorkers(
  blocking: boolean,
  use: (shared: Shared) => void,
): Promise<{ shared: Shared; counted: number[] }> {
  const arena = Arena.create(65_536);
  const place = arena.allocate(Gate.bytes(2));
  const words = arena.allocate(4 * WORDS) >> 2;
  const shared = { i32: arena.i32, gate: new Gate(arena.i32, place, 2), words };
  if (blocking) Atomics.store(arena.i32, words + BLOCK, 1);
  const ends = [0, 1].map((index) => {
    const workerData: GateWorkerStart = { arena: arena.shared, gate: place, index, words };
    const worker = new Worker(new URL('gate-worker.ts', import.meta.url), { workerData });
    return new Promise<number>((resolve, reject) => {
      worker.on('error', reject);
      worker.on('message', resolve);
    });
  });
  const all = Promise.all(ends);
  let failed: unknown;
  all.catch((error: unknown) => (failed = error));
  const at = (index: number) => Atomics.load(arena.i32, words + ENTERED + index);
  while ((at(0) === 0 || at(1) === 0) && failed === undefined) await turn();
  try {
    if (failed === undefined) use(shared);
  } finally {
    Atomics.store(arena.i32, words + STOP, 1);
    Atomics.store(arena.i32, words + BLOCK, 0);
    Atomics.notify(arena.i32, words + BLOCK);
  }
  return { shared, counted: await all };
}

test('what workers and the main thread count without atomics is exact', async () => {
  let byMain = 0;
  const { shared, counted } = await withWorkers(false, ({ i32, gate, words }) => {
    const before = Atomics.load(i32, words + ENTERED);
    // Until there have been enough batches in between.
    while (byMain < 300_000 || Atomics.load(i32, words + ENTERED) < before + 1000)
      gate.exclusive(() => {
        for (let k = 0; k < 100; k++) for (const index of [0, 1]) i32[words + CELL + index]++;
        byMain += 100;
      });
  });
  const { i32, words } = shared;
  assert.ok(counted.every((count) => count > 0));
  assert.deepEqual(
    [0, 1].map((index) => i32[words + CELL + index] - byMain),
    counted,
  );
});

test('workers that block outside their batch keep nobody waiting', async () => {
  let changes = 0;
  await withWorkers(true, ({ gate }) => {
    for (let i = 0; i < 1000; i++) gate.exclusive(() => changes++);
  });
  assert.equal(changes, 1000);
});

test('a change may be made within a change, and the gate opens with the outer one, also when it throws', () => {
  const arena = Arena.create(65_536);
  const place = arena.allocate(Gate.bytes(1));
  const gate = new Gate(arena.i32, place, 1);
  const wanted = () => Atomics.load(arena.i32, place >> 2);
  assert.equal(
    gate.exclusive(() => {
      const inner = gate.exclusive(() => 7);
      assert.equal(wanted(), 1, 'still closed');
      return inner;
    }),
    7,
  );
  assert.equal(wanted(), 0);
  assert.throws(
    () =>
      gate.exclusive(() => {
        throw new Error('no');
      }),
    /no/,
  );
  assert.equal(wanted(), 0);
  gate.enter(0); // does not wait
  gate.leave(0);
});
