import type { Instant } from '@sallyport/core';

/** ICMP errors that one worker sends at most: a burst, and this many a second after it (RFC 4443, section 2.4 f). */
const BURST = 50;
const PER_SECOND = 200;

/** A token bucket for the ICMP errors that we send. */
export class IcmpAnswers {
  #tokens = BURST;
  #at: Instant = 0;

  /** Whether one more may go now. */
  take(now: Instant): boolean {
    this.#tokens = Math.min(BURST, this.#tokens + ((now - this.#at) * PER_SECOND) / 1000);
    this.#at = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }
}
