/** Lets so much happen at once, and then so much a second. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #at: number;

  constructor(perSecond: number, burst: number, now: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#at = now;
  }

  /** Whether it may happen once more now (milliseconds). */
  take(now: number): boolean {
    // A clock that was set back gives nothing.
    const passedMs = Math.max(0, now - this.#at);
    this.#at = now;
    this.#tokens = Math.min(this.#burst, this.#tokens + (passedMs / 1000) * this.#perSecond);
    if (this.#tokens < 1) return false;
    this.#tokens--;
    return true;
  }
}
