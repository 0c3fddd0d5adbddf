import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzWire } from '../fuzz/wire.ts';

test('a fixed corpus of mutated frames: each is taken or counted as dropped', () => {
  const result = fuzzWire(20_000, 1);
  assert.ok(result.accepted > 10_000);
  assert.ok(result.dropped > 5_000);
  assert.deepEqual(fuzzWire(500, 2), fuzzWire(500, 2), 'a seed determines the run');
});
