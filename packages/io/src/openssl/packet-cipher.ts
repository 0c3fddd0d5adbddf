import koffi from 'koffi';
import type { Arena } from '../arena.ts';
import { EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG, libcrypto } from './libcrypto.ts';

const KEY_BYTES = 32;
const TAG_BYTES = 16;

type Address = number;

/**
 * ChaCha20-Poly1305 (RFC 8439) without additional data on packets in the arena. Keys, nonces and packets are read
 * where they lie, so a call converts nothing. Around a packet the 64 bytes before and the 32 behind have to be in the
 * arena and this thread's; those behind are lost to the tag and what it takes to make it. One instance serves one
 * thread.
 */
export interface PacketCipher {
  useSealingKey(keyAt: number): void;
  useOpeningKey(keyAt: number): void;
  seal(counterLow: number, counterHigh: number, at: number, length: number): void;
  open(counterLow: number, counterHigh: number, at: number, length: number): boolean;
}

/** How much of the arena a packet cipher needs for itself. */
export const PACKET_CIPHER_SCRATCH_BYTES = 68 * 1024;

/**
 * The quickest packet cipher that this node binary allows. `scratch` is {@link PACKET_CIPHER_SCRATCH_BYTES} zeroed
 * bytes of the calling thread's own.
 */
export function createPacketCipher(arena: Arena, scratch: number): PacketCipher {
  const evp = new EvpPacketCipher(arena, scratch);
  const functions = loadFunctions();
  if (functions === undefined) return evp;
  const joined = new JoinedPacketCipher(arena, scratch + EVP_SCRATCH_BYTES, functions);
  return agree(arena, evp, joined, scratch + EVP_SCRATCH_BYTES + JOINED_SCRATCH_BYTES) ? joined : evp;
}

// --- by the AEAD of OpenSSL's public interface ----------------------------------------------------------------

const EVP_SCRATCH_BYTES = 64;

/** ChaCha20-Poly1305 by EVP. */
export class EvpPacketCipher implements PacketCipher {
  readonly #u32: Uint32Array;
  readonly #base: number;
  readonly #sealing: Address;
  readonly #opening: Address;
  readonly #nonce: Address;
  readonly #nonceWord: number;
  readonly #written: Address;

