import koffi from 'koffi';
import type { Arena } from './arena.ts';
import { drainEvent, openEvent, signalEvent } from './event.ts';
import { errno, SystemCallError } from './libc.ts';

/*
 * Node's event loop can watch nothing but what Node itself opened. Descriptors that are read by system calls of our own
 * are watched by epoll here, from a thread of libuv's pool, so that the caller's event loop goes on.
 */

const library = koffi.load('libc.so.6');
type Wait = (epoll: number, events: number, count: number, timeoutMs: number) => number;
const wait = library.func('int epoll_wait(int epoll, uint64_t events, int count, int timeoutMs)') as unknown as Wait & {
  async(
    epoll: number,
    events: number,
    count: number,
    timeoutMs: number,
    done: (error: unknown, result: number) => void,
  ): void;
};
const create = library.func('int epoll_create1(int flags)') as unknown as (flags: number) => number;
const control = library.func('int epoll_ctl(int epoll, int op, int fd, uint64_t event)') as unknown as (
  epoll: number,
  op: number,
  fd: number,
  event: number,
) => number;

const EPOLL_CLOEXEC = 0x80000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLLIN = 1;

/** struct epoll_event: packed on x86-64 alone. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const EVENT_FD = EVENT_BYTES - 8;
const EVENTS = 64;

/**
 * Says which descriptors can be read, to functions of the thread that created it. While it watches any, it keeps the
 * process alive and a thread of libuv's pool to itself.
 */
export class Readiness {
  static readonly scratchBytes = (EVENTS + 1) * EVENT_BYTES + 16;
  readonly #arena: Arena;
  readonly #events: number;
  readonly #argument: number;
  readonly #word: number;
  readonly #epoll: number;
  readonly #event: number;
  readonly #readers = new Map<number, () => void>();
  #waiting = false;
  #polling = false;

  /** Throws a SystemCallError. `scratch`: {@link scratchBytes} of the arena. */
  constructor(arena: Arena, scratch: number) {
    this.#arena = arena;
    this.#word = scratch;
    this.#events = scratch + 16;
    this.#argument = this.#events + EVENTS * EVENT_BYTES;
    this.#epoll = create(EPOLL_CLOEXEC);
    if (this.#epoll < 0) throw new SystemCallError('open an epoll descriptor', errno());
    this.#event = openEvent();
    this.#control(EPOLL_CTL_ADD, this.#event);
    // The end of the process waits for libuv's threads.
    process.on('exit', () => {
      this.#wake();
    });
  }

  /** Calls `onReadable` whenever `fd` can be read; what it leaves there, it is called for again. */
  add(fd: number, onReadable: () => void): void {
    this.#control(EPOLL_CTL_ADD, fd);
    this.#readers.set(fd, onReadable);
    this.#arm();
  }

  /** Before `fd` is closed. */
  remove(fd: number): void {
    if (!this.#readers.delete(fd)) return;
    this.#control(EPOLL_CTL_DEL, fd);
    if (this.#readers.size === 0) this.#wake();
  }

  #control(op: number, fd: number): void {
    const { view, address } = this.#arena;
    view.setUint32(this.#argument, EPOLLIN, true);
    view.setUint32(this.#argument + EVENT_FD, fd, true);
    view.setUint32(this.#argument + EVENT_FD + 4, 0, true);
    if (control(this.#epoll, op, fd, address + this.#argument) < 0)
      throw new SystemCallError('watch a descriptor', errno());
  }

  #wake(): void {
    if (this.#waiting) signalEvent(this.#arena, this.#event, this.#word);
  }

  #arm(): void {
    if (this.#waiting || this.#polling || this.#readers.size === 0) return;
    this.#waiting = true;
    wait.async(this.#epoll, this.#arena.address + this.#events, EVENTS, -1, (_error, count) => {
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
      const more = wait(this.#epoll, this.#arena.address + this.#events, EVENTS, 0);
      if (more > 0) this.#serve(more);
      else this.#arm();
    });
  }

  #dispatch(count: number): void {
    const { view } = this.#arena;
    const ready: number[] = [];
    for (let i = 0; i < count; i++) ready.push(view.getUint32(this.#events + i * EVENT_BYTES + EVENT_FD, true));
    for (const fd of ready) {
      if (fd === this.#event) drainEvent(this.#arena, this.#event, this.#word);
      else this.#readers.get(fd)?.();
    }
  }
}
