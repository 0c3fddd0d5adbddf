import type { Memory } from '@sallyport/core';

/*
 * The sliding window of RFC 6479 over a keypair's counters (section 5.4.6 of WireGuard's paper). The bitmap is a
 * ring of words that is never shifted: when the greatest counter moves into a new word, that word is cleared and
 * so forgets the counters of one turn before.
 *
 * A record is two u32 words with the greatest counter accepted (low, high), then the bitmap. Zeroed, it is fresh.
 */

/** Bits of the ring. */
export const WINDOW_BITS = 16_384;
/** How far a counter may lie behind the greatest one accepted: all but one word of the ring, so 16,352. */
export const WINDOW_SIZE = WINDOW_BITS - 32;
/** Bytes of a window's record, which is aligned to 4. */
export const WINDOW_BYTES = 8 + WINDOW_BITS / 8;

const WORDS = WINDOW_BITS / 32;
const WORD_MASK = WORDS - 1;
const TWO_TO_32 = 4_294_967_296;

/**
 * Accepts the counter (high, low), two u32 words, if it was not accepted before and is not more than
 * {@link WINDOW_SIZE} behind the greatest one. Every counter from 0 to 2^64 - 1 is counted; the limit on messages
 * (section 6.2) is the caller's. Call it under the keypair's lock, after the message was authenticated.
 */
export function accept(memory: Memory, at: number, low: number, high: number): boolean {
  const { u32 } = memory;
  const record = at >> 2;
  const bitmap = record + 2;
  const greatestLow = u32[record];
  // As a float the distance is exact below 2^53, and beyond that it only has to be large.
  const ahead = (high - u32[record + 1]) * TWO_TO_32 + (low - greatestLow);
  if (ahead > 0) {
    const from = greatestLow >>> 5;
    const words = ahead >= WINDOW_BITS ? WORDS : ((low >>> 5) - from) & 0x7ffffff;
    for (let i = 1; i <= words; i++) u32[bitmap + ((from + i) & WORD_MASK)] = 0;
    u32[record] = low;
    u32[record + 1] = high;
  } else if (ahead < -WINDOW_SIZE) {
    return false;
  }
  const word = bitmap + ((low >>> 5) & WORD_MASK);
  const bit = 1 << (low & 31);
  const bits = u32[word];
  if ((bits & bit) !== 0) return false;
  u32[word] = bits | bit;
  return true;
}
