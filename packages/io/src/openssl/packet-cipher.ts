import type { Arena } from '../arena.ts';
import { EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG, libcrypto } from './libcrypto.ts';

const TAG_BYTES = 16;

type Address = number;

/**
 * ChaCha20-Poly1305 on packets in the arena, by OpenSSL's EVP interface. Key and nonce are read from the arena, so a
 * call converts nothing. One instance serves one thread.
 */
export class PacketCipher {
  static readonly scratchBytes = 64;

  readonly #u32: Uint32Array;
  readonly #base: number;
  readonly #sealing: Address;
  readonly #opening: Address;
  readonly #nonce: Address;
  readonly #nonceWord: number;
  readonly #written: Address;

  /** `scratch` is {@link scratchBytes} zeroed bytes of this thread's own. */
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
