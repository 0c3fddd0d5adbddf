import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzLink } from '../fuzz/link.ts';

test('a fixed corpus of mutated frames, messages and states is refused or understood', () => {
  const { accepted, dropped } = fuzzLink(5000, 1);
  assert.ok(accepted > 500 && dropped > 500, `${accepted} accepted, ${dropped} dropped`);
});
