import type { Arena } from './arena.ts';
import { libc } from './libc.ts';

/** Pieces of one frame at most: what the kernel takes (UIO_MAXIOV). */
const MAX_PIECES = 1024;

/** Writes a frame that lies in pieces to TUN with one system call and no copy. One instance serves one thread. */
export class FrameWriter {
  static readonly scratchBytes = MAX_PIECES * 16;
  readonly #arena: Arena;
  readonly #vectors: number;

  constructor(arena: Arena, scratch: number) {
    this.#arena = arena;
    this.#vectors = scratch;
  }

  /** Writes `count` pieces (offset and length each); false when the kernel refuses. */
  write(fd: number, at: Int32Array, length: Int32Array, count: number): boolean {
    const arena = this.#arena;
    for (let i = 0; i < count; i++) {
      const vector = this.#vectors + 16 * i;
      arena.writePointer(vector, at[i]);
      arena.u32[(vector + 8) >> 2] = length[i];
    }
    return libc.writev(fd, arena.address + this.#vectors, count) >= 0;
  }
}
