import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainMemory } from '../../packages/testkit/src/plain-memory.ts';
import { HostIndex, NODE_LENGTH } from '../../packages/wireguard/src/host-index.ts';

test('host index: a bucket holds eight nodes, whichever of them come and go', () => {
  const capacity = 4; // one bucket
  const memory = plainMemory(64 + HostIndex.bytes(capacity) + 10 * 32);
  const index = new HostIndex(memory, 64, capacity);
  const nodes = Array.from({ length: 9 }, (_, k) => (64 + HostIndex.bytes(capacity)) / 4 + k * 8);
  nodes.forEach((node, k) => {
    memory.i32[node] = 0x0a000000 + k;
    memory.i32[node + 3] = k % 2;
    memory.i32[node + NODE_LENGTH] = k % 2 === 0 ? 32 : 128;
  });
  const find = (k: number): number => index.find(k % 2 === 0 ? 32 : 128, 0x0a000000 + k, 0, 0, k % 2);
  const expect = (present: number[]): void => {
    for (let k = 0; k < 9; k++) assert.equal(find(k), present.includes(k) ? nodes[k] : 0, `node ${String(k)}`);
  };

  expect([]);
  for (const node of nodes) index.add(node);
  expect([0, 1, 2, 3, 4, 5, 6, 7]);
  assert.equal(index.find(128, 0x0a000000, 0, 0, 0), 0, 'the prefix has another length');
  index.remove(nodes[8]);
  expect([0, 1, 2, 3, 4, 5, 6, 7]);
  index.remove(nodes[0]);
  expect([1, 2, 3, 4, 5, 6, 7]);
  index.remove(nodes[4]);
  index.add(nodes[8]);
  expect([1, 2, 3, 5, 6, 7, 8]);
  index.remove(nodes[8]);
  for (const k of [7, 1, 3]) index.remove(nodes[k]);
  expect([2, 5, 6]);
  for (const k of [2, 5, 6, 6]) index.remove(nodes[k]);
  expect([]);
  assert.ok(memory.u8.subarray(0, 64).every((byte) => byte === 0));
});
