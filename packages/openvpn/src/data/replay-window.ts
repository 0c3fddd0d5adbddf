import type { Memory } from '@sallyport/core';

/*
 * The sliding window of RFC 6479 over packet ids. The bitmap is a ring of words that is never shifted: when the greatest
 * packet id moves into a new word, that word is cleared and so forgets the packet ids of one turn before.
 *
 * A record is an f64 with the greatest packet id accepted, then the bitmap. Zeroed, it is fresh.
 */

/** Bits of the ring. */
const WINDOW_BITS = 8192;
/** How far a packet id may lie behind the greatest one accepted: all but one word of the ring. */
export const WINDOW_SIZE = WINDOW_BITS - 32;
/** Bytes of a window's record, which is aligned to 8. */
export const WINDOW_BYTES = 8 + WINDOW_BITS / 8;

const WORDS = WINDOW_BITS / 32;

/**
 * Accepts a packet id, up to 2^48, if it was not accepted before and is not more than {@link WINDOW_SIZE} behind the
 * greatest one. 0 is no packet id: they begin with 1. Call it under the key's lock, after the packet was authenticated.
 */
export function accept({ u32, f64 }: Memory, at: number, packetId: number): boolean {
  const greatest = f64[at >> 3];
  const bitmap = (at >> 2) + 2;
  const place = packetId % WINDOW_BITS;
  if (packetId > greatest) {
    const from = Math.floor(greatest / 32);
    const words = Math.min(WORDS, Math.floor(packetId / 32) - from);
    for (let i = 1, word = from % WORDS; i <= words; i++) {
      word = (word + 1) % WORDS;
      u32[bitmap + word] = 0;
    }
    f64[at >> 3] = packetId;
  } else if (packetId === 0 || greatest - packetId > WINDOW_SIZE) {
    return false;
  }
  const word = bitmap + (place >>> 5);
  const bit = 1 << (place & 31);
  const bits = u32[word];
  if ((bits & bit) !== 0) return false;
  u32[word] = bits | bit;
  return true;
}

/** Forgets all, for a new key. */
export function resetWindow({ u8 }: Memory, at: number): void {
  u8.fill(0, at, at + WINDOW_BYTES);
}
