import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import { setSlice, sliceOf } from '@sallyport/io';

test('a thread sets its own slice, and no other one', (t) => {
  const usual = sliceOf(process.pid);
  if (usual === 0) {
    t.skip('this kernel has no slices: it takes Linux 6.12');
    return;
  }
  assert.ok(setSlice(0.1));
  assert.equal(sliceOf(process.pid), 0.1);
  const others = readdirSync('/proc/self/task').map(Number).filter((thread) => thread !== process.pid); // prettier-ignore
  assert.ok(others.length > 0);
  // One that has ended meanwhile has none.
  for (const thread of others) assert.ok([usual, 0].includes(sliceOf(thread)));
  // Beyond what the kernel grants.
  assert.ok(setSlice(1000));
  assert.equal(sliceOf(process.pid), 100);
});
