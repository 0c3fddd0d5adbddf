import { DropReason, type Memory, type Outbox } from '@sallyport/core';
import type { DatagramTrains } from '@sallyport/gateway';
import { ATTEND, CONTROL, HOLD, INNER, type Ring } from './ring.ts';

const QUEUE_FULL = DropReason.queueFull;

/** What a worker does for the outboxes of its protocols. */
export interface OutboxWorker extends Pick<Outbox, 'packet'> {
  /** Tells the sender by ICMP. */
  refuse(at: number, length: number, reason: number): void;
  /** There is something in the ring. */
  ring(): void;
}

/** Where the packet half of one protocol puts what it makes of a batch, in a worker. */
export class WorkerOutbox implements Outbox {
  readonly #memory: Memory;
  readonly #trains: DatagramTrains;
  readonly #ring: Ring;
  readonly #counters: number;
  readonly #worker: OutboxWorker;

  /** `counters`: f64s, one for each reason of drops. */
  constructor(memory: Memory, trains: DatagramTrains, ring: Ring, counters: number, worker: OutboxWorker) {
    this.#memory = memory;
    this.#trains = trains;
    this.#ring = ring;
    this.#counters = counters >> 3;
    this.#worker = worker;
  }

  datagram(at: number, length: number, path: number, ecn: number): void {
    this.#trains.add(at, length, path, ecn);
  }

  packet(at: number, length: number, session: number, path: number): void {
    this.#worker.packet(at, length, session, path);
  }

  control(at: number, length: number, path: number): void {
    this.#push(CONTROL, 0, at, length, path);
  }

  hold(at: number, length: number, session: number): void {
    this.#push(HOLD, session, at, length, 0);
  }

  inner(at: number, length: number, session: number): void {
    this.#push(INNER, session, at, length, 0);
  }

  attend(session: number): boolean {
    this.#worker.ring();
    return this.#ring.push(ATTEND, session, 0, 0, 0);
  }

  undeliverable(at: number, length: number, reason: number): void {
    this.drop(reason);
    this.#worker.refuse(at, length, reason);
  }

  drop(reason: number): void {
    this.#memory.f64[this.#counters + reason]++;
  }

  #push(kind: number, session: number, at: number, length: number, path: number): void {
    if (!this.#ring.push(kind, session, at, length, path)) this.drop(QUEUE_FULL);
    this.#worker.ring();
  }
}
