import type { Arena } from './arena.ts';
import { errno, libc } from './libc.ts';
import { CMSG_HEADER, CONTROL, CONTROL_BYTES, IOV, IOV_COUNT, SOL_UDP, UDP_SEGMENT } from './message-header.ts';

/** What the kernel takes (UIO_MAXIOV). */
const MAX_PIECES = 1024;

// offsets in the scratch
const MESSAGE = 0;
const CONTROLS = MESSAGE + 64;
const CONTROLS_BYTES = CMSG_HEADER + 8;
const VECTORS = CONTROLS + 64;

/** Writes what lies in pieces with one system call and no copy. One instance serves one thread. */
export class PieceWriter {
  static readonly maxPieces = MAX_PIECES;
  static readonly scratchBytes = VECTORS + MAX_PIECES * 16;
  /** What was added since {@link clear}: pieces, and all their bytes. */
  count = 0;
  bytes = 0;
  readonly #arena: Arena;
  readonly #scratch: number;

  constructor(arena: Arena, scratch: number) {
    this.#arena = arena;
    this.#scratch = scratch;
    arena.writePointer(scratch + MESSAGE + IOV, scratch + VECTORS);
    arena.writePointer(scratch + MESSAGE + CONTROL, scratch + CONTROLS);
    const { u32 } = arena;
    u32[(scratch + CONTROLS) >> 2] = CMSG_HEADER + 2;
    u32[(scratch + CONTROLS + 8) >> 2] = SOL_UDP;
    u32[(scratch + CONTROLS + 12) >> 2] = UDP_SEGMENT;
  }

  clear(): void {
    this.count = 0;
    this.bytes = 0;
  }

  /** One more piece, {@link maxPieces} at the most. */
  add(at: number, length: number): void {
    const vector = this.#scratch + VECTORS + 16 * this.count++;
    this.#arena.writePointer(vector, at);
    this.#arena.u32[(vector + 8) >> 2] = length;
    this.bytes += length;
  }

  /** Writes the pieces one after the other to a stream, and returns how many bytes it took, or minus errno. */
  write(fd: number): number {
    const written = libc.writev(fd, this.#arena.address + this.#scratch + VECTORS, this.count);
    return written < 0 ? -errno() : written;
  }

  /**
   * Sends the pieces by a connected UDP socket: a datagram each, all of `segmentSize` bytes but the last, which may be
   * shorter (UDP_SEGMENT). False where they did not leave.
   */
  sendTrain(fd: number, segmentSize: number): boolean {
    const { u32, address } = this.#arena;
    const message = this.#scratch + MESSAGE;
    u32[(message + IOV_COUNT) >> 2] = this.count;
    u32[(message + CONTROL_BYTES) >> 2] = this.count > 1 ? CONTROLS_BYTES : 0;
    u32[(this.#scratch + CONTROLS + CMSG_HEADER) >> 2] = segmentSize;
    return libc.sendmsg(fd, address + message, 0) >= 0;
  }

  /** Copies the bytes behind the first `skip` to `to`, in one piece. */
  copyRest(skip: number, to: number): void {
    const { u8, u32, address } = this.#arena;
    let left = skip;
    let next = to;
    for (let i = 0; i < this.count; i++) {
      const vector = (this.#scratch + VECTORS + 16 * i) >> 2;
      const length = u32[vector + 2];
      if (left < length) {
        const from = u32[vector] + u32[vector + 1] * 4_294_967_296 - address + left;
        u8.copyWithin(next, from, from + length - left);
        next += length - left;
        left = 0;
      } else left -= length;
    }
  }
}
