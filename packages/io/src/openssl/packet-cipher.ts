import type { Arena } from '../arena.ts';
import {
  JOINED_SCRATCH_BYTES,
  JoinedChaCha20Poly1305,
  KEY_BYTES,
  loadFunctions,
  TAG_BYTES,
  type ChaCha20Poly1305Functions,
} from './joined-chacha20-poly1305.ts';
import { EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG, libcrypto } from './libcrypto.ts';

type Address = number;

/**
 * ChaCha20-Poly1305 (RFC 8439) without additional data on packets in the arena. Keys, nonces and packets are read
 * where they lie, so a call converts nothing. Around a packet the 64 bytes before and the 32 behind have to be in the
 * arena and this thread's; what of them is not the tag stays as it was. One instance serves one thread.
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

// --- by OpenSSL's ChaCha20 and Poly1305 ---------------------------------------------------------------------------

/** ChaCha20-Poly1305 by its two functions, joined here. */
export class JoinedPacketCipher implements PacketCipher {
  readonly #u32: Uint32Array;
  readonly #joined: JoinedChaCha20Poly1305;
  readonly #nonceWord: number;

  constructor(arena: Arena, scratch: number, functions: ChaCha20Poly1305Functions) {
    this.#u32 = arena.u32;
    this.#joined = new JoinedChaCha20Poly1305(arena, scratch, functions);
    this.#nonceWord = this.#joined.nonce >> 2;
  }

  useSealingKey(keyAt: number): void {
    this.#joined.useSealingKey(keyAt);
  }

  useOpeningKey(keyAt: number): void {
    this.#joined.useOpeningKey(keyAt);
  }

  seal(counterLow: number, counterHigh: number, at: number, length: number): void {
    this.#u32[this.#nonceWord + 1] = counterLow;
    this.#u32[this.#nonceWord + 2] = counterHigh;
    this.#joined.seal(0, 0, at, length, at + length);
  }

  open(counterLow: number, counterHigh: number, at: number, length: number): boolean {
    this.#u32[this.#nonceWord + 1] = counterLow;
    this.#u32[this.#nonceWord + 2] = counterHigh;
    return this.#joined.open(0, 0, at, length, at + length);
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
