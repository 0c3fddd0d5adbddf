import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { RecordPool } from '../../packages/core/src/record-pool.ts';
import { plainMemory } from '../../packages/testkit/src/plain-memory.ts';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';

const AT = 128;
const RECORD_BYTES = 64;
const CAPACITY = 5;

function newPool() {
  const memory = plainMemory(AT + RecordPool.bytes(RECORD_BYTES, CAPACITY) + 64);
  return { memory, pool: new RecordPool(memory, AT, RECORD_BYTES, CAPACITY) };
}

describe('RecordPool', () => {
  test('gives out each record of its region once, then none', () => {
    const { pool } = newPool();
    const records = Array.from({ length: CAPACITY }, () => pool.allocate()).sort((a, b) => a - b);
    assert.deepEqual(
      records,
      [0, 1, 2, 3, 4].map((i) => AT + i * RECORD_BYTES),
    );
    assert.equal(pool.allocate(), 0);
    assert.equal(pool.allocate(), 0);
  });

  test('wipes a record when it comes back, and nothing else', () => {
    const { memory, pool } = newPool();
    const record = pool.allocate();
    memory.u8.fill(0xff);
    pool.release(record);
    const expected = new Uint8Array(memory.u8.length).fill(0xff);
    expected.fill(0, record, record + RECORD_BYTES);
    assert.deepEqual(memory.u8, expected);
  });

  test('gives a record out again only when nobody names it any more', () => {
    const { pool } = newPool();
    const records = Array.from({ length: CAPACITY }, () => pool.allocate());
    pool.release(records[2]);
    assert.equal(pool.allocate(), 0);
    pool.recycle();
    assert.equal(pool.allocate(), records[2]);
    assert.equal(pool.allocate(), 0);
    pool.recycle();
    assert.equal(pool.allocate(), 0, 'it was given back once');
  });

  test('never gives out what is in use, at random', () => {
    withSeed((random) => {
      const { memory, pool } = newPool();
      const used = new Set<number>();
      let resting = 0;
      for (let step = 0; step < 3000; step++) {
        const action = random.below(5);
        if (action < 3) {
          const record = pool.allocate();
          if (record === 0) {
            assert.equal(used.size + resting, CAPACITY, 'none is lost');
            continue;
          }
          assert.ok(!used.has(record));
          assert.ok(memory.u8.subarray(record, record + RECORD_BYTES).every((byte) => byte === 0));
          memory.u8.fill(1 + random.below(255), record, record + RECORD_BYTES);
          used.add(record);
        } else if (action === 3 && used.size > 0) {
          const record = random.pick([...used]);
          used.delete(record);
          pool.release(record);
          resting++;
        } else {
          pool.recycle();
          resting = 0;
        }
      }
    });
  });
});
