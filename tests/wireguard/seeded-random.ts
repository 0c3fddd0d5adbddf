/** Random u32 numbers from a seed: xorshift, whose state must not be 0. */
export function randomFrom(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    // The multiplication is for the low bits, which xorshift alone leaves weak.
    return (Math.imul(state, 0x9e3779b1) ^ (state >>> 15)) >>> 0;
  };
}

/** Runs a test with random numbers; a failure names the seed, which TEST_SEED then sets again. */
export function withRandom(body: (random: () => number) => void): void {
  const seed = Number(process.env['TEST_SEED'] ?? 1 + Math.floor(Math.random() * 0x7ffffffe));
  try {
    body(randomFrom(seed));
  } catch (cause) {
    throw new Error(`with TEST_SEED=${String(seed)}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}
