import type { ClientStatus } from '@sallyport/client';

export interface Sample {
  /** Bits per second. */
  readonly received: number;
  readonly sent: number;
}

/** Statuses come with each change, too; what is shorter apart makes no rate worth showing. */
const LEAST_MS = 700;
const MAX_SAMPLES = 2000;

/** Rates of what counters said. */
export class Throughput {
  readonly samples: Sample[] = [];
  #before: { readonly at: number; readonly received: number; readonly sent: number } | undefined;

  /** `at`: milliseconds of any clock that does not step back. Answers whether there is a new sample. */
  add({ receivedBytes, sentBytes }: Pick<ClientStatus, 'receivedBytes' | 'sentBytes'>, at: number): boolean {
    const before = this.#before;
    if (before !== undefined && at - before.at < LEAST_MS) return false;
    this.#before = { at, received: receivedBytes, sent: sentBytes };
    if (before === undefined) return false;
    const seconds = (at - before.at) / 1000;
    // Another tunnel begins to count at nothing.
    const rate = (now: number, then: number): number => (now < then ? 0 : ((now - then) * 8) / seconds);
    this.samples.push({ received: rate(receivedBytes, before.received), sent: rate(sentBytes, before.sent) });
    if (this.samples.length > MAX_SAMPLES) this.samples.shift();
    return true;
  }
}
