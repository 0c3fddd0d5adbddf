import type { PrivateKey, WireGuardCrypto } from './crypto.ts';
import { HASH_BYTES, KEY_BYTES, secretBytes } from './crypto.ts';

const NOTHING = new Uint8Array(0);
const ONE = Uint8Array.of(1);
const TWO = Uint8Array.of(2);
const THREE = Uint8Array.of(3);

/** The nonce of counter 0: the handshake seals only one message with each key. */
const NONCE_0 = new Uint8Array(12);

/**
 * What both sides of a handshake carry from message to message (section 5.4 of WireGuard's paper): the chaining key C,
 * the hash H of everything said so far, and the key of the next ciphertext.
 */
export class SymmetricState {
  readonly #crypto: WireGuardCrypto;
  readonly #secrets: Uint8Array;
  readonly #chainingKey: Uint8Array;
  readonly #hash: Uint8Array;
  readonly #key: Uint8Array;
  /** τ0 of KDF, and the second output of KDF3. */
  readonly #tau: Uint8Array;
  /** A shared secret. */
  readonly #shared: Uint8Array;

  /** Begins with C and H, 32 bytes each, which are copied. */
  constructor(crypto: WireGuardCrypto, chainingKey: Uint8Array, hash: Uint8Array) {
    const secrets = secretBytes(3 * KEY_BYTES + 2 * HASH_BYTES);
    this.#crypto = crypto;
    this.#secrets = secrets;
    this.#chainingKey = secrets.subarray(0, 32);
    this.#hash = secrets.subarray(32, 64);
    this.#key = secrets.subarray(64, 96);
    this.#tau = secrets.subarray(96, 128);
    this.#shared = secrets.subarray(128, 160);
    this.#chainingKey.set(chainingKey);
    this.#hash.set(hash);
  }

  /** Another state with the same C and H. */
  clone(): SymmetricState {
    return new SymmetricState(this.#crypto, this.#chainingKey, this.#hash);
  }

  /** H := HASH(H || data) */
  mixHash(data: Uint8Array): void {
    this.#crypto.hash(this.#hash, this.#hash, data);
  }

  /** H := HASH(H || E); C := KDF1(C, E) */
  mixEphemeral(publicKey: Uint8Array): void {
    this.mixHash(publicKey);
    this.#mixChainingKey(publicKey);
  }

  /** C := KDF1(C, DH(privateKey, publicKey)); false, nothing having changed, where the shared secret is zero. */
  mixDh(privateKey: PrivateKey, publicKey: Uint8Array): boolean {
    if (!privateKey.agree(this.#shared, publicKey)) return false;
    this.#mixChainingKey(this.#shared);
    return true;
  }

  /** (C, κ) := KDF2(C, DH(privateKey, publicKey)); false, nothing having changed, where the shared secret is zero. */
  mixDhAndKey(privateKey: PrivateKey, publicKey: Uint8Array): boolean {
    if (!privateKey.agree(this.#shared, publicKey)) return false;
    this.mixKey(this.#shared);
    return true;
  }

  /** (C, κ) := KDF2(C, input) */
  mixKey(input: Uint8Array): void {
    this.#kdf2(input, this.#chainingKey, this.#key);
  }

  /** (C, τ, κ) := KDF3(C, Q); H := HASH(H || τ) */
  mixPresharedKey(presharedKey: Uint8Array): void {
    const crypto = this.#crypto;
    const c = this.#chainingKey;
    const prk = this.#shared;
    crypto.hmac(prk, c, presharedKey);
    crypto.hmac(c, prk, ONE);
    crypto.hmac(this.#tau, prk, c, TWO);
    crypto.hmac(this.#key, prk, this.#tau, THREE);
    this.mixHash(this.#tau);
  }

  /** to := AEAD(κ, 0, plaintext, H); H := HASH(H || to) */
  seal(to: Uint8Array, plaintext: Uint8Array): void {
    this.#crypto.seal(to, this.#key, NONCE_0, plaintext, this.#hash);
    this.mixHash(to);
  }

  /** The reverse of `seal`; false, H being unchanged, where the ciphertext is forged. */
  open(to: Uint8Array, ciphertext: Uint8Array): boolean {
    if (!this.#crypto.open(to, this.#key, NONCE_0, ciphertext, this.#hash)) return false;
    this.mixHash(ciphertext);
    return true;
  }

  /** (first, second) := KDF2(C, ε): the transport keys (section 5.4.5), the first being the initiator's for sending. */
  split(first: Uint8Array, second: Uint8Array): void {
    this.#kdf2(NOTHING, first, second);
  }

  /** Erases all of it. */
  wipe(): void {
    this.#secrets.fill(0);
  }

  #mixChainingKey(input: Uint8Array): void {
    this.#crypto.hmac(this.#tau, this.#chainingKey, input);
    this.#crypto.hmac(this.#chainingKey, this.#tau, ONE);
  }

  #kdf2(input: Uint8Array, first: Uint8Array, second: Uint8Array): void {
    this.#crypto.hmac(this.#tau, this.#chainingKey, input);
    this.#crypto.hmac(first, this.#tau, ONE);
    this.#crypto.hmac(second, this.#tau, first, TWO);
  }
}
