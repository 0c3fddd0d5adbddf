import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzOpenVpnControl } from '../fuzz/openvpn-control.ts';

test('a fixed corpus of packets and texts, with and without the key: each is taken or refused', () => {
  const result = fuzzOpenVpnControl(20_000, 1);
  assert.ok(result.accepted > 3_000, `${String(result.accepted)} accepted`);
  assert.ok(result.dropped > 4_000, `${String(result.dropped)} dropped`);
  assert.deepEqual(fuzzOpenVpnControl(500, 2), fuzzOpenVpnControl(500, 2), 'a seed determines the run');
});
