import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzTransport } from '../fuzz/transport.ts';

test('a fixed corpus of mutated datagrams: each is taken or counted as dropped', () => {
  const result = fuzzTransport(20_000, 1);
  assert.ok(result.accepted > 5_000, `${String(result.accepted)} accepted`);
  assert.ok(result.dropped > 5_000, `${String(result.dropped)} dropped`);
  assert.deepEqual(fuzzTransport(500, 2), fuzzTransport(500, 2), 'a seed determines the run');
});
