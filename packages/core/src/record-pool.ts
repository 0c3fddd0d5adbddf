import type { Memory } from './memory.ts';

/** Fixed-size records in shared memory, given out zeroed. One thread allocates and frees. */
export class RecordPool {
  readonly #memory: Memory;
  readonly #at: number;
  readonly #recordBytes: number;
  readonly #capacity: number;
  readonly #free: number[] = [];
  /** Given back, but somebody may still name them. */
  readonly #resting: number[] = [];
  #used = 0;

  static bytes(recordBytes: number, capacity: number): number {
    return recordBytes * capacity;
  }

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

  /** Gives a record back, wiping it. It is given out again only after {@link recycle}. */
  release(record: number): void {
    this.#memory.u8.fill(0, record, record + this.#recordBytes);
    this.#resting.push(record);
  }

  /** Nobody names the released records any more. */
  recycle(): void {
    for (const record of this.#resting) this.#free.push(record);
    this.#resting.length = 0;
  }
}
