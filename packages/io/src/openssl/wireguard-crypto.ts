import { randomFillSync, timingSafeEqual } from 'node:crypto';
import { addressOfBuffer } from '../libc.ts';
import { EVP_CTRL_AEAD_GET_TAG, EVP_CTRL_AEAD_SET_TAG, EVP_PKEY_X25519, libcrypto } from './libcrypto.ts';

type Address = number;

const KEY_BYTES = 32;
const HASH_BYTES = 32;
const MAC_BYTES = 16;
const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const XNONCE_BYTES = 24;
/** BLAKE2s takes its input by blocks of this size, which is what HMAC (RFC 2104) calls B. */
const BLOCK_BYTES = 64;

// Where things lie in the scratch memory. Everything of variable length is in DATA, which reaches to its end.
const WRITTEN = 0;
const SIZE = 8;
const SIZE_PARAMETER = 16; // OSSL_PARAM[2] and what it points to
const SIZE_PARAMETER_NAME = 96;
const SIZE_PARAMETER_VALUE = 104;
const ZEROS = 128; // 64 bytes that stay zero
const KEY = 192;
const NONCE = 224;
const OUT = 256; // 64 bytes
const OUTER = 320; // HMAC's outer block and the inner digest: 96 bytes
const DATA = 448;

const OSSL_PARAM_UNSIGNED_INTEGER = 2;

/** The words that a ChaCha20 block begins with: "expand 32-byte k". */
const SIGMA = Uint32Array.of(0x61707865, 0x3320646e, 0x79622d32, 0x6b206574);

/** An OpenSSL function failed that fails only where OpenSSL lacks the algorithm or memory is exhausted. */
function check(status: number, what: string): void {
  if (status > 0) return;
  libcrypto.clearErrors();
  throw new Error(`OpenSSL: ${what} failed. Is this node built, or configured, in FIPS mode?`);
}

function checkLength(bytes: Uint8Array, length: number, what: string): void {
  if (bytes.length !== length) throw new RangeError(`${what} must have ${String(length)} bytes`);
}

/** Bytes at an address that OpenSSL can be told: a page that never moves. */
class Scratch {
  readonly u8: Uint8Array;
  readonly view: DataView;
  readonly address: Address;
  readonly out: Uint8Array;
  readonly mac: Uint8Array;

  constructor() {
    const { buffer } = new WebAssembly.Memory({ initial: 1, maximum: 1 });
    this.u8 = new Uint8Array(buffer);
    this.view = new DataView(buffer);
    this.address = addressOfBuffer(buffer);
    this.out = this.u8.subarray(OUT, OUT + HASH_BYTES);
    this.mac = this.u8.subarray(OUT, OUT + MAC_BYTES);
  }

  /** Puts `bytes` at `at` and returns the offset behind them; throws a RangeError where they don't fit. */
  put(at: number, bytes: Uint8Array): number {
    this.u8.set(bytes, at);
    return at + bytes.length;
  }

  /** Moves the 32 bytes of the result to `to`. */
  takeOut(to: Uint8Array): void {
    to.set(this.out);
    this.out.fill(0);
  }

  setPointer(at: number, to: number): void {
    this.view.setBigUint64(at, BigInt(this.address + to), true);
  }
}

/** An X25519 private key within OpenSSL, which erases it when it is freed. */
class X25519PrivateKey {
  readonly publicKey = new Uint8Array(KEY_BYTES);
  readonly #scratch: Scratch;
  #key: Address;
  #context: Address;

