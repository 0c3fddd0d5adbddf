import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fuzzOpenVpnData } from '../fuzz/openvpn-data.ts';

test('a fixed corpus of mutated datagrams of the data channel: each is taken or counted as dropped', () => {
  const result = fuzzOpenVpnData(20_000, 1);
  assert.ok(result.accepted > 5_000, `${String(result.accepted)} accepted`);
  assert.ok(result.dropped > 5_000, `${String(result.dropped)} dropped`);
});
