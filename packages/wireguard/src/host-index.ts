import type { Memory } from '@sallyport/core';

/*
 * A node of the trie in allowed-ips.ts is named by its word offset in memory, 0 being none. It begins with four
 * words of address in network order, an IPv4 one in the first word and zero in the others; then comes its length.
 */
/** The word of a node that holds how many bits its prefix has. */
export const NODE_LENGTH = 4;

/** A bucket is one cache line: the tags of up to 8 nodes, then the nodes, both without gaps. */
const BUCKET_WORDS = 16;
const ENTRIES = 8;

function bucketsFor(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, capacity / 4)));
}

function mix(word: number): number {
  const half = Math.imul(word ^ (word >>> 16), 0x9e3779b1);
  const whole = Math.imul(half ^ (half >>> 15), 0x9e3779b1);
  return whole ^ (whole >>> 16);
}

/** The multipliers are arbitrary odd numbers, different from one another. */
function hash(a: number, b: number, c: number, d: number): number {
  return mix(a ^ Math.imul(b, 0x5f3759d5) ^ Math.imul(c, 0x3c6ef373) ^ Math.imul(d, 0x1d872b41));
}

/**
 * A shortcut to the nodes of /32 and /128 prefixes, because a trie of 100,000 peers costs a cache miss for each of
 * its lower levels. A node whose bucket is full is left out and found by the trie alone: so no choice of addresses
 * makes a look-up long.
 */
export class HostIndex {
  readonly #i32: Int32Array;
  readonly #buckets: number;
  readonly #mask: number;

  static bytes(capacity: number): number {
    return bucketsFor(capacity) * BUCKET_WORDS * 4;
  }

  /** On {@link HostIndex.bytes} bytes at `at`, zeroed at first. */
  constructor(memory: Memory, at: number, capacity: number) {
    this.#i32 = memory.i32;
    this.#buckets = at >> 2;
    this.#mask = bucketsFor(capacity) - 1;
  }

  /** The node of the address (a, b, c, d) whose prefix has `length` bits, or 0. */
  find(length: number, a: number, b: number, c: number, d: number): number {
    const i32 = this.#i32;
    const tag = hash(a, b, c, d);
    const bucket = this.#buckets + (tag & this.#mask) * BUCKET_WORDS;
    for (let entry = bucket; entry < bucket + ENTRIES; entry++) {
      const node = i32[entry + ENTRIES];
      if (node === 0) return 0;
      if (
        i32[entry] === tag &&
        i32[node] === a &&
        i32[node + 1] === b &&
        i32[node + 2] === c &&
        i32[node + 3] === d &&
        i32[node + NODE_LENGTH] === length
      )
        return node;
    }
    return 0;
  }

  add(node: number): void {
    const i32 = this.#i32;
    const tag = this.#tagOf(node);
    const bucket = this.#buckets + (tag & this.#mask) * BUCKET_WORDS;
    for (let entry = bucket; entry < bucket + ENTRIES; entry++) {
      if (i32[entry + ENTRIES] !== 0) continue;
      i32[entry] = tag;
      i32[entry + ENTRIES] = node;
      return;
    }
  }

  /** Does nothing for a node that was left out. */
  remove(node: number): void {
    const i32 = this.#i32;
    const bucket = this.#buckets + (this.#tagOf(node) & this.#mask) * BUCKET_WORDS;
    let found = 0;
    let last = 0;
    for (let entry = bucket; entry < bucket + ENTRIES && i32[entry + ENTRIES] !== 0; entry++) {
      if (i32[entry + ENTRIES] === node) found = entry;
      last = entry;
    }
    if (found === 0) return;
    i32[found] = i32[last];
    i32[found + ENTRIES] = i32[last + ENTRIES];
    i32[last + ENTRIES] = 0;
  }

  #tagOf(node: number): number {
    const i32 = this.#i32;
    return hash(i32[node], i32[node + 1], i32[node + 2], i32[node + 3]);
  }
}
