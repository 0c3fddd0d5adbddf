import type { Instant } from '@sallyport/core';

/** What {@link VirtualClock.at} returns, to call it off by. */
export interface Appointment {
  readonly at: Instant;
  readonly order: number;
  action: (() => void) | undefined;
}

/**
 * Virtual time, in milliseconds: it passes from one appointment to the next, and never by itself. Appointments at one
 * moment come in the order in which they were made, so that a run is the same whenever it is repeated.
 */
export class VirtualClock {
  readonly #heap: Appointment[] = [];
  #now: Instant;
  #made = 0;

  constructor(start: Instant) {
    this.#now = start;
  }

  get now(): Instant {
    return this.#now;
  }

  /** Calls `action` at a moment, or as soon as what is under way is done where that has passed. */
  at(moment: Instant, action: () => void): Appointment {
    const appointment: Appointment = { at: Math.max(moment, this.#now), order: this.#made++, action };
    this.#push(appointment);
    return appointment;
  }

  after(milliseconds: number, action: () => void): Appointment {
    return this.at(this.#now + milliseconds, action);
  }

  cancel(appointment: Appointment | undefined): void {
    if (appointment !== undefined) appointment.action = undefined;
  }

  /** Lets time pass. What an appointment throws ends it. */
  run(milliseconds: number): void {
    this.runUntil(this.#now + milliseconds);
  }

  runUntil(end: Instant): void {
    for (let next = this.#heap[0]; next !== undefined && next.at <= end; next = this.#heap[0]) {
      this.#pop();
      this.#now = next.at;
      const { action } = next;
      next.action = undefined;
      action?.();
    }
    this.#now = end;
  }

  #push(item: Appointment): void {
    const heap = this.#heap;
    let position = heap.push(item) - 1;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (isBefore(heap[parent], item)) break;
      heap[position] = heap[parent];
      position = parent;
    }
    heap[position] = item;
  }

  #pop(): void {
    const heap = this.#heap;
    const item = heap.pop();
    if (item === undefined || heap.length === 0) return;
    let position = 0;
    for (;;) {
      let child = 2 * position + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (isBefore(item, heap[child])) break;
      heap[position] = heap[child];
      position = child;
    }
    heap[position] = item;
  }
}

function isBefore(a: Appointment, b: Appointment): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
