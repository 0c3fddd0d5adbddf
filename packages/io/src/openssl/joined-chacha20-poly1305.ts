import type { Arena } from '../arena.ts';
import type { ChaCha20Poly1305Functions } from './packet-cipher.ts';

type Address = number;

const BLOCK_BYTES = 64;
const KEY_BYTES = 32;
const POLY1305_BYTES = 512;

// offsets in the scratch
const POLY1305 = 0;
const COUNTER = POLY1305 + POLY1305_BYTES; // block counter, which stays 0, then nonce
const TAG = COUNTER + 16;
const HEADER = TAG + 16;
const TAIL = HEADER + 16;
const KEY = TAIL + 32;
/** The 64 bytes before a packet, and the packet. */
const WORK = KEY + KEY_BYTES;

export const JOINED_SCRATCH_BYTES = WORK + BLOCK_BYTES + 65_536;

/**
 * ChaCha20-Poly1305 with a header that is authenticated and not encrypted, in one pass of ChaCha20, as
 * `JoinedPacketCipher` without one: what is said there of the bytes around a packet holds here too.
 */
export class JoinedChaCha20Poly1305 {
  /** The offset of the 12-byte nonce. */
  readonly nonce: number;
  readonly #arena: Arena;
  readonly #functions: ChaCha20Poly1305Functions;
  readonly #base: number;
  readonly #scratch: number;
  readonly #poly1305: Address;
  #sealingKey: Address = 0;
  #openingKey: Address = 0;

  constructor(arena: Arena, scratch: number, functions: ChaCha20Poly1305Functions) {
    this.#arena = arena;
    this.#functions = functions;
    this.#base = arena.address;
    this.#scratch = scratch;
    this.#poly1305 = arena.address + scratch + POLY1305;
    this.nonce = scratch + COUNTER + 4;
  }

  useSealingKey(keyAt: number): void {
    this.#sealingKey = this.#base + keyAt;
  }

  useOpeningKey(keyAt: number): void {
    this.#openingKey = this.#base + keyAt;
  }

  seal(header: number, headerBytes: number, at: number, length: number, tag: number): void {
    const arena = this.#arena;
    const saved = this.#scratch + WORK;
    const before = at - BLOCK_BYTES;
    this.#copyHeader(header, headerBytes);
    arena.copyAndSum(saved, before, BLOCK_BYTES);
    this.#crypt(before, before, BLOCK_BYTES + length, this.#sealingKey);
    this.#beginTag(saved, before);
    arena.copyAndSum(before, saved, BLOCK_BYTES);
    this.#endTag(headerBytes, at, length, tag);
  }

  open(header: number, headerBytes: number, at: number, length: number, tag: number): boolean {
    const { view } = this.#arena;
    const made = this.#scratch + TAG;
    const before = at - BLOCK_BYTES;
    const work = this.#scratch + WORK;
    this.#copyHeader(header, headerBytes);
    this.#crypt(work, before, BLOCK_BYTES + length, this.#openingKey);
    this.#beginTag(before, work);
    this.#endTag(headerBytes, at, length, made);
    const difference =
      (view.getInt32(made) ^ view.getInt32(tag)) |
      (view.getInt32(made + 4) ^ view.getInt32(tag + 4)) |
      (view.getInt32(made + 8) ^ view.getInt32(tag + 8)) |
      (view.getInt32(made + 12) ^ view.getInt32(tag + 12));
    if (difference !== 0) return false;
    this.#arena.copyAndSum(at, work + BLOCK_BYTES, length);
    return true;
  }

  #crypt(to: number, from: number, bytes: number, key: Address): void {
    const base = this.#base;
    this.#functions.chacha20(base + to, base + from, bytes, key, base + this.#scratch + COUNTER);
  }

  /** The header with zeros to 16 bytes: what the tag takes in first. */
  #copyHeader(header: number, headerBytes: number): void {
    const { view } = this.#arena;
    const to = this.#scratch + HEADER;
    for (let i = 0; i < 16; i += 4) view.setUint32(to + i, i < headerBytes ? view.getUint32(header + i) : 0);
  }

  /** Begins a tag by the one-time key: the first bytes of what went into ChaCha20, XORed with what came out. */
  #beginTag(plain: number, encrypted: number): void {
    const { u32, view } = this.#arena;
    const key = this.#scratch + KEY;
    for (let i = 0; i < KEY_BYTES; i += 4)
      u32[(key + i) >> 2] = view.getUint32(plain + i, true) ^ view.getUint32(encrypted + i, true);
    this.#functions.poly1305Init(this.#poly1305, this.#base + key);
  }

  /** Behind the ciphertext come zeros to a multiple of 16, and the two lengths. */
  #endTag(headerBytes: number, at: number, length: number, to: number): void {
    const { view } = this.#arena;
    const base = this.#base;
    const padding = -length & 15;
    const tail = this.#scratch + TAIL;
    for (let i = 0; i < 32; i += 4) view.setUint32(tail + i, 0);
    view.setUint32(tail + padding, headerBytes, true);
    view.setUint32(tail + padding + 8, length, true);
    const update = this.#functions.poly1305Update;
    update(this.#poly1305, base + this.#scratch + HEADER, 16);
    if (length !== 0) update(this.#poly1305, base + at, length);
    update(this.#poly1305, base + tail, padding + 16);
    this.#functions.poly1305Final(this.#poly1305, base + to);
  }
}
