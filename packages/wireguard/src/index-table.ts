import type { Memory } from '@sallyport/core';

/*
 * Words of the region: a header, then the slots, a power of two of them, each a receiver index and a keypair. An
 * index is looked for from its home slot onwards, up to a slot that was never used. As index 0 is legal, it is
 * the keypair that says what a slot is.
 */
const LIVE = 0;
/** Slots that are not free: live ones and tombstones. */
const USED = 1;
const HEADER_WORDS = 16;

const FREE = 0;
const TOMBSTONE = -1;

/** An index is always nearer than this to its home slot, so that no lookup is long, whatever is asked for. */
const MAX_PROBES = 128;

function slotsFor(capacity: number): number {
  // Live indices fill at most 3/8 of the slots; tombstones may add to that up to half of them.
  return 2 ** Math.ceil(Math.log2(Math.max(16, (capacity * 8) / 3)));
}

/**
 * Receiver index -> offset of its keypair, in shared memory. Every thread constructs it on the same region, zeroed
 * at first and best aligned to a cache line. One thread inserts and removes while any number look up, without lock.
 */
export class IndexTable {
  readonly #i32: Int32Array;
  readonly #header: number;
  readonly #slots: number;
  readonly #mask: number;
  readonly #capacity: number;

  /** Bytes of the region for at most `capacity` indices. */
  static bytes(capacity: number): number {
    return HEADER_WORDS * 4 + slotsFor(capacity) * 8;
  }

  constructor(memory: Memory, at: number, capacity: number) {
    this.#i32 = memory.i32;
    this.#header = at >> 2;
    this.#slots = this.#header + HEADER_WORDS;
    this.#mask = slotsFor(capacity) - 1;
    this.#capacity = capacity;
  }

  /**
   * The keypair of a receiver index (u32), or 0. Beside a writer it may return a keypair that is removed just now,
   * so the caller compares the keypair's own index; it never returns one that was inserted by another index.
   */
  lookup(index: number): number {
    const i32 = this.#i32;
    const mask = this.#mask;
    const wanted = index | 0;
    for (let probe = 0, position = wanted & mask; probe < MAX_PROBES; probe++, position = (position + 1) & mask) {
      const slot = this.#slots + position * 2;
      if (i32[slot + 1] === FREE) return 0;
      if (i32[slot] !== wanted) continue;
      // So far a guess. The writer changes a slot's index only while it is a tombstone: where the keypair is the
      // same before and after, the index read between is its own. Atomic loads keep the three in this order.
      const keypair = Atomics.load(i32, slot + 1);
      if (keypair === FREE || keypair === TOMBSTONE) continue;
      if (Atomics.load(i32, slot) === wanted && i32[slot + 1] === keypair) return keypair;
    }
    return 0;
  }

  /**
   * Adds an index (u32) for the keypair at a positive offset. Returns false, changing nothing, if the index is
   * there already, or the table is full or crowded just here: then another random index may fit.
   */
  insert(index: number, keypair: number): boolean {
    const i32 = this.#i32;
    const mask = this.#mask;
    const wanted = index | 0;
    if (i32[this.#header + LIVE] >= this.#capacity) return false;
    let into = 0;
    for (let probe = 0, position = wanted & mask; probe < MAX_PROBES; probe++, position = (position + 1) & mask) {
      const slot = this.#slots + position * 2;
      const found = i32[slot + 1];
      if (found === FREE || found === TOMBSTONE) into ||= slot;
      else if (i32[slot] === wanted) return false;
      if (found === FREE) break;
    }
    if (into === 0) return false;
    if (i32[into + 1] === FREE) {
      if (i32[this.#header + USED] * 2 > mask) return false;
      i32[this.#header + USED]++;
    }
    i32[this.#header + LIVE]++;
    // Who sees the keypair sees its index.
    Atomics.store(i32, into, wanted);
    Atomics.store(i32, into + 1, keypair);
    return true;
  }

  /** Removes an index (u32); false if it was not there. */
  remove(index: number): boolean {
    const i32 = this.#i32;
    const mask = this.#mask;
    const wanted = index | 0;
    for (let probe = 0, position = wanted & mask; probe < MAX_PROBES; probe++, position = (position + 1) & mask) {
      const slot = this.#slots + position * 2;
      const keypair = i32[slot + 1];
      if (keypair === FREE) return false;
      if (keypair === TOMBSTONE || i32[slot] !== wanted) continue;
      Atomics.store(i32, slot + 1, TOMBSTONE);
      i32[this.#header + LIVE]--;
      this.#freeTombstonesUpTo(position);
      return true;
    }
    return false;
  }

  /** A tombstone in front of a free slot leads no lookup anywhere, so it can be free as well. */
  #freeTombstonesUpTo(position: number): void {
    const i32 = this.#i32;
    const mask = this.#mask;
    if (i32[this.#slots + ((position + 1) & mask) * 2 + 1] !== FREE) return;
    for (;;) {
      const slot = this.#slots + position * 2;
      if (i32[slot + 1] !== TOMBSTONE) return;
      Atomics.store(i32, slot + 1, FREE);
      i32[this.#header + USED]--;
      position = (position - 1) & mask;
    }
  }

  /** Whether so many tombstones have gathered (a sixteenth of the slots) that inserting may soon fail. */
  needsRebuild(): boolean {
    const i32 = this.#i32;
    return (i32[this.#header + USED] - i32[this.#header + LIVE]) * 16 > this.#mask;
  }

  /** Frees all tombstones. Nobody may look up meanwhile. */
  rebuild(): void {
    const i32 = this.#i32;
    const mask = this.#mask;
    let start = 0;
    while (i32[this.#slots + start * 2 + 1] !== FREE) start++;
    for (let position = 0; position <= mask; position++) {
      const slot = this.#slots + position * 2;
      if (i32[slot + 1] === TOMBSTONE) i32[slot + 1] = FREE;
    }
    i32[this.#header + USED] = i32[this.#header + LIVE];
    // In order from a slot that was free, each index moves at most towards its home: its own slot is free for it.
    for (let i = 1; i <= mask; i++) {
      const slot = this.#slots + ((start + i) & mask) * 2;
      const keypair = i32[slot + 1];
      if (keypair === FREE) continue;
      const index = i32[slot];
      i32[slot + 1] = FREE;
      let position = index & mask;
      while (i32[this.#slots + position * 2 + 1] !== FREE) position = (position + 1) & mask;
      i32[this.#slots + position * 2] = index;
      i32[this.#slots + position * 2 + 1] = keypair;
    }
  }
}
