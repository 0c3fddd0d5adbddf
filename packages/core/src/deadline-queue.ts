import type { Instant } from './instant.ts';

/** Something with a deadline: it keeps its place in the queue itself. */
export interface Scheduled {
  deadline: Instant;
  /** Where it stands in the queue, -1 when it does not. Only the queue writes it. */
  queuePosition: number;
}

/** Those with a deadline, the earliest first: a binary heap in which each knows its place. */
export class DeadlineQueue<T extends Scheduled> {
  readonly #heap: T[] = [];

  get first(): T | undefined {
    return this.#heap[0];
  }

  /** Sets the deadline; Infinity takes the item out. */
  set(item: T, deadline: Instant): void {
    if (deadline === Infinity) {
      this.remove(item);
      return;
    }
    const before = item.deadline;
    item.deadline = deadline;
    if (item.queuePosition < 0) {
      item.queuePosition = this.#heap.push(item) - 1;
      this.#up(item.queuePosition);
    } else if (deadline < before) this.#up(item.queuePosition);
    else if (deadline > before) this.#down(item.queuePosition);
  }

  remove(item: T): void {
    const position = item.queuePosition;
    item.deadline = Infinity;
    if (position < 0) return;
    item.queuePosition = -1;
    const last = this.#heap.pop();
    if (last === undefined || last === item) return;
    this.#place(last, position);
    this.#up(position);
    this.#down(last.queuePosition);
  }

  #place(item: T, position: number): void {
    this.#heap[position] = item;
    item.queuePosition = position;
  }

  #up(start: number): void {
    const item = this.#heap[start];
    let position = start;
    while (position > 0) {
      const parent = (position - 1) >> 1;
      if (this.#heap[parent].deadline <= item.deadline) break;
      this.#place(this.#heap[parent], position);
      position = parent;
    }
    this.#place(item, position);
  }

  #down(start: number): void {
    const heap = this.#heap;
    const item = heap[start];
    let position = start;
    for (;;) {
      let child = 2 * position + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && heap[child + 1].deadline < heap[child].deadline) child++;
      if (heap[child].deadline >= item.deadline) break;
      this.#place(heap[child], position);
      position = child;
    }
    this.#place(item, position);
  }
}
