import type { Memory, RouteTable, SessionId } from '@sallyport/core';
import { HAS_IPV4, HAS_IPV6, SESSION_ADDRESSES, SESSION_IPV4, SESSION_IPV6 } from './layout.ts';

/*
 * Words of the region: the session that takes everything, then the slots for IPv4, each an address and a session, then
 * those for IPv6, each a hash and a session, whose record holds the address. An address is looked for from its home slot
 * on, up to one that is free; at least half of them are.
 */
const HEADER_WORDS = 16;
const SLOT_WORDS = 2;

function slotsFor(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(2 * capacity));
}

function mix(word: number): number {
  const half = Math.imul(word ^ (word >>> 16), 0x9e3779b1);
  const whole = Math.imul(half ^ (half >>> 15), 0x9e3779b1);
  return whole ^ (whole >>> 16);
}

/** The multipliers are arbitrary odd numbers, different from one another. */
function hash(a: number, b: number, c: number, d: number): number {
  return mix(a ^ Math.imul(b, 0x5f3759d5) ^ Math.imul(c, 0x3c6ef373) ^ Math.imul(d, 0x1d872b41));
}

/**
 * The addresses of sessions, each to one session. Any number of threads look up; one changes, while none of them does.
 * Addresses come from our own pool, not from peers: nobody chooses them so that they collide.
 */
export class AddressTable implements RouteTable {
  readonly #memory: Memory;
  readonly #everything: number;
  readonly #table4: number;
  readonly #table6: number;
  readonly #mask: number;

  static bytes(capacity: number): number {
    return (HEADER_WORDS + 2 * SLOT_WORDS * slotsFor(capacity)) * 4;
  }

  /** On {@link AddressTable.bytes} bytes at `at`, zeroed at first. */
  constructor(memory: Memory, at: number, capacity: number) {
    const slots = slotsFor(capacity);
    this.#memory = memory;
    this.#everything = at >> 2;
    this.#table4 = this.#everything + HEADER_WORDS;
    this.#table6 = this.#table4 + SLOT_WORDS * slots;
    this.#mask = slots - 1;
  }

  lookup4(at: number): SessionId {
    const session = this.#find4(this.#memory.view.getInt32(at));
    return session !== 0 ? session : this.#memory.i32[this.#everything];
  }

  lookup6(at: number): SessionId {
    const { i32, view } = this.#memory;
    const session = this.#find6(
      view.getInt32(at),
      view.getInt32(at + 4),
      view.getInt32(at + 8),
      view.getInt32(at + 12),
    );
    return session !== 0 ? session : i32[this.#everything];
  }

  #find4(address: number): SessionId {
    const { i32 } = this.#memory;
    for (let position = mix(address) & this.#mask; ; position = (position + 1) & this.#mask) {
      const slot = this.#table4 + position * SLOT_WORDS;
      const session = i32[slot + 1];
      if (session === 0 || i32[slot] === address) return session;
    }
  }

  #find6(a: number, b: number, c: number, d: number): SessionId {
    const { i32 } = this.#memory;
    const tag = hash(a, b, c, d);
    for (let position = tag & this.#mask; ; position = (position + 1) & this.#mask) {
      const slot = this.#table6 + position * SLOT_WORDS;
      const session = i32[slot + 1];
      if (session === 0) return 0;
      if (i32[slot] !== tag) continue;
      const own = (session + SESSION_IPV6) >> 2;
      if (i32[own] === a && i32[own + 1] === b && i32[own + 2] === c && i32[own + 3] === d) return session;
    }
  }

  /** Gives a session all that no other has; 0 for none. */
  setEverything(session: SessionId): void {
    this.#memory.i32[this.#everything] = session;
  }

  /** Gives a session the address of 4 or 16 bytes; whoever had it has it no more. */
  add(session: SessionId, address: Uint8Array): void {
    const { i32, u32 } = this.#memory;
    const is4 = address.length === 4;
    const words = new DataView(address.buffer, address.byteOffset, address.length);
    const word = (i: number): number => words.getInt32(4 * i);
    this.#remove(session, is4);
    this.#remove(is4 ? this.#find4(word(0)) : this.#find6(word(0), word(1), word(2), word(3)), is4);
    const field = (session + (is4 ? SESSION_IPV4 : SESSION_IPV6)) >> 2;
    for (let i = 0; i < address.length / 4; i++) i32[field + i] = word(i);
    u32[(session + SESSION_ADDRESSES) >> 2] |= is4 ? HAS_IPV4 : HAS_IPV6;
    const table = is4 ? this.#table4 : this.#table6;
    let position = this.#home(session, is4);
    while (i32[table + position * SLOT_WORDS + 1] !== 0) position = (position + 1) & this.#mask;
    i32[table + position * SLOT_WORDS] = this.#tag(session, is4);
    i32[table + position * SLOT_WORDS + 1] = session;
  }

  /** Takes all addresses from a session. */
  removeSession(session: SessionId): void {
    this.#remove(session, true);
    this.#remove(session, false);
    if (this.#memory.i32[this.#everything] === session) this.setEverything(0);
  }

  #tag(session: SessionId, is4: boolean): number {
    const { i32 } = this.#memory;
    const word = (session + SESSION_IPV6) >> 2;
    return is4 ? i32[(session + SESSION_IPV4) >> 2] : hash(i32[word], i32[word + 1], i32[word + 2], i32[word + 3]);
  }

  #home(session: SessionId, is4: boolean): number {
    const tag = this.#tag(session, is4);
    return (is4 ? mix(tag) : tag) & this.#mask;
  }

  #remove(session: SessionId, is4: boolean): void {
    const { i32, u32 } = this.#memory;
    const flag = is4 ? HAS_IPV4 : HAS_IPV6;
    const table = is4 ? this.#table4 : this.#table6;
    if (session === 0 || (u32[(session + SESSION_ADDRESSES) >> 2] & flag) === 0) return;
    let hole = this.#home(session, is4);
    while (i32[table + hole * SLOT_WORDS + 1] !== session) hole = (hole + 1) & this.#mask;
    // What lies behind the hole and could not be found across it moves into it.
    for (let position = (hole + 1) & this.#mask; ; position = (position + 1) & this.#mask) {
      const slot = table + position * SLOT_WORDS;
      const other = i32[slot + 1];
      if (other === 0) break;
      const home = this.#home(other, is4);
      if (((position - home) & this.#mask) < ((position - hole) & this.#mask)) continue;
      i32[table + hole * SLOT_WORDS] = i32[slot];
      i32[table + hole * SLOT_WORDS + 1] = other;
      hole = position;
    }
    i32[table + hole * SLOT_WORDS] = 0;
    i32[table + hole * SLOT_WORDS + 1] = 0;
    u32[(session + SESSION_ADDRESSES) >> 2] &= ~flag;
  }
}
