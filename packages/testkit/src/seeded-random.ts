/** Random numbers that a seed determines, for tests: mulberry32. Not for anything secret. */
export class SeededRandom {
  readonly seed: number;
  #state: number;

  constructor(seed: number) {
    this.seed = seed;
    this.#state = seed | 0;
  }

  /** A number from 0 to 2^32 - 1. */
  u32(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let x = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return (x ^ (x >>> 14)) >>> 0;
  }

  /** From 0 to below 1. */
  fraction(): number {
    return this.u32() / 2 ** 32;
  }

  /** A whole number from 0 to `limit` - 1. */
  below(limit: number): number {
    return Math.floor(this.fraction() * limit);
  }

  /** Whether an event of this probability happens. */
  chance(probability: number): boolean {
    return this.fraction() < probability;
  }

  pick<T>(choices: readonly T[]): T {
    return choices[this.below(choices.length)];
  }

  bytes(length: number): Uint8Array {
    return Uint8Array.from({ length }, () => this.u32() & 0xff);
  }
}

/** Runs a test with a random seed, or that of the variable TEST_SEED; a failure names the seed. */
export function withSeed(body: (random: SeededRandom) => void): void {
  const seed = Number(process.env['TEST_SEED'] ?? 1 + Math.floor(Math.random() * 0x7ffffffe));
  try {
    body(new SeededRandom(seed));
  } catch (cause) {
    throw new Error(
      `with TEST_SEED=${String(seed)} (set it to repeat this): ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    );
  }
}
