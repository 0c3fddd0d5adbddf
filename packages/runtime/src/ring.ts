import { copyPath, PATH_BYTES, type Memory } from '@sallyport/core';

/** What a worker sends to the main thread. */
export const CONTROL = 1;
export const HOLD = 2;
export const ATTEND = 3;
export const INNER = 4;

const HEAD = 0; // bytes read so far, written by the reader
const TAIL = 64; // bytes written so far, written by the writer; on a cache line of its own
const CONTROLS = 68; // handshakes that wait: how loaded the session half is
const DATA = 128;

const KIND = 0;
const TOTAL = 4;
const SESSION = 8;
const LENGTH = 12;
const HEADER_BYTES = 16;
/** A record that only fills the rest of the ring up. */
const SKIP = 0;

/** Attend records are small and must not get lost behind packets: this much stays free for them. */
const RESERVED_BYTES = 64 * 1024;

/** A bounded queue from one worker to the main thread, in shared memory. What does not fit is refused, not waited for. */
export class Ring {
  readonly #memory: Memory;
  readonly #at: number;
  readonly #bytes: number;
  readonly #data: number;

  static bytes(capacity: number): number {
    return DATA + capacity;
  }

  /** `capacity` is a power of two. */
  constructor(memory: Memory, at: number, capacity: number) {
    this.#memory = memory;
    this.#at = at;
    this.#bytes = capacity;
    this.#data = at + DATA;
  }

  /** Writer: adds a record with a copy of a packet (and of a path record, unless it is 0); false when full. */
  push(kind: number, session: number, at: number, length: number, path: number): boolean {
    const { u8, u32, i32 } = this.#memory;
    const total = (HEADER_BYTES + PATH_BYTES + length + 7) & -8;
    const tailWord = (this.#at + TAIL) >> 2;
    let tail = Atomics.load(i32, tailWord) >>> 0;
    const used = (tail - (Atomics.load(i32, (this.#at + HEAD) >> 2) >>> 0)) >>> 0;
    let offset = tail & (this.#bytes - 1);
    const toEnd = this.#bytes - offset;
    const skip = toEnd < total ? toEnd : 0;
    if (used + skip + total > this.#room(kind)) return false;
    if (skip !== 0) {
      u32[(this.#data + offset + KIND) >> 2] = SKIP;
      u32[(this.#data + offset + TOTAL) >> 2] = skip;
      tail = (tail + skip) >>> 0;
      offset = 0;
    }
    const record = this.#data + offset;
    u32[(record + KIND) >> 2] = kind;
    u32[(record + TOTAL) >> 2] = total;
    u32[(record + SESSION) >> 2] = session;
    u32[(record + LENGTH) >> 2] = length;
    if (path !== 0) copyPath(this.#memory, record + HEADER_BYTES, path);
    if (length !== 0) u8.copyWithin(record + HEADER_BYTES + PATH_BYTES, at, at + length);
    if (kind === CONTROL) Atomics.add(i32, (this.#at + CONTROLS) >> 2, 1);
    Atomics.store(i32, tailWord, (tail + total) | 0);
    return true;
  }

  /** Neither waiting packets nor what peers say inside the tunnel can keep handshakes out, or what is said of timers. */
  #room(kind: number): number {
    if (kind === HOLD || kind === INNER) return this.#bytes >> 1;
    return kind === CONTROL ? this.#bytes - RESERVED_BYTES : this.#bytes;
  }

  /** Handshake datagrams that wait. */
  get controls(): number {
    return Atomics.load(this.#memory.i32, (this.#at + CONTROLS) >> 2);
  }

  /** Reader, while no writer is at work: records of these sessions become those of session 0, which is nobody's. */
  forget(sessions: ReadonlySet<number>): void {
    const { u32, i32 } = this.#memory;
    const tail = Atomics.load(i32, (this.#at + TAIL) >> 2) >>> 0;
    let head = Atomics.load(i32, (this.#at + HEAD) >> 2) >>> 0;
    while (head !== tail) {
      const record = this.#data + (head & (this.#bytes - 1));
      if (u32[(record + KIND) >> 2] !== SKIP && sessions.has(u32[(record + SESSION) >> 2]))
        u32[(record + SESSION) >> 2] = 0;
      head = (head + u32[(record + TOTAL) >> 2]) >>> 0;
    }
  }

  /**
   * Reader: takes the oldest record, calling `handle` with a copy of its bytes and the offset of its path record;
   * false when there is none.
   */
  pop(handle: (kind: number, session: number, bytes: Uint8Array, path: number) => void): boolean {
    const { u8, u32, i32 } = this.#memory;
    const headWord = (this.#at + HEAD) >> 2;
    let head = Atomics.load(i32, headWord) >>> 0;
    const tail = Atomics.load(i32, (this.#at + TAIL) >> 2) >>> 0;
    if (head === tail) return false;
    let record = this.#data + (head & (this.#bytes - 1));
    if (u32[(record + KIND) >> 2] === SKIP) {
      head = (head + u32[(record + TOTAL) >> 2]) >>> 0;
      record = this.#data;
    }
    const kind = u32[(record + KIND) >> 2];
    const start = record + HEADER_BYTES + PATH_BYTES;
    const bytes = u8.slice(start, start + u32[(record + LENGTH) >> 2]);
    if (kind === CONTROL) Atomics.sub(i32, (this.#at + CONTROLS) >> 2, 1);
    try {
      handle(kind, u32[(record + SESSION) >> 2], bytes, record + HEADER_BYTES);
    } finally {
      Atomics.store(i32, headWord, (head + u32[(record + TOTAL) >> 2]) | 0);
    }
    return true;
  }
}
