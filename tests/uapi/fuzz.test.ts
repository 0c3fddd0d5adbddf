import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzUapi } from '../fuzz/uapi.ts';

test('a fixed corpus of mutated requests, answers and files is refused or understood', () => {
  const { accepted, dropped } = fuzzUapi(10_000, 1);
  assert.ok(accepted > 2000 && dropped > 2000, `${accepted} accepted, ${dropped} dropped`);
});
