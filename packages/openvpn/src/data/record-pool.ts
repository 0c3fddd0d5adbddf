import type { Memory } from '@sallyport/core';

/** Fixed-size records in shared memory, given out zeroed. One thread allocates and frees. */
export class RecordPool {
  readonly #memory: Memory;
  readonly #at: number;
  readonly #recordBytes: number;
  readonly #capacity: number;
  readonly #free: number[] = [];
  #used = 0;

  /** `recordBytes` is a multiple of 64. */
  constructor(memory: Memory, at: number, recordBytes: number, capacity: number) {
    this.#memory = memory;
    this.#at = at;
    this.#recordBytes = recordBytes;
    this.#capacity = capacity;
  }

  /** The offset of a zeroed record, or 0 when all are taken. */
  allocate(): number {
    const reused = this.#free.pop();
    if (reused !== undefined) return reused;
    if (this.#used === this.#capacity) return 0;
    return this.#at + this.#recordBytes * this.#used++;
  }

  /** Wipes a record and takes it back. Nobody may name it any more. */
  release(record: number): void {
    this.#memory.u8.fill(0, record, record + this.#recordBytes);
    this.#free.push(record);
  }
}
