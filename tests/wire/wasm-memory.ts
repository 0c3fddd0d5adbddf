import type { Memory } from '@sallyport/core';
import { checksumOf } from '../../packages/io/src/checksum.ts';

/** A `Memory` as the data plane has it: shared, with the checksum in WebAssembly. */
export function wasmMemory(bytes: number): Memory {
  const pages = Math.ceil(bytes / 65536);
  const wasm = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const { buffer } = wasm;
  return {
    u8: new Uint8Array(buffer),
    u32: new Uint32Array(buffer),
    i32: new Int32Array(buffer),
    f64: new Float64Array(buffer),
    view: new DataView(buffer),
    ...checksumOf(wasm),
  };
}