  constructor(arena: Arena, scratch: number) {
    this.#u32 = arena.u32;
    this.#base = arena.address;
    this.#nonce = arena.address + scratch;
    this.#nonceWord = scratch >> 2;
    this.#written = arena.address + scratch + 16;
    this.#sealing = libcrypto.newCipherContext();
    this.#opening = libcrypto.newCipherContext();
    const cipher = libcrypto.fetchCipher(0, 'ChaCha20-Poly1305', 0);
    if (
      cipher === 0 ||
      this.#sealing === 0 ||
      this.#opening === 0 ||
      libcrypto.cipherInit(this.#sealing, cipher, 0, 0, 0, 1) !== 1 ||
      libcrypto.cipherInit(this.#opening, cipher, 0, 0, 0, 0) !== 1
    )
      throw new Error('OpenSSL offers no ChaCha20-Poly1305: is this node built in FIPS mode?');
  }

  useSealingKey(keyAt: number): void {
    libcrypto.cipherInit(this.#sealing, 0, 0, this.#base + keyAt, 0, 1);
  }

  useOpeningKey(keyAt: number): void {
    libcrypto.cipherInit(this.#opening, 0, 0, this.#base + keyAt, 0, 0);
  }

  seal(counterLow: number, counterHigh: number, at: number, length: number): void {
    const c = this.#sealing;
    const address = this.#base + at;
    this.#u32[this.#nonceWord + 1] = counterLow;
    this.#u32[this.#nonceWord + 2] = counterHigh;
    libcrypto.cipherInit(c, 0, 0, 0, this.#nonce, 1);
    if (length !== 0) libcrypto.cipherUpdate(c, address, this.#written, address, length);
    libcrypto.cipherFinal(c, address + length, this.#written);
    libcrypto.cipherControl(c, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, address + length);
  }

  open(counterLow: number, counterHigh: number, at: number, length: number): boolean {
    const c = this.#opening;
    const address = this.#base + at;
    this.#u32[this.#nonceWord + 1] = counterLow;
    this.#u32[this.#nonceWord + 2] = counterHigh;
    libcrypto.cipherInit(c, 0, 0, 0, this.#nonce, 0);
    libcrypto.cipherControl(c, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, address + length);
    if (length !== 0) libcrypto.cipherUpdate(c, address, this.#written, address, length);
    return libcrypto.cipherFinal(c, address + length, this.#written) === 1;
  }
}

// --- by OpenSSL's ChaCha20 and Poly1305, joined as RFC 8439 says ------------------------------------------------

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

const BLOCK_BYTES = 64;
const POLY1305_BYTES = 512;

// offsets in the scratch
const POLY1305 = 0;
const COUNTER = POLY1305 + POLY1305_BYTES; // block counter, then nonce
const TAG = COUNTER + 16;
const TAIL = TAG + 16;
const KEY = TAIL + 32;
/** The 64 bytes before a packet, and the packet. */
const WORK = KEY + KEY_BYTES;
const JOINED_SCRATCH_BYTES = WORK + BLOCK_BYTES + 65_536 + 64; // a packet, and its tail

/**
 * ChaCha20-Poly1305 in one pass of ChaCha20: its first block, which gives the one-time key (RFC 8439, section 2.6),
 * comes with the packet's, where EVP makes it by a call of its own. What goes through ChaCha20 begins 64 bytes before
 * the packet: whatever is there, XORed with what comes out, is that first block.
 *
 * A packet is sealed in place, and what was before it put back. It is opened to the scratch, because the tag is taken
 * over what came in, and only copied back once the tag is right.
 *
 * On an AVX2 machine this takes three quarters of EVP's time; see docs/decisions.
 */
export class JoinedPacketCipher implements PacketCipher {
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
  }

  useSealingKey(keyAt: number): void {
    this.#sealingKey = this.#base + keyAt;
  }

  useOpeningKey(keyAt: number): void {
    this.#openingKey = this.#base + keyAt;
  }

  seal(counterLow: number, counterHigh: number, at: number, length: number): void {
    const arena = this.#arena;
    const saved = this.#scratch + WORK;
    const before = at - BLOCK_BYTES;
    arena.copyAndSum(saved, before, BLOCK_BYTES);
    this.#crypt(before, before, BLOCK_BYTES + length, this.#sealingKey, counterLow, counterHigh);
    this.#beginTag(saved, before);
    arena.copyAndSum(before, saved, BLOCK_BYTES);
    this.#writeTail(at + length, length);
    this.#functions.poly1305Update(this.#poly1305, this.#base + at, length + (-length & 15) + 16);
    this.#functions.poly1305Final(this.#poly1305, this.#base + at + length);
  }

  open(counterLow: number, counterHigh: number, at: number, length: number): boolean {
    const { view } = this.#arena;
    const tag = this.#scratch + TAG;
    const before = at - BLOCK_BYTES;
    const work = this.#scratch + WORK;
    this.#crypt(work, before, BLOCK_BYTES + length, this.#openingKey, counterLow, counterHigh);
    this.#beginTag(before, work);
    this.#writeTail(this.#scratch + TAIL, length);
    if (length !== 0) this.#functions.poly1305Update(this.#poly1305, this.#base + at, length);
    this.#functions.poly1305Update(this.#poly1305, this.#base + this.#scratch + TAIL, (-length & 15) + 16);
    this.#functions.poly1305Final(this.#poly1305, this.#base + tag);
    const sent = at + length;
    const difference =
      (view.getInt32(tag) ^ view.getInt32(sent)) |
      (view.getInt32(tag + 4) ^ view.getInt32(sent + 4)) |
      (view.getInt32(tag + 8) ^ view.getInt32(sent + 8)) |
      (view.getInt32(tag + 12) ^ view.getInt32(sent + 12));
    if (difference !== 0) return false;
    this.#arena.copyAndSum(at, work + BLOCK_BYTES, length);
    return true;
  }

  #crypt(to: number, from: number, bytes: number, key: Address, counterLow: number, counterHigh: number): void {
    const { u32 } = this.#arena;
    const base = this.#base;
    const counter = this.#scratch + COUNTER;
    u32[(counter + 8) >> 2] = counterLow;
    u32[(counter + 12) >> 2] = counterHigh;
    this.#functions.chacha20(base + to, base + from, bytes, key, base + counter);
  }

  /** Begins a tag by the one-time key: the first bytes of what went into ChaCha20, XORed with what came out. */
  #beginTag(plain: number, encrypted: number): void {
    const { u32, view } = this.#arena;
    const key = this.#scratch + KEY;
    for (let i = 0; i < KEY_BYTES; i += 4)
      u32[(key + i) >> 2] = view.getUint32(plain + i, true) ^ view.getUint32(encrypted + i, true);
    this.#functions.poly1305Init(this.#poly1305, this.#base + key);
  }

  /** What the tag takes in behind a ciphertext of `length` bytes: zeros to a multiple of 16, and the two lengths. */
  #writeTail(to: number, length: number): void {
    const { view } = this.#arena;
    for (let i = 0; i < 32; i += 4) view.setUint32(to + i, 0);
    view.setUint32(to + (-length & 15) + 8, length, true);
  }
}

/** Whether both ciphers give the same, and refuse a forgery, for lengths around each of their edges. */
function agree(arena: Arena, a: PacketCipher, b: PacketCipher, scratch: number): boolean {
  const { u8 } = arena;
  const key = scratch;
  const at = scratch + 128;
  const result: Uint8Array[] = [];
  for (let i = 0; i < KEY_BYTES; i++) u8[key + i] = 7 * i + 1;
  for (const length of [0, 1, 16, 63, 64, 65, 448, 512, 1000]) {
    for (const cipher of [a, b]) {
      for (let i = 0; i < length; i++) u8[at + i] = i;
      cipher.useSealingKey(key);
      cipher.seal(length, 1, at, length);
      result.push(u8.slice(at, at + length + TAG_BYTES));
      cipher.useOpeningKey(key);
      u8[at + length] ^= 1;
      if (cipher.open(length, 1, at, length)) return false;
      u8.set(result[result.length - 1], at);
      if (!cipher.open(length, 1, at, length)) return false;
      for (let i = 0; i < length; i++) if (u8[at + i] !== (i & 255)) return false;
    }
    const [one, other] = result.splice(0);
    if (one.some((byte, i) => byte !== other[i])) return false;
  }
  u8.fill(0, scratch, at + 1200);
  return true;
}
