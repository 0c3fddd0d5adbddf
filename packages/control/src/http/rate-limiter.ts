export interface Rate {
  /** Tries at once. */
  readonly burst: number;
  /** Tries that come back each second. */
  readonly perSecond: number;
}

interface Bucket {
  /** May be negative where a try was charged though it was refused. */
  tokens: number;
  at: number;
}

/** Token buckets by key, of which the longest untouched are forgotten beyond `maxKeys`. */
export class RateLimiter {
  readonly #rate: Rate;
  readonly #maxKeys: number;
  /** In the order of use. */
  readonly #buckets = new Map<string, Bucket>();

  constructor(rate: Rate, maxKeys = 20_000) {
    this.#rate = rate;
    this.#maxKeys = maxKeys;
  }

  get size(): number {
    return this.#buckets.size;
  }

  /** Takes one try. Answers 0, or the milliseconds until there is one. */
  take(key: string, now: number): number {
    const { burst, perSecond } = this.#rate;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      bucket = { tokens: burst, at: now };
      if (this.#buckets.size >= this.#maxKeys) this.#buckets.delete(this.#buckets.keys().next().value!);
    } else {
      // A clock that was set back gives nothing.
      bucket.tokens = Math.min(burst, bucket.tokens + (Math.max(0, now - bucket.at) / 1000) * perSecond);
      bucket.at = now;
      this.#buckets.delete(key);
    }
    this.#buckets.set(key, bucket);
    if (bucket.tokens >= 1) {
      bucket.tokens -= 1;
      return 0;
    }
    return Math.ceil(((1 - bucket.tokens) / perSecond) * 1000);
  }

  /** Gives a try back. */
  giveBack(key: string): void {
    const bucket = this.#buckets.get(key);
    if (bucket !== undefined) bucket.tokens = Math.min(this.#rate.burst, bucket.tokens + 1);
  }
}
