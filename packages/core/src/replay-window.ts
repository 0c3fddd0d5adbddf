import type { Memory } from './memory.ts';

const TWO_TO_32 = 4_294_967_296;

/**
 * The sliding window of RFC 6479 over the counters that packets are numbered by. The bitmap is a ring of words that is
 * never shifted: when the greatest counter moves into a new word, that word is cleared and so forgets the counters of
 * one turn before.
 *
 * Each key has a record in memory: two u32 words with the greatest counter accepted (low, high), then the bitmap.
 * Zeroed, it is fresh.
 */
export class ReplayWindow {
  /** Bits of the ring. */
  readonly bits: number;
  /** How far a counter may lie behind the greatest one accepted: all but one word of the ring. */
  readonly size: number;
  /** Bytes of a record, which is aligned to 4. */
  readonly bytes: number;
  readonly #words: number;

  /** `bits` is a power of two. */
  constructor(bits: number) {
    this.bits = bits;
    this.size = bits - 32;
    this.bytes = 8 + bits / 8;
    this.#words = bits / 32;
  }

  /**
   * Accepts the counter (high, low), two u32 words, if it was not accepted before and is not more than {@link size}
   * behind the greatest one. Every counter from 0 to 2^64 - 1 is counted; which there can be is for the caller to know.
   * Call it under the key's lock, after the packet was authenticated.
   */
  accept(memory: Memory, at: number, low: number, high: number): boolean {
    const { u32 } = memory;
    const words = this.#words;
    const record = at >> 2;
    const bitmap = record + 2;
    const greatestLow = u32[record];
    // As a float the distance is exact below 2^53, and beyond that it only has to be large.
    const ahead = (high - u32[record + 1]) * TWO_TO_32 + (low - greatestLow);
    if (ahead > 0) {
      const from = greatestLow >>> 5;
      const moved = ahead >= this.bits ? words : ((low >>> 5) - from) & 0x7ffffff;
      for (let i = 1; i <= moved; i++) u32[bitmap + ((from + i) & (words - 1))] = 0;
      u32[record] = low;
      u32[record + 1] = high;
    } else if (ahead < -this.size) {
      return false;
    }
    const word = bitmap + ((low >>> 5) & (words - 1));
    const bit = 1 << (low & 31);
    const bits = u32[word];
    if ((bits & bit) !== 0) return false;
    u32[word] = bits | bit;
    return true;
  }

  /** Forgets all, for a new key. */
  reset({ u8 }: Memory, at: number): void {
    u8.fill(0, at, at + this.bytes);
  }
}
