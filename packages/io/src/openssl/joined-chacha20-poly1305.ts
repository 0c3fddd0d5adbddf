import koffi from 'koffi';
import type { Arena } from '../arena.ts';

type Address = number;

export interface ChaCha20Poly1305Functions {
  /** XORs the key stream that begins with block `counter[0]` and nonce `counter[1..3]`. */
  chacha20(to: Address, from: Address, bytes: number, key: Address, counter: Address): void;
  poly1305Init(c: Address, key: Address): void;
  poly1305Update(c: Address, from: Address, bytes: number): void;
  poly1305Final(c: Address, tag: Address): void;
}

/**
 * The functions behind EVP's ChaCha20-Poly1305. The official node binary exports them, as it does all of OpenSSL, but
 * they are not promised: undefined where they are not there.
 */
export function loadFunctions(): ChaCha20Poly1305Functions | undefined {
  try {
    const library = koffi.load(null);
    const size = library.func('size_t Poly1305_ctx_size()') as unknown as () => number;
    if (size() > POLY1305_BYTES) return undefined;
    return {
      chacha20: library.func(
        'void ChaCha20_ctr32(uint64_t to, uint64_t from, size_t bytes, uint64_t key, uint64_t counter)',
      ) as unknown as ChaCha20Poly1305Functions['chacha20'],
      poly1305Init: library.func(
        'void Poly1305_Init(uint64_t c, uint64_t key)',
      ) as unknown as ChaCha20Poly1305Functions['poly1305Init'],
      poly1305Update: library.func(
        'void Poly1305_Update(uint64_t c, uint64_t from, size_t bytes)',
      ) as unknown as ChaCha20Poly1305Functions['poly1305Update'],
      poly1305Final: library.func(
        'void Poly1305_Final(uint64_t c, uint64_t tag)',
      ) as unknown as ChaCha20Poly1305Functions['poly1305Final'],
    };
  } catch {
    return undefined;
  }
}

export const KEY_BYTES = 32;
export const TAG_BYTES = 16;
const BLOCK_BYTES = 64;
const POLY1305_BYTES = 512;

/** What the tag takes in before the ciphertext, where there is a header, and at most behind it. */
const HEADER_BYTES = 16;
const TAIL_BYTES = 32;

// offsets in the scratch
const POLY1305 = 0;
const COUNTER = POLY1305 + POLY1305_BYTES; // block counter, which stays 0, then nonce
const TAG = COUNTER + 16;
const HEADER = TAG + TAG_BYTES;
const KEY = HEADER + HEADER_BYTES;
/** What was where header and tail are put for the tag. */
const SAVED_HEADER = KEY + KEY_BYTES;
const SAVED_TAIL = SAVED_HEADER + HEADER_BYTES;
/** The 64 bytes before a packet, and the packet. */
const WORK = SAVED_TAIL + TAIL_BYTES;

/** How much of the arena it needs for itself, aligned to 4. */
export const JOINED_SCRATCH_BYTES = WORK + BLOCK_BYTES + 65_536;

/**
 * ChaCha20-Poly1305 in one pass of ChaCha20: its first block, which gives the one-time key (RFC 8439, section 2.6),
 * comes with the packet's, where EVP makes it by a call of its own. What goes through ChaCha20 begins 64 bytes before
 * the packet: whatever is there, XORed with what comes out, is that first block.
 *
 * Poly1305 has its input in one piece as well: with AVX-512 an update of 16 bytes costs as much as one of 600. So what the
 * tag takes in before and behind the ciphertext is put there for as long as that takes. Whatever was there is put back,
 * before and behind: the next datagram of a train begins right behind the last byte of this one.
 *
 * A packet is sealed in place. It is opened to the scratch, because the tag is taken over what came in, and only copied back
 * once the tag is right.
 *
 * This takes three quarters of EVP's time with AVX2, half with AVX-512; see docs/decisions.
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

  /** Encrypts `length` bytes at `at` and writes the tag of `headerBytes` (up to 16, whole words) at `header` and of them. */
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

  /** The other way round; false, with nothing decrypted, if forged. */
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

  /** The header with zeros to 16 bytes, as the tag takes it in: it may lie where a packet's surroundings change. */
  #copyHeader(header: number, headerBytes: number): void {
    if (headerBytes === 0) return;
    const { view } = this.#arena;
    const to = this.#scratch + HEADER;
    for (let i = 0; i < HEADER_BYTES; i += 4) view.setUint32(to + i, i < headerBytes ? view.getUint32(header + i) : 0);
  }

  /** Begins a tag by the one-time key: the first bytes of what went into ChaCha20, XORed with what came out. */
  #beginTag(plain: number, encrypted: number): void {
    const { u32, view } = this.#arena;
    const key = this.#scratch + KEY;
    for (let i = 0; i < KEY_BYTES; i += 4)
      u32[(key + i) >> 2] = view.getUint32(plain + i, true) ^ view.getUint32(encrypted + i, true);
    this.#functions.poly1305Init(this.#poly1305, this.#base + key);
  }

  /** Writes the tag of header, ciphertext, zeros to a multiple of 16, and the two lengths (RFC 8439, section 2.8) to `to`. */
  #endTag(headerBytes: number, at: number, length: number, to: number): void {
    const arena = this.#arena;
    const { view } = arena;
    const scratch = this.#scratch;
    const tail = at + length;
    const padding = -length & 15;
    // Where the tag comes to lie on all that is put behind, which is so for most of WireGuard's, there is nothing to save.
    const covered = to === tail && padding === 0;
    let first = at;
    if (headerBytes !== 0) {
      first = at - HEADER_BYTES;
      arena.copyAndSum(scratch + SAVED_HEADER, first, HEADER_BYTES);
      arena.copyAndSum(first, scratch + HEADER, HEADER_BYTES);
    }
    if (!covered) arena.copyAndSum(scratch + SAVED_TAIL, tail, TAIL_BYTES);
    for (let i = 0; i < padding + 16; i += 4) view.setUint32(tail + i, 0);
    view.setUint32(tail + padding, headerBytes, true);
    view.setUint32(tail + padding + 8, length, true);
    this.#functions.poly1305Update(this.#poly1305, this.#base + first, tail + padding + 16 - first);
    if (headerBytes !== 0) arena.copyAndSum(first, scratch + SAVED_HEADER, HEADER_BYTES);
    if (!covered) arena.copyAndSum(tail, scratch + SAVED_TAIL, TAIL_BYTES);
    this.#functions.poly1305Final(this.#poly1305, this.#base + to);
  }
}
