import type { Memory } from '@sallyport/core';
import { checksumOf } from './checksum.ts';
import { lowAlias } from './low-alias.ts';

const PAGE_BYTES = 65_536;
const SCRATCH_BYTES = 128;

/** An arena as it is handed to another thread. */
export interface SharedArena {
  readonly memory: WebAssembly.Memory;
  readonly address: number;
}

/**
 * The data plane's memory: one shared WebAssembly.Memory, so that every worker sees the same bytes at the same
 * offsets, Atomics work on it, system calls and OpenSSL reach it by address, and the checksum runs on it in SIMD.
 * It is reserved whole at the start and never grows; the kernel gives pages as they are touched.
 */
export class Arena implements Memory {
  /** What another thread needs to open the same arena. */
  readonly shared: SharedArena;
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  readonly view: DataView;
  readonly sum: (at: number, length: number) => number;
  readonly copyAndSum: (to: number, from: number, length: number) => number;
  /** The address of offset 0, for system calls and OpenSSL. */
  readonly address: number;
  /** {@link SCRATCH_BYTES} for single system calls of the thread that created the arena, and for no other thread. */
  readonly scratch = 64; // offset 0 means "none" everywhere
  #next = 64 + SCRATCH_BYTES;

  constructor(shared: SharedArena) {
    this.shared = shared;
    this.address = shared.address;
    const { buffer } = shared.memory;
    this.u8 = new Uint8Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.i32 = new Int32Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.view = new DataView(buffer);
    const { sum, copyAndSum } = checksumOf(shared.memory);
    this.sum = sum;
    this.copyAndSum = copyAndSum;
  }

  /** A new arena of at least `bytes` bytes, below 2 GiB, so that offsets stay small integers. */
  static create(bytes: number): Arena {
    const pages = Math.ceil(bytes / PAGE_BYTES);
    const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
    return new Arena({ memory, address: lowAlias(memory.buffer) });
  }

  /** Takes `bytes` zeroed bytes, aligned to a cache line, for good. Only the thread that created the arena does. */
  allocate(bytes: number): number {
    const at = this.#next;
    this.#next = (at + bytes + 63) & -64;
    if (this.#next > this.u8.length) throw new RangeError(`the arena has no room for ${String(bytes)} bytes more`);
    return at;
  }

  /** Writes the address of `at` as a 64-bit pointer to `to`, which is aligned to 8. */
  writePointer(to: number, at: number): void {
    const address = this.address + at;
    const low = address >>> 0;
    this.u32[to >> 2] = low;
    this.u32[(to >> 2) + 1] = (address - low) / 4_294_967_296;
  }
}
