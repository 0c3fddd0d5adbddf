import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Arena } from '../../packages/io/src/arena.ts';
import { IndexTable } from '../../packages/wireguard/src/index-table.ts';
import { plainMemory } from '../../packages/testkit/src/plain-memory.ts';
import { SeededRandom, withSeed } from '../../packages/testkit/src/seeded-random.ts';

const AT = 128;
/** What the flag says to the reading thread. */
const START = 1;
const STOP = 2;

function freshTable(capacity: number): IndexTable {
  return new IndexTable(plainMemory(AT + IndexTable.bytes(capacity)), AT, capacity);
}

describe('index table', () => {
  test('knows nothing at first, and index 0 like any other', () => {
    const table = freshTable(10);
    assert.equal(table.lookup(0), 0);
    assert.equal(table.remove(0), false);
    assert.equal(table.insert(0, 4096), true);
    assert.equal(table.lookup(0), 4096);
    assert.equal(table.insert(0, 8192), false);
    assert.equal(table.insert(0xffffffff, 8192), true);
    assert.equal(table.lookup(0xffffffff), 8192);
    assert.equal(table.lookup(0x7fffffff), 0);
    assert.equal(table.remove(0), true);
    assert.equal(table.lookup(0), 0);
    assert.equal(table.lookup(0xffffffff), 8192);
  });

  test('takes as many indices as it was made for, and no more, again after a removal', () => {
    for (const capacity of [1, 5, 6, 7, 64, 1000]) {
      withSeed((random) => {
        const table = freshTable(capacity);
        const indices: number[] = [];
        while (indices.length < capacity) {
          const index = random.u32();
          if (table.insert(index, 64 * (indices.length + 1))) indices.push(index);
        }
        assert.equal(table.insert(random.u32(), 1 << 20), false);
        indices.forEach((index, i) => assert.equal(table.lookup(index), 64 * (i + 1)));
        assert.equal(table.remove(indices[0]), true);
        assert.equal(table.insert(indices[0], 1 << 20), true);
        assert.equal(table.lookup(indices[0]), 1 << 20);
      });
    }
  });

  test('agrees with a Map, crowded indices and rebuilds included', () => {
    withSeed((random) => {
      let rebuilds = 0;
      for (let round = 0; round < 40; round++) {
        const capacity = 1 + (random.u32() % 300);
        const table = freshTable(capacity);
        const model = new Map<number, number>();
        // Few distinct low bits make long runs of slots, and runs across the table's end.
        const pool = Array.from({ length: 2 * capacity }, () =>
          round % 2 === 0 ? random.u32() : ((random.u32() << 8) | (random.u32() % 8) | 0xf8) >>> 0,
        );
        for (let step = 0; step < 4_000; step++) {
          const index = pool[random.u32() % pool.length];
          if (random.u32() % 2 === 0) {
            const keypair = 64 * (1 + (random.u32() % 1_000_000));
            const inserted = table.insert(index, keypair);
            if (model.has(index) || model.size === capacity) assert.equal(inserted, false);
            else if (round % 2 === 0) assert.equal(inserted, true);
            if (inserted) model.set(index, keypair);
          } else {
            assert.equal(table.remove(index), model.delete(index));
          }
          if (table.needsRebuild()) {
            table.rebuild();
            rebuilds++;
            assert.equal(table.needsRebuild(), false);
            for (const each of pool) assert.equal(table.lookup(each), model.get(each) ?? 0);
          }
          const probe = pool[random.u32() % pool.length];
          assert.equal(table.lookup(probe), model.get(probe) ?? 0);
        }
        for (const each of pool) assert.equal(table.lookup(each), model.get(each) ?? 0);
      }
      assert.ok(rebuilds > 0, 'tombstones never gathered');
    });
  });

  test('refuses an index rather than let it lie far from home', () => {
    const table = freshTable(1000);
    let inserted = 0;
    for (let k = 0; k < 1000; k++) if (table.insert(k * 65_536, 64)) inserted++;
    assert.equal(inserted, 128);
    for (let k = 0; k < 1000; k++) assert.equal(table.lookup(k * 65_536), k < 128 ? 64 : 0);
    assert.equal(table.insert(77 * 65_536 + 1000, 64), true);
  });

  test('readers never see a wrong keypair while one thread inserts and removes', async () => {
    const capacity = 12;
    const memory = Arena.create(65_536);
    const flags = memory.allocate(64);
    const at = memory.allocate(IndexTable.bytes(capacity));
    const table = new IndexTable(memory, at, capacity);
    // The indices that come and go have one home slot, so that they take the same few slots in turn.
    const worker = new Worker(new URL('./index-table-reader.ts', import.meta.url), {
      workerData: { shared: memory.shared, flags, at, capacity },
    });
    const result = new Promise<{ found: number; wrong: number; lost: number }>((resolve, reject) => {
      worker.once('error', reject);
      worker.once('message', (message) => {
        if (message !== 'ready') return;
        worker.once('message', resolve);
        const random = new SeededRandom(1 + Math.floor(Math.random() * 1_000_000));
        // 0 to 5 stay. A keypair's offset says whose it is.
        for (let k = 0; k < 6; k++) assert.ok(table.insert(k, (k + 1) * 64));
        Atomics.store(memory.i32, flags >> 2, START);
        const end = performance.now() + 700;
        // The reader may be given little time by a machine that is full.
        while (performance.now() < end || Atomics.load(memory.i32, (flags >> 2) + 1) <= 10_000) {
          for (let k = 0; k < 1000; k++) {
            const index = 64 + 32 * (random.u32() % 4);
            if (!table.remove(index)) table.insert(index, (index + 1) * 64);
          }
        }
        Atomics.store(memory.i32, flags >> 2, STOP);
      });
    });
    const { found, wrong, lost } = await result;
    await worker.terminate();
    assert.equal(wrong, 0);
    assert.equal(lost, 0);
    assert.ok(found > 10_000, `only ${String(found)} lookups found something`);
  });
});
