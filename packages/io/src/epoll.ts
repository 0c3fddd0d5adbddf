import koffi from 'koffi';
import type { Arena } from './arena.ts';
import { errno, SystemCallError } from './libc.ts';

/*
 * epoll_wait(2) for a thread with a loop of its own, and by a thread of libuv's pool for one whose loop is Node's.
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
const EPOLL_CTL_MOD = 3;
export const EPOLLIN = 1;
export const EPOLLOUT = 4;

/** struct epoll_event: packed on x86-64 alone. */
const EVENT_BYTES = process.arch === 'x64' ? 12 : 16;
const EVENT_DATA = EVENT_BYTES - 8;
const EVENTS = 64;

/** Which of many descriptors are ready. One instance serves one thread. */
export class Epoll {
  static readonly scratchBytes = (EVENTS + 1) * EVENT_BYTES;
  readonly fd: number;
  readonly #arena: Arena;
  readonly #events: number;
  readonly #argument: number;

  /** Throws a SystemCallError. `scratch`: {@link scratchBytes} of the arena. */
  constructor(arena: Arena, scratch: number) {
    this.#arena = arena;
    this.#events = scratch;
    this.#argument = scratch + EVENTS * EVENT_BYTES;
    this.fd = create(EPOLL_CLOEXEC);
    if (this.fd < 0) throw new SystemCallError('open an epoll descriptor', errno());
  }

  /** Watches `fd` for `events`, EPOLLIN or EPOLLOUT or both; `tag` (32 bits) is what {@link tag} says. Throws a SystemCallError. */
  add(fd: number, tag: number, events = EPOLLIN): void {
    this.#control(EPOLL_CTL_ADD, fd, tag, events);
  }

  /** Watches for something else. Throws a SystemCallError. */
  change(fd: number, tag: number, events: number): void {
    this.#control(EPOLL_CTL_MOD, fd, tag, events);
  }

  /** Before `fd` is closed. */
  remove(fd: number): void {
    this.#control(EPOLL_CTL_DEL, fd, 0, 0);
  }

  /** Blocks for up to `timeoutMs` (-1: without end) and returns how many are ready; a signal ends it early: none. */
  wait(timeoutMs: number): number {
    return wait(this.fd, this.#arena.address + this.#events, EVENTS, timeoutMs);
  }

  /** Waits without end in a thread of libuv's pool. */
  waitInPool(done: (count: number) => void): void {
    wait.async(this.fd, this.#arena.address + this.#events, EVENTS, -1, (_error, count) => {
      done(count);
    });
  }

  /** Which is the `i`-th that was ready. */
  tag(i: number): number {
    return this.#arena.view.getUint32(this.#events + i * EVENT_BYTES + EVENT_DATA, true);
  }

  /** What it is ready for: EPOLLIN, EPOLLOUT, and bits besides where it has ended or failed. */
  events(i: number): number {
    return this.#arena.view.getUint32(this.#events + i * EVENT_BYTES, true);
  }

  #control(op: number, fd: number, tag: number, events: number): void {
    const { view, address } = this.#arena;
    view.setUint32(this.#argument, events, true);
    view.setUint32(this.#argument + EVENT_DATA, tag, true);
    view.setUint32(this.#argument + EVENT_DATA + 4, 0, true);
    if (control(this.fd, op, fd, address + this.#argument) < 0)
      throw new SystemCallError('watch a descriptor', errno());
  }
}
