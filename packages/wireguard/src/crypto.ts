/** An X25519 private key, prepared for use. It holds memory outside JavaScript until `dispose`. */
export interface PrivateKey {
  readonly publicKey: Uint8Array;

  /**
   * DH (section 5.4 of WireGuard's paper): writes the 32-byte shared secret to `to`. False where it is all zero, that
   * is where `publicKey` is of low order; `to` is then zero.
   */
  agree(to: Uint8Array, publicKey: Uint8Array): boolean;

  /** Erases the key. It can't be used any more; a second call does nothing. */
  dispose(): void;
}

/**
 * The functions of section 5.4 of WireGuard's paper, as handshake and cookies need them. Results go to `to`, which
 * may be one of the inputs, so that secrets lie where the caller can erase them. An output or key of the wrong length
 * throws a RangeError: those lengths never come from the network.
 */
export interface WireGuardCrypto {
  /** HASH: BLAKE2s-256 of `a`, or of `a` and `b` joined, to 32 bytes. */
  hash(to: Uint8Array, a: Uint8Array, b?: Uint8Array): void;
  /** HMAC with BLAKE2s-256 of `a`, or of `a` and `b` joined, to 32 bytes. The key has at most 64 bytes. */
  hmac(to: Uint8Array, key: Uint8Array, a: Uint8Array, b?: Uint8Array): void;
  /** MAC: BLAKE2s keyed with 1 to 32 bytes, to 16 bytes. */
  mac(to: Uint8Array, key: Uint8Array, data: Uint8Array): void;

  /** AEAD: ChaCha20-Poly1305 with a 12-byte nonce; `to` has 16 bytes more than `plaintext`. */
  seal(to: Uint8Array, key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): void;
  /** `to` has 16 bytes less than `ciphertext`. False, `to` being zero, where it is forged or shorter than a tag. */
  open(to: Uint8Array, key: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array, ad: Uint8Array): boolean;
  /** XAEAD: XChaCha20-Poly1305, as `seal` with a 24-byte nonce. */
  xseal(to: Uint8Array, key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): void;
  /** XAEAD, as `open` with a 24-byte nonce. */
  xopen(to: Uint8Array, key: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array, ad: Uint8Array): boolean;

  /** Takes a private key of 32 bytes, clamped or not. The bytes are copied. */
  importPrivateKey(privateKey: Uint8Array): PrivateKey;
  /** Whether both are the same, in a time that depends on their lengths alone. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
  /** Fills `to` with random bytes. */
  random(to: Uint8Array): void;
}

export const KEY_BYTES = 32;
export const HASH_BYTES = 32;
export const MAC_BYTES = 16;

/** Zeroed bytes for secrets. They lie outside the heap, where the garbage collector would move them and leave copies. */
export function secretBytes(length: number): Uint8Array {
  return new Uint8Array(new ArrayBuffer(length));
}

/** A string of ASCII characters as bytes. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
