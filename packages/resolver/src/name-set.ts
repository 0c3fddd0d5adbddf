import { randomInt } from 'node:crypto';

/** Whatever is in it, so much memory: 8 bytes a name, 16 while one is made. */
export const MAX_NAMES = 2_000_000;

/** Two numbers by which this process alone hashes: nobody can prepare names that meet in one hash. */
const seeds = [randomInt(2 ** 31), randomInt(2 ** 31)] as const;

/**
 * A set of names, as hashes of 53 bits in order. A name that is not in it is taken for one that is with a probability of
 * `size` / 2^53: with two million names once in 4.5 thousand million different names asked for.
 */
export class NameSet {
  static readonly EMPTY = new NameSet(new Float64Array(0));
  readonly #hashes: Float64Array;

  private constructor(hashes: Float64Array) {
    this.#hashes = hashes;
  }

  /** Takes the hashes of {@link NameSetBuilder}. */
  static of(hashes: Float64Array): NameSet {
    hashes.sort();
    let size = 0;
    for (let i = 0; i < hashes.length; i++) if (i === 0 || hashes[i] !== hashes[i - 1]) hashes[size++] = hashes[i]!;
    return new NameSet(hashes.slice(0, size));
  }

  get size(): number {
    return this.#hashes.length;
  }

  /** Whether the set has the name (lower case) or one above it. */
  covers(name: string): boolean {
    if (this.#hashes.length === 0) return false;
    let [low, high] = seeds;
    for (let i = name.length - 1; i >= 0; i--) {
      const code = name.charCodeAt(i);
      // The end of a parent's name: the hash goes from the right to the left.
      if (code === 0x2e && this.#has(finish(low, high))) return true;
      low = Math.imul(low ^ code, 0x01000193);
      high = Math.imul(high ^ code, 0x5bd1e995) ^ (high >>> 15);
    }
    return this.#has(finish(low, high));
  }

  #has(hash: number): boolean {
    const hashes = this.#hashes;
    let from = 0;
    let to = hashes.length;
    while (from < to) {
      const middle = (from + to) >>> 1;
      if (hashes[middle] < hash) from = middle + 1;
      else to = middle;
    }
    return from < hashes.length && hashes[from] === hash;
  }
}

/** Gathers names for a {@link NameSet}. */
export class NameSetBuilder {
  #hashes = new Float64Array(4096);
  #size = 0;

  /** False where there is no room for it any more. */
  add(name: string): boolean {
    if (this.#size === MAX_NAMES) return false;
    if (this.#size === this.#hashes.length) {
      const larger = new Float64Array(Math.min(this.#size * 2, MAX_NAMES));
      larger.set(this.#hashes);
      this.#hashes = larger;
    }
    this.#hashes[this.#size++] = hashOf(name);
    return true;
  }

  finish(): NameSet {
    return NameSet.of(this.#hashes.subarray(0, this.#size));
  }
}

function hashOf(name: string): number {
  let [low, high] = seeds;
  for (let i = name.length - 1; i >= 0; i--) {
    const code = name.charCodeAt(i);
    low = Math.imul(low ^ code, 0x01000193);
    high = Math.imul(high ^ code, 0x5bd1e995) ^ (high >>> 15);
  }
  return finish(low, high);
}

/** Spreads both halves and joins them to a whole number below 2^53. */
function finish(low: number, high: number): number {
  return (spread(high ^ Math.imul(low, 0x9e3779b1)) >>> 11) * 2 ** 32 + (spread(low) >>> 0);
}

function spread(half: number): number {
  let mixed = Math.imul(half ^ (half >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}
