import type { Instant } from '@sallyport/core';
import { MAX_COUNTED } from './settings.ts';

export interface QuotaLimits {
  /** Key exchanges in progress. */
  readonly handshakes: number;
  /** Key exchanges begun in a window of time. */
  readonly starts: number;
}

interface Count {
  handshakes: number;
  starts: number;
  windowEnds: Instant;
}

/** Key exchanges in progress and begun lately, by source or by profile. */
export class Quotas {
  readonly #windowMs: number;
  readonly #counts = new Map<string, Count>();
  #sweepAt: Instant = -Infinity;

  constructor(windowMs: number) {
    this.#windowMs = windowMs;
  }

  /** Counts a start; false, counting nothing, where there are too many. */
  start(key: string, limits: QuotaLimits, now: Instant): boolean {
    this.#sweep(now);
    let count = this.#counts.get(key);
    if (count === undefined) {
      if (this.#counts.size >= MAX_COUNTED) return false;
      count = { handshakes: 0, starts: 0, windowEnds: now + this.#windowMs };
      this.#counts.set(key, count);
    }
    if (now >= count.windowEnds) {
      count.starts = 0;
      count.windowEnds = now + this.#windowMs;
    }
    if (count.handshakes >= limits.handshakes || count.starts >= limits.starts) return false;
    count.handshakes++;
    count.starts++;
    return true;
  }

  /** A key exchange is no longer in progress. */
  end(key: string): void {
    const count = this.#counts.get(key);
    if (count !== undefined) count.handshakes--;
  }

  /** Forgets, once a window, those that nothing is known of any more. */
  #sweep(now: Instant): void {
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + this.#windowMs;
    for (const [key, { handshakes, windowEnds }] of this.#counts)
      if (handshakes === 0 && now >= windowEnds) this.#counts.delete(key);
  }
}

/** One place in a quota, and by what it is limited. */
export interface Place {
  readonly quotas: Quotas;
  readonly key: string;
  readonly limits: QuotaLimits;
}

/** Counts a start in all of these places, or in none: what to call when it is over, or undefined. */
export function startIn(places: readonly Place[], now: Instant): (() => void) | undefined {
  const end = (taken: readonly Place[]): void => {
    for (const { quotas, key } of taken) quotas.end(key);
  };
  for (const [i, { quotas, key, limits }] of places.entries()) {
    if (quotas.start(key, limits, now)) continue;
    end(places.slice(0, i));
    return undefined;
  }
  return () => {
    end(places);
  };
}

/** So many in a second, whosever they are. */
export class Meter {
  #taken = 0;
  #secondEnds: Instant = -Infinity;

  take(limit: number, now: Instant): boolean {
    if (now >= this.#secondEnds) {
      this.#taken = 0;
      this.#secondEnds = now + 1000;
    }
    return ++this.#taken <= limit;
  }
}
