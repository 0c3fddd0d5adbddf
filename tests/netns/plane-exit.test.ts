/** However a process with a data plane ends, its workers, which block in poll, don't keep it and the interface. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { withLaboratory } from '@sallyport/netlab';

const CHILD = fileURLToPath(new URL('./plane-exit-child.ts', import.meta.url));

for (const { how, code } of [
  { how: 'exit', code: 7 },
  { how: 'throw', code: 1 },
])
  test(`a process that ends by ${how}`, () =>
    withLaboratory(async (laboratory) => {
      const child = await laboratory.start([process.execPath, CHILD, how]);
      const exit = await child.end();
      assert.deepEqual(exit, { code, signal: null }, child.stderr);
    }));
