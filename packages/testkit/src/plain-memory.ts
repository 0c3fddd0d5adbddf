import type { Memory } from '@sallyport/core';

/** A `Memory` of ordinary JavaScript, for tests: `bytes` (rounded up to 8) of zeros. */
export function plainMemory(bytes: number): Memory {
  const buffer = new ArrayBuffer((bytes + 7) & -8);
  const u8 = new Uint8Array(buffer);

  function sum(at: number, length: number): number {
    if (at < 0 || length < 0 || at + length > u8.length) throw new RangeError('sum reaches outside the memory');
    let total = 0;
    for (let i = 0; i < length; i++) total += i % 2 === 0 ? u8[at + i] : u8[at + i] * 256;
    return total % 2 ** 32;
  }

  return {
    u8,
    u32: new Uint32Array(buffer),
    i32: new Int32Array(buffer),
    f64: new Float64Array(buffer),
    view: new DataView(buffer),
    sum,
    copyAndSum(to, from, length) {
      if (to < 0 || to + length > u8.length) throw new RangeError('copyAndSum reaches outside the memory');
      const total = sum(from, length);
      u8.copyWithin(to, from, from + length);
      return total;
    },
  };
}
