import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzHandshake } from '../fuzz/handshake.ts';

test('thousands of mutated handshake messages: none is accepted, and the exchange completes in spite of them', () => {
  const { accepted, dropped } = fuzzHandshake(9000, 20_260_102);
  assert.equal(accepted, 3 * 30);
  assert.ok(dropped > 8000, String(dropped));
});
