import { addressOfBuffer } from '../libc.ts';
import { libcrypto } from './libcrypto.ts';

type Address = number;
export type HmacHash = 'md5' | 'sha1' | 'sha256' | 'sha512';

const CIPHER_KEY_BYTES = 32;
const IV_BYTES = 16;
const HASH_BYTES: Readonly<Record<HmacHash, number>> = { md5: 16, sha1: 20, sha256: 32, sha512: 64 };

// Where things lie in the scratch memory. Everything of variable length is in DATA, which reaches to its end.
const WRITTEN = 0;
const DIGEST_PARAMETER = 16; // OSSL_PARAM[2] and what it points to
const DIGEST_PARAMETER_NAME = 96;
const DIGEST_PARAMETER_VALUE = 112;
const ZEROS = 128; // 64 bytes that stay zero
const KEY = 192;
const MAX_KEY_BYTES = 128;
const IV = KEY + MAX_KEY_BYTES;
const OUT = IV + 64;
const DATA = OUT + 64;
/** Room for a datagram, and for what is authenticated beside it. */
const PAGES = 2;

const OSSL_PARAM_UTF8_STRING = 4;

/** An OpenSSL function failed that fails only where OpenSSL lacks the algorithm or memory is exhausted. */
function check(status: number, what: string): void {
  if (status > 0) return;
  libcrypto.clearErrors();
  throw new Error(`OpenSSL: ${what} failed. Is this node built, or configured, in FIPS mode?`);
}

/**
 * HMAC and AES-256-CTR of single messages by contexts of EVP that are kept: `node:crypto` makes objects for each message,
 * and takes three times as long. No key is left in a context. An instance serves one thread, for good: what it holds
 * outside JavaScript is never freed.
 */
export class MessageCrypto {
  readonly #u8: Uint8Array;
  readonly #view: DataView;
  readonly #address: Address;
  /** Contexts by hash, made when they are first needed: a policy of the machine may forbid one that nobody uses. */
  readonly #hmacs = new Map<HmacHash, Address>();
  #cipher: Address = 0;

  constructor() {
    const { buffer } = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES });
    this.#u8 = new Uint8Array(buffer);
    this.#view = new DataView(buffer);
    this.#address = addressOfBuffer(buffer);
  }

  /** Over the parts, one behind the other: 128 KiB at the most. Keys have at most 128 bytes. */
  hmac(hash: HmacHash, key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array {
    const context = this.#hmacs.get(hash) ?? this.#newHmac(hash);
    const u8 = this.#u8;
    const base = this.#address;
    this.#putKey(key);
    let end = DATA;
    for (const part of parts) {
      u8.set(part, end);
      end += part.length;
    }
    check(libcrypto.macInit(context, base + KEY, key.length, 0), 'EVP_MAC_init');
    check(libcrypto.macUpdate(context, base + DATA, end - DATA), 'EVP_MAC_update');
    check(libcrypto.macFinal(context, base + OUT, base + WRITTEN, HASH_BYTES[hash]), 'EVP_MAC_final');
    check(libcrypto.macInit(context, base + ZEROS, CIPHER_KEY_BYTES, 0), 'EVP_MAC_init');
    u8.fill(0, KEY, KEY + key.length);
    u8.fill(0, DATA, end);
    return this.#take(OUT, HASH_BYTES[hash]);
  }

  /** Sealing and opening are the same. `iv` is the first counter block, 16 bytes; `key` has 32. */
  aes256ctr(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array {
    if (key.length !== CIPHER_KEY_BYTES || iv.length !== IV_BYTES)
      throw new RangeError('AES-256-CTR takes a key of 32 bytes and a counter block of 16');
    const context = this.#cipher === 0 ? this.#newCipher() : this.#cipher;
    const base = this.#address;
    const text = base + DATA;
    this.#putKey(key);
    this.#u8.set(iv, IV);
    this.#u8.set(data, DATA);
    check(libcrypto.cipherInit2(context, 0, base + KEY, base + IV, 1, 0), 'EVP_CipherInit_ex2');
    if (data.length > 0)
      check(libcrypto.cipherUpdate(context, text, base + WRITTEN, text, data.length), 'EVP_CipherUpdate');
    check(libcrypto.cipherInit2(context, 0, base + ZEROS, base + ZEROS, 1, 0), 'EVP_CipherInit_ex2');
    this.#u8.fill(0, KEY, KEY + CIPHER_KEY_BYTES);
    return this.#take(DATA, data.length);
  }

  #putKey(key: Uint8Array): void {
    if (key.length > MAX_KEY_BYTES) throw new RangeError(`a key has at most ${String(MAX_KEY_BYTES)} bytes`);
    this.#u8.set(key, KEY);
  }

  /** Moves a result out. */
  #take(at: number, length: number): Uint8Array {
    const result = new Uint8Array(length);
    const from = this.#u8.subarray(at, at + length);
    result.set(from);
    from.fill(0);
    return result;
  }

  #newHmac(hash: HmacHash): Address {
    const mac = libcrypto.fetchMac(0, 'HMAC', 0);
    check(mac, 'EVP_MAC_fetch of HMAC');
    const context = libcrypto.newMacContext(mac);
    check(context, 'EVP_MAC_CTX_new');
    // OSSL_PARAM { key, data_type, data, data_size, return_size }, and one whose key is null.
    const view = this.#view;
    const base = this.#address;
    this.#putText(DIGEST_PARAMETER_NAME, 'digest');
    this.#putText(DIGEST_PARAMETER_VALUE, hash);
    view.setBigUint64(DIGEST_PARAMETER, BigInt(base + DIGEST_PARAMETER_NAME), true);
    view.setUint32(DIGEST_PARAMETER + 8, OSSL_PARAM_UTF8_STRING, true);
    view.setBigUint64(DIGEST_PARAMETER + 16, BigInt(base + DIGEST_PARAMETER_VALUE), true);
    view.setUint32(DIGEST_PARAMETER + 24, hash.length, true);
    check(libcrypto.macInit(context, base + ZEROS, CIPHER_KEY_BYTES, base + DIGEST_PARAMETER), `HMAC by ${hash}`);
    this.#hmacs.set(hash, context);
    return context;
  }

  #putText(at: number, text: string): void {
    this.#u8.set(new TextEncoder().encode(`${text}\0`), at);
  }

  #newCipher(): Address {
    const cipher = libcrypto.fetchCipher(0, 'AES-256-CTR', 0);
    check(cipher, 'EVP_CIPHER_fetch of AES-256-CTR');
    const context = libcrypto.newCipherContext();
    check(context, 'EVP_CIPHER_CTX_new');
    check(libcrypto.cipherInit2(context, cipher, 0, 0, 1, 0), 'EVP_CipherInit_ex2');
    this.#cipher = context;
    return context;
  }
}
