import { CHECKSUM_WASM } from './checksum-wasm.ts';

// The part of the WebAssembly namespace that Sallyport uses: neither lib ES2023 nor @types/node declares it.
declare global {
  namespace WebAssembly {
    class Memory {
      constructor(descriptor: { initial: number; maximum?: number; shared?: boolean });
      readonly buffer: ArrayBuffer | SharedArrayBuffer;
      grow(pages: number): number;
    }
    class Module {
      constructor(bytes: Uint8Array);
    }
    class Instance {
      constructor(module: Module, imports: Record<string, Record<string, unknown>>);
      readonly exports: Record<string, unknown>;
    }
  }
}

/** The two operations of `Memory` (packages/core) that are worth vector instructions. */
export interface Checksum {
  /** See `Memory.sum`. Exact for `length` <= 131,074. Traps (`WebAssembly.RuntimeError`) outside the memory. */
  readonly sum: (at: number, length: number) => number;
  /** See `Memory.copyAndSum`. */
  readonly copyAndSum: (to: number, from: number, length: number) => number;
}

let compiled: WebAssembly.Module | undefined;

/** Binds checksum.wat to a memory, which has to be shared (`new WebAssembly.Memory({ …, shared: true })`). */
export function checksumOf(memory: WebAssembly.Memory): Checksum {
  compiled ??= new WebAssembly.Module(Buffer.from(CHECKSUM_WASM, 'base64'));
  const { exports } = new WebAssembly.Instance(compiled, { env: { memory } });
  const sum = exports['sum'] as Checksum['sum'];
  const copyAndSum = exports['copyAndSum'] as Checksum['copyAndSum'];
  return {
    sum: (at, length) => sum(at, length) >>> 0,
    copyAndSum: (to, from, length) => copyAndSum(to, from, length) >>> 0,
  };
}
