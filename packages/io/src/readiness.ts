import type { Arena } from './arena.ts';
import { Epoll } from './epoll.ts';
import { drainEvent, openEvent, signalEvent } from './event.ts';

/**
 * Says which descriptors can be read, to functions of the thread that created it. Node's event loop can watch nothing but
 * what Node itself opened, so a thread of libuv's pool waits in epoll. While it watches any descriptor, it keeps the process
 * alive and that thread to itself.
 */
export class Readiness {
  static readonly scratchBytes = Epoll.scratchBytes + 16;
  readonly #arena: Arena;
  readonly #word: number;
  readonly #epoll: Epoll;
  readonly #event: number;
  readonly #readers = new Map<number, () => void>();
  #waiting = false;
  #polling = false;

  /** Throws a SystemCallError. `scratch`: {@link scratchBytes} of the arena. */
  constructor(arena: Arena, scratch: number) {
    this.#arena = arena;
    this.#word = scratch;
    this.#epoll = new Epoll(arena, scratch + 16);
    this.#event = openEvent();
    this.#epoll.add(this.#event, this.#event);
    // The end of the process waits for libuv's threads.
    process.on('exit', () => {
      this.#wake();
    });
  }

  /** Calls `onReadable` whenever `fd` can be read; what it leaves there, it is called for again. */
  add(fd: number, onReadable: () => void): void {
    this.#epoll.add(fd, fd);
    this.#readers.set(fd, onReadable);
    this.#arm();
  }

  /** Before `fd` is closed. */
  remove(fd: number): void {
    if (!this.#readers.delete(fd)) return;
    this.#epoll.remove(fd);
    if (this.#readers.size === 0) this.#wake();
  }

  #wake(): void {
    if (this.#waiting) signalEvent(this.#arena, this.#event, this.#word);
  }

  #arm(): void {
    if (this.#waiting || this.#polling || this.#readers.size === 0) return;
    this.#waiting = true;
    this.#epoll.waitInPool((count) => {
      this.#waiting = false;
      this.#serve(count);
    });
  }

  /** Looks again after the loop's other work: under load nobody need be woken. */
  #serve(count: number): void {
    this.#dispatch(count);
    if (this.#readers.size === 0 || this.#polling) return;
    this.#polling = true;
    setImmediate(() => {
      this.#polling = false;
      if (this.#readers.size === 0) return;
      const more = this.#epoll.wait(0);
      if (more > 0) this.#serve(more);
      else this.#arm();
    });
  }

  #dispatch(count: number): void {
    const ready: number[] = [];
    for (let i = 0; i < count; i++) ready.push(this.#epoll.tag(i));
    for (const fd of ready) {
      if (fd === this.#event) drainEvent(this.#arena, this.#event, this.#word);
      else this.#readers.get(fd)?.();
    }
  }
}
