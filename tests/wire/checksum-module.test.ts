import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainMemory, withSeed } from '@sallyport/testkit';
import { CHECKSUM_WASM } from '../../packages/io/src/checksum-wasm.ts';
import { assembleChecksum } from '../../scripts/build-checksum.ts';
import { wasmMemory } from './wasm-memory.ts';

const BYTES = 4 * 65536;

/** RFC 1071's sum over little-endian words, with nothing clever. */
function wordSum(bytes: Uint8Array): number {
  let sum = 0;
  for (let i = 0; i < bytes.length; i += 2) sum += bytes[i] + 256 * (bytes[i + 1] ?? 0);
  return sum;
}

test('the committed module is what wabt makes of checksum.wat', async () => {
  assert.equal(CHECKSUM_WASM, await assembleChecksum());
});

for (const [name, memory] of [
  ['WebAssembly', wasmMemory(BYTES)],
  ['plain', plainMemory(BYTES)],
] as const) {
  test(`${name}: sum and copyAndSum at every length and alignment`, () => {
    withSeed((random) => {
      const data = random.bytes(2048);
      const { u8 } = memory;
      for (let length = 0; length <= 200; length++) {
        for (let shift = 0; shift < 17; shift++) {
          const from = 4096 + shift;
          const to = 16384 + random.below(17);
          const bytes = data.subarray(shift, shift + length);
          u8.fill(0xee, from - 64, from + length + 64);
          u8.set(bytes, from);
          assert.equal(memory.sum(from, length), wordSum(bytes));
          u8.fill(0xcc, to - 64, to + length + 64);
          assert.equal(memory.copyAndSum(to, from, length), wordSum(bytes));
          assert.deepEqual(u8.slice(to, to + length), bytes);
          for (let i = 1; i <= 64; i++) {
            assert.equal(u8[to - i], 0xcc);
            assert.equal(u8[to + length + i - 1], 0xcc);
          }
        }
      }
    });
  });

  test(`${name}: the largest sums do not overflow`, () => {
    const { u8 } = memory;
    u8.fill(0xff);
    for (const length of [65535, 65536, 65575, 131072]) {
      assert.equal(memory.sum(1, length), wordSum(u8.subarray(1, 1 + length)));
      assert.equal(memory.copyAndSum(BYTES - length, 0, length), wordSum(u8.subarray(0, length)));
    }
  });

  test(`${name}: reaches the memory's last byte, and not past it`, () => {
    const { u8 } = memory;
    u8.fill(0);
    u8[BYTES - 1] = 7;
    for (let length = 1; length < 80; length++) {
      assert.equal(memory.sum(BYTES - length, length), length % 2 === 1 ? 7 : 7 * 256);
      assert.equal(memory.copyAndSum(0, BYTES - length, length), length % 2 === 1 ? 7 : 7 * 256);
      assert.equal(memory.copyAndSum(BYTES - length, 0, length), length % 2 === 1 ? 7 : 7 * 256);
      assert.throws(() => memory.sum(BYTES - length + 1, length));
      assert.throws(() => memory.copyAndSum(0, BYTES - length + 1, length));
      assert.throws(() => memory.copyAndSum(BYTES - length + 1, 0, length));
    }
  });
}