  constructor(scratch: Scratch, privateKey: Uint8Array) {
    checkLength(privateKey, KEY_BYTES, 'a private key');
    const { address } = scratch;
    this.#scratch = scratch;
    scratch.put(KEY, privateKey);
    this.#key = libcrypto.newPrivateKey(EVP_PKEY_X25519, 0, address + KEY, KEY_BYTES);
    scratch.u8.fill(0, KEY, KEY + KEY_BYTES);
    check(this.#key, 'EVP_PKEY_new_raw_private_key');
    scratch.view.setUint32(SIZE, KEY_BYTES, true);
    check(libcrypto.publicKey(this.#key, address + OUT, address + SIZE), 'EVP_PKEY_get_raw_public_key');
    scratch.takeOut(this.publicKey);
    this.#context = libcrypto.newKeyContext(this.#key, 0);
    check(this.#context, 'EVP_PKEY_CTX_new');
    check(libcrypto.deriveInit(this.#context), 'EVP_PKEY_derive_init');
  }

  agree(to: Uint8Array, publicKey: Uint8Array): boolean {
    checkLength(to, KEY_BYTES, 'a shared secret');
    checkLength(publicKey, KEY_BYTES, 'a public key');
    if (this.#key === 0) throw new Error('this private key was disposed of');
    const scratch = this.#scratch;
    const { address } = scratch;
    scratch.put(DATA, publicKey);
    const peer = libcrypto.newPublicKey(EVP_PKEY_X25519, 0, address + DATA, KEY_BYTES);
    check(peer, 'EVP_PKEY_new_raw_public_key');
    // Any 32 bytes are a public key (RFC 7748), so there is nothing to validate but the result.
    const status = libcrypto.deriveSetPeer(this.#context, peer, 0);
    libcrypto.freeKey(peer); // the context holds it
    check(status, 'EVP_PKEY_derive_set_peer_ex');
    scratch.view.setUint32(SIZE, KEY_BYTES, true);
    const agreed = libcrypto.derive(this.#context, address + OUT, address + SIZE) === 1;
    if (!agreed) {
      libcrypto.clearErrors(); // it refuses a result of zero
      scratch.out.fill(0);
    }
    scratch.takeOut(to);
    return agreed;
  }

  dispose(): void {
    libcrypto.freeKeyContext(this.#context); // 0 is allowed
    libcrypto.freeKey(this.#key);
    this.#context = 0;
    this.#key = 0;
  }
}

/**
 * The cryptography of WireGuard's handshake, by OpenSSL. It is the package wireguard's `WireGuardCrypto`, where each
 * function is described. An instance serves one thread, for good: what it holds outside JavaScript is never freed.
 */
export class HandshakeCrypto {
  readonly #scratch = new Scratch();
  readonly #random = new RandomPool();
  readonly #blake2s: Address;
  readonly #mac: Address;
  readonly #sealing: Address;
  readonly #opening: Address;
  readonly #chacha20: Address;

  constructor() {
    const scratch = this.#scratch;
    const { address } = scratch;
    this.#blake2s = libcrypto.fetchDigest(0, 'BLAKE2S-256', 0);
    check(this.#blake2s, 'EVP_MD_fetch of BLAKE2S-256');

    const mac = libcrypto.fetchMac(0, 'BLAKE2SMAC', 0);
    check(mac, 'EVP_MAC_fetch of BLAKE2SMAC');
    this.#mac = libcrypto.newMacContext(mac);
    check(this.#mac, 'EVP_MAC_CTX_new');
    // OSSL_PARAM { key, data_type, data, data_size, return_size }, and one whose key is null
    scratch.put(SIZE_PARAMETER_NAME, new TextEncoder().encode('size'));
    scratch.view.setUint32(SIZE_PARAMETER_VALUE, MAC_BYTES, true);
    scratch.setPointer(SIZE_PARAMETER, SIZE_PARAMETER_NAME);
    scratch.view.setUint32(SIZE_PARAMETER + 8, OSSL_PARAM_UNSIGNED_INTEGER, true);
    scratch.setPointer(SIZE_PARAMETER + 16, SIZE_PARAMETER_VALUE);
    scratch.view.setUint32(SIZE_PARAMETER + 24, 8, true);

    const aead = libcrypto.fetchCipher(0, 'ChaCha20-Poly1305', 0);
    const chacha20 = libcrypto.fetchCipher(0, 'ChaCha20', 0);
    check(aead, 'EVP_CIPHER_fetch of ChaCha20-Poly1305');
    check(chacha20, 'EVP_CIPHER_fetch of ChaCha20');
    this.#sealing = libcrypto.newCipherContext();
    this.#opening = libcrypto.newCipherContext();
    this.#chacha20 = libcrypto.newCipherContext();
    const zeros = address + ZEROS;
    check(libcrypto.cipherInit(this.#sealing, aead, 0, zeros, zeros, 1), 'EVP_CipherInit_ex');
    check(libcrypto.cipherInit(this.#opening, aead, 0, zeros, zeros, 0), 'EVP_CipherInit_ex');
    check(libcrypto.cipherInit(this.#chacha20, chacha20, 0, zeros, zeros, 1), 'EVP_CipherInit_ex');
  }

  hash(to: Uint8Array, a: Uint8Array, b?: Uint8Array): void {
    checkLength(to, HASH_BYTES, 'a hash');
    const scratch = this.#scratch;
    let end = scratch.put(DATA, a);
    if (b !== undefined) end = scratch.put(end, b);
    this.#digest(OUT, DATA, end);
    scratch.u8.fill(0, DATA, end);
    scratch.takeOut(to);
  }

  hmac(to: Uint8Array, key: Uint8Array, a: Uint8Array, b?: Uint8Array): void {
    checkLength(to, HASH_BYTES, 'an HMAC');
    if (key.length > BLOCK_BYTES) throw new RangeError('an HMAC key must have at most 64 bytes');
    const scratch = this.#scratch;
    const { u8 } = scratch;
    for (let i = 0; i < BLOCK_BYTES; i++) {
      const byte = i < key.length ? key[i] : 0;
      u8[DATA + i] = byte ^ 0x36;
      u8[OUTER + i] = byte ^ 0x5c;
    }
    let end = scratch.put(DATA + BLOCK_BYTES, a);
    if (b !== undefined) end = scratch.put(end, b);
    this.#digest(OUTER + BLOCK_BYTES, DATA, end);
    this.#digest(OUT, OUTER, OUTER + BLOCK_BYTES + HASH_BYTES);
    u8.fill(0, OUTER, end);
    scratch.takeOut(to);
  }

  mac(to: Uint8Array, key: Uint8Array, data: Uint8Array): void {
    checkLength(to, MAC_BYTES, 'a MAC');
    if (key.length === 0 || key.length > KEY_BYTES) throw new RangeError('a MAC key must have 1 to 32 bytes');
    const scratch = this.#scratch;
    const { u8, address } = scratch;
    scratch.put(KEY, key);
    const end = scratch.put(DATA, data);
    check(libcrypto.macInit(this.#mac, address + KEY, key.length, address + SIZE_PARAMETER), 'EVP_MAC_init');
    check(libcrypto.macUpdate(this.#mac, address + DATA, data.length), 'EVP_MAC_update');
    check(libcrypto.macFinal(this.#mac, address + OUT, address + SIZE, MAC_BYTES), 'EVP_MAC_final');
    u8.fill(0, KEY, KEY + KEY_BYTES);
    u8.fill(0, DATA, end);
    to.set(scratch.mac);
    scratch.mac.fill(0);
  }

  seal(to: Uint8Array, key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): void {
    this.#prepare(key, nonce, NONCE_BYTES);
    this.#seal(to, plaintext, ad);
  }

  open(to: Uint8Array, key: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array, ad: Uint8Array): boolean {
    this.#prepare(key, nonce, NONCE_BYTES);
    return this.#open(to, ciphertext, ad);
  }

  xseal(to: Uint8Array, key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): void {
    this.#prepare(key, nonce, XNONCE_BYTES);
    this.#deriveSubkey();
    this.#seal(to, plaintext, ad);
  }

  xopen(to: Uint8Array, key: Uint8Array, nonce: Uint8Array, ciphertext: Uint8Array, ad: Uint8Array): boolean {
    this.#prepare(key, nonce, XNONCE_BYTES);
    this.#deriveSubkey();
    return this.#open(to, ciphertext, ad);
  }

  importPrivateKey(privateKey: Uint8Array): X25519PrivateKey {
    return new X25519PrivateKey(this.#scratch, privateKey);
  }

  equal(a: Uint8Array, b: Uint8Array): boolean {
    return a.length === b.length && timingSafeEqual(a, b);
  }

  random(to: Uint8Array): void {
    this.#random.fill(to);
  }

  #digest(to: number, from: number, end: number): void {
    const { address } = this.#scratch;
    check(libcrypto.digest(address + from, end - from, address + to, 0, this.#blake2s, 0), 'EVP_Digest');
  }

  #prepare(key: Uint8Array, nonce: Uint8Array, nonceBytes: number): void {
    checkLength(key, KEY_BYTES, 'an AEAD key');
    checkLength(nonce, nonceBytes, 'a nonce');
    this.#scratch.put(KEY, key);
    this.#scratch.put(NONCE, nonce);
  }

  /**
   * Makes XChaCha20's subkey and nonce of its key and nonce (draft-irtf-cfrg-xchacha, section 2.3). HChaCha20 is the
   * ChaCha20 block without the addition of the words that it began with; four of these are constants and four are the
   * nonce, so that they can be taken away again.
   */
  #deriveSubkey(): void {
    const { u8, view, address } = this.#scratch;
    const block = address + DATA;
    check(libcrypto.cipherInit(this.#chacha20, 0, 0, address + KEY, address + NONCE, 1), 'EVP_CipherInit_ex');
    check(
      libcrypto.cipherUpdate(this.#chacha20, block, address + WRITTEN, address + ZEROS, BLOCK_BYTES),
      'EVP_CipherUpdate',
    );
    check(libcrypto.cipherInit(this.#chacha20, 0, 0, address + ZEROS, address + ZEROS, 1), 'EVP_CipherInit_ex');
    for (let i = 0; i < 4; i++) {
      view.setUint32(KEY + 4 * i, view.getUint32(DATA + 4 * i, true) - SIGMA[i], true);
      const nonce = view.getUint32(NONCE + 4 * i, true);
      view.setUint32(KEY + 16 + 4 * i, view.getUint32(DATA + 48 + 4 * i, true) - nonce, true);
    }
    u8.fill(0, DATA, DATA + BLOCK_BYTES);
    u8.copyWithin(NONCE + 4, NONCE + 16, NONCE + 24);
    u8.fill(0, NONCE, NONCE + 4);
  }

  /** Seals with the key and nonce in the scratch memory. */
  #seal(to: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): void {
    checkLength(to, plaintext.length + TAG_BYTES, 'the ciphertext');
    const { u8, address } = this.#scratch;
    const text = this.#scratch.put(DATA, ad);
    const end = this.#scratch.put(text, plaintext);
    u8.fill(0, end, end + TAG_BYTES);
    this.#crypt(this.#sealing, 1, text, end, 0);
    check(
      libcrypto.cipherControl(this.#sealing, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, address + end),
      'EVP_CTRL_AEAD_GET_TAG',
    );
    this.#forgetKey(this.#sealing, 1);
    to.set(u8.subarray(text, end + TAG_BYTES));
    u8.fill(0, DATA, end + TAG_BYTES);
  }

  /** Opens with the key and nonce in the scratch memory. */
  #open(to: Uint8Array, ciphertext: Uint8Array, ad: Uint8Array): boolean {
    to.fill(0);
    if (ciphertext.length < TAG_BYTES) {
      this.#scratch.u8.fill(0, KEY, KEY + KEY_BYTES);
      return false;
    }
    checkLength(to, ciphertext.length - TAG_BYTES, 'the plaintext');
    const { u8 } = this.#scratch;
    const text = this.#scratch.put(DATA, ad);
    const behind = this.#scratch.put(text, ciphertext);
    const end = behind - TAG_BYTES;
    const authentic = this.#crypt(this.#opening, 0, text, end, end);
    this.#forgetKey(this.#opening, 0);
    if (authentic) to.set(u8.subarray(text, end));
    u8.fill(0, DATA, behind);
    return authentic;
  }

  /** En- or decrypts in place what is from `text` to `end`, what is between DATA and `text` being the AD. */
  #crypt(c: Address, encrypt: number, text: number, end: number, tag: number): boolean {
    const { address } = this.#scratch;
    const written = address + WRITTEN;
    check(libcrypto.cipherInit(c, 0, 0, address + KEY, address + NONCE, encrypt), 'EVP_CipherInit_ex');
    if (encrypt === 0)
      check(libcrypto.cipherControl(c, EVP_CTRL_AEAD_SET_TAG, TAG_BYTES, address + tag), 'EVP_CTRL_AEAD_SET_TAG');
    if (text > DATA) check(libcrypto.cipherUpdate(c, 0, written, address + DATA, text - DATA), 'EVP_CipherUpdate');
    if (end > text)
      check(libcrypto.cipherUpdate(c, address + text, written, address + text, end - text), 'EVP_CipherUpdate');
    const status = libcrypto.cipherFinal(c, address + end, written);
    if (encrypt === 1) check(status, 'EVP_CipherFinal_ex');
    else if (status !== 1) libcrypto.clearErrors();
    return status === 1;
  }

  #forgetKey(c: Address, encrypt: number): void {
    const { u8, address } = this.#scratch;
    u8.fill(0, KEY, KEY + KEY_BYTES);
    check(libcrypto.cipherInit(c, 0, 0, address + ZEROS, address + ZEROS, encrypt), 'EVP_CipherInit_ex');
  }
}

/** Random bytes fetched many at a time, each given out once and then erased here. */
class RandomPool {
  readonly #bytes = new Uint8Array(new ArrayBuffer(4096));
  #next = 4096;

  fill(to: Uint8Array): void {
    if (to.length > this.#bytes.length) {
      randomFillSync(to);
      return;
    }
    if (this.#next + to.length > this.#bytes.length) {
      randomFillSync(this.#bytes);
      this.#next = 0;
    }
    const given = this.#bytes.subarray(this.#next, this.#next + to.length);
    to.set(given);
    given.fill(0);
    this.#next += to.length;
  }
}
