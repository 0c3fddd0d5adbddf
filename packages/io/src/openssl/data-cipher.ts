import type { DataPacketCipher } from '@sallyport/openvpn';
import type { Arena } from '../arena.ts';
import {
  JOINED_SCRATCH_BYTES,
  JoinedChaCha20Poly1305,
  KEY_BYTES,
  loadFunctions,
  TAG_BYTES,
  type ChaCha20Poly1305Functions,
} from './joined-chacha20-poly1305.ts';
import { libcrypto } from './libcrypto.ts';

type Address = number;

/*
 * The ciphers of OpenVPN's data channel. A thread has two contexts of EVP for each cipher, one that seals and one that
 * opens; a key is set anew when it is another than the last, which costs less than a packet. A context keeps the schedule
 * of its last key in OpenSSL's memory. So that this can be erased, each thread notes its contexts in the arena, where the
 * thread that removes keys finds them.
 */

// The numbers of packages/openvpn/src/data/format.ts.
const CHACHA20_POLY1305 = 3;
const AES_256_CBC = 4;
/** In the place of cipher 0: HMAC-SHA256. */
const HMAC = 0;
const NAMES = ['HMAC', 'AES-256-GCM', 'AES-128-GCM', 'ChaCha20-Poly1305', 'AES-256-CBC'];
const SEAL = 1;
const OPEN = 0;

const IV_BYTES = 16;
const HMAC_BYTES = 32;

// --- the scratch ---------------------------------------------------------------------------------------------------

/** For each cipher a slot to open and one to seal: f64 the context's address, i32 the offset of its key, 0 for none. */
const SLOT_BYTES = 16;
const SLOT_KEY = 8;
const NONCE = 2 * NAMES.length * SLOT_BYTES;
const WRITTEN = NONCE + 16;
const MAC = WRITTEN + 16;
/** Stay zero. */
const ZEROS = MAC + HMAC_BYTES;
/** Two OSSL_PARAM each, the second being the end of the list, and what they name. */
const TAG_PARAMETER = ZEROS + KEY_BYTES;
const PARAMETER_BYTES = 40;
const DIGEST_PARAMETER = TAG_PARAMETER + 2 * PARAMETER_BYTES;
const TEXTS = DIGEST_PARAMETER + 2 * PARAMETER_BYTES;
const TEXT_BYTES = 16;
const JOINED = (TEXTS + 3 * TEXT_BYTES + 63) & -64;

/** How much of the arena a data cipher needs for itself. */
export const DATA_CIPHER_SCRATCH_BYTES = JOINED + JOINED_SCRATCH_BYTES;

/** Of an OSSL_PARAM. */
const PARAMETER_TYPE = 8;
const PARAMETER_DATA = 16;
const PARAMETER_SIZE = 24;
const OSSL_PARAM_UTF8_STRING = 4;
const OSSL_PARAM_OCTET_STRING = 5;

// --- the registry: i32s, how many threads have ciphers, and the scratch of each --------------------------------------

/** The registry has 256 bytes: `CIPHER_REGISTRY_BYTES` of packages/openvpn. */
const MAX_THREADS = 63;

/**
 * The ciphers of one thread. `scratch` is {@link DATA_CIPHER_SCRATCH_BYTES} zeroed bytes of its own, `registry` the
 * region that all threads share. Throws where OpenSSL lacks a cipher.
 */
export function createDataCipher(arena: Arena, scratch: number, registry: number): DataPacketCipher {
  const thread = Atomics.add(arena.i32, registry >> 2, 1);
  if (thread >= MAX_THREADS) throw new RangeError('too many threads for the registry of data ciphers');
  const cipher = new EvpDataCipher(arena, scratch);
  Atomics.store(arena.i32, (registry >> 2) + 1 + thread, scratch);
  const functions = loadFunctions();
  if (functions === undefined) return cipher;
  const joined = new JoinedDataCipher(cipher, arena, scratch + JOINED, functions);
  return agree(arena, cipher, joined, scratch + JOINED) ? joined : cipher;
}

/**
 * Erases the keys from offset `first` to `end` that the ciphers of all threads still have. To be called while none of them
 * is at work.
 */
export function eraseDataCiphers(arena: Arena, registry: number, first = 1, end = Infinity): void {
  const { i32 } = arena;
  const threads = Atomics.load(i32, registry >> 2);
  for (let thread = 0; thread < threads; thread++) {
    const scratch = Atomics.load(i32, (registry >> 2) + 1 + thread);
    if (scratch === 0) continue; // it just starts, and has no key yet
    for (let cipher = 0; cipher < NAMES.length; cipher++)
      for (const direction of [OPEN, SEAL]) {
        const slot = slotOf(scratch, cipher, direction);
        const key = i32[(slot + SLOT_KEY) >> 2];
        if (key < first || key >= end) continue;
        i32[(slot + SLOT_KEY) >> 2] = 0;
        setKey(arena, scratch, cipher, direction, scratch + ZEROS);
      }
  }
}

function slotOf(scratch: number, cipher: number, direction: number): number {
  return scratch + (2 * cipher + direction) * SLOT_BYTES;
}

function setKey(arena: Arena, scratch: number, cipher: number, direction: number, keyAt: number): void {
  const context: Address = arena.f64[slotOf(scratch, cipher, direction) >> 3];
  const key = arena.address + keyAt;
  if (cipher === HMAC) libcrypto.macInit(context, key, KEY_BYTES, arena.address + scratch + DIGEST_PARAMETER);
  else libcrypto.cipherInit2(context, 0, key, 0, direction, 0);
}

/** All ciphers by OpenSSL's public interface. */
export class EvpDataCipher implements DataPacketCipher {
  readonly nonce: number;
  readonly #arena: Arena;
  readonly #base: number;
  readonly #scratch: number;
  readonly #nonce: Address;
  readonly #written: Address;
  readonly #tagParameter: Address;
  #sealing: Address = 0;
  #opening: Address = 0;

  constructor(arena: Arena, scratch: number) {
    this.nonce = scratch + NONCE;
    this.#arena = arena;
    this.#base = arena.address;
    this.#scratch = scratch;
    this.#nonce = arena.address + scratch + NONCE;
    this.#written = arena.address + scratch + WRITTEN;
    this.#tagParameter = arena.address + scratch + TAG_PARAMETER;
    this.#writeParameter(TAG_PARAMETER, 0, 'tag', OSSL_PARAM_OCTET_STRING, 0, TAG_BYTES);
    this.#writeText(2, 'SHA256');
    this.#writeParameter(DIGEST_PARAMETER, 1, 'digest', OSSL_PARAM_UTF8_STRING, TEXTS + 2 * TEXT_BYTES, 6);
    for (let cipher = 0; cipher < NAMES.length; cipher++) this.#createContexts(cipher);
  }

  #writeText(index: number, text: string): number {
    const at = this.#scratch + TEXTS + index * TEXT_BYTES;
    for (let i = 0; i < text.length; i++) this.#arena.u8[at + i] = text.charCodeAt(i);
    return at;
  }

  #writeParameter(at: number, index: number, key: string, type: number, data: number, size: number): void {
    const arena = this.#arena;
    const to = this.#scratch + at;
    arena.writePointer(to, this.#writeText(index, key));
    arena.u32[(to + PARAMETER_TYPE) >> 2] = type;
    arena.writePointer(to + PARAMETER_DATA, this.#scratch + data);
    arena.u32[(to + PARAMETER_SIZE) >> 2] = size;
  }

  #createContexts(cipher: number): void {
    const name = NAMES[cipher];
    const algorithm = cipher === HMAC ? libcrypto.fetchMac(0, name, 0) : libcrypto.fetchCipher(0, name, 0);
    for (const direction of [OPEN, SEAL]) {
      const context =
        algorithm === 0 ? 0 : cipher === HMAC ? libcrypto.newMacContext(algorithm) : libcrypto.newCipherContext();
      if (context === 0 || (cipher !== HMAC && libcrypto.cipherInit2(context, algorithm, 0, 0, direction, 0) !== 1))
        throw new Error(`OpenSSL offers no ${name}: is this node built in FIPS mode?`);
      // What is padded is padded by the packet half.
      if (cipher === AES_256_CBC) libcrypto.cipherPadding(context, 0);
      this.#arena.f64[slotOf(this.#scratch, cipher, direction) >> 3] = context;
    }
  }

  useSealingKey(cipher: number, keyAt: number): void {
    this.#sealing = this.#use(cipher, SEAL, keyAt);
    if (cipher === AES_256_CBC) this.#use(HMAC, SEAL, keyAt + KEY_BYTES);
  }

  useOpeningKey(cipher: number, keyAt: number): void {
    this.#opening = this.#use(cipher, OPEN, keyAt);
    if (cipher === AES_256_CBC) this.#use(HMAC, OPEN, keyAt + KEY_BYTES);
  }

  #use(cipher: number, direction: number, keyAt: number): Address {
    const { i32, f64 } = this.#arena;
    const slot = slotOf(this.#scratch, cipher, direction);
    if (i32[(slot + SLOT_KEY) >> 2] !== keyAt) {
      i32[(slot + SLOT_KEY) >> 2] = keyAt;
      setKey(this.#arena, this.#scratch, cipher, direction, keyAt);
    }
    return f64[slot >> 3];
  }

  seal(header: number, headerBytes: number, at: number, length: number, tag: number): void {
    const c = this.#sealing;
    const base = this.#base;
    const written = this.#written;
    libcrypto.cipherInit2(c, 0, 0, this.#nonce, SEAL, 0);
    libcrypto.cipherUpdate(c, 0, written, base + header, headerBytes);
    libcrypto.cipherUpdate(c, base + at, written, base + at, length);
    libcrypto.cipherFinal(c, base + at + length, written);
    this.#arena.writePointer(this.#scratch + TAG_PARAMETER + PARAMETER_DATA, tag);
    libcrypto.cipherParameters(c, this.#tagParameter);
  }

  open(header: number, headerBytes: number, at: number, length: number, tag: number): boolean {
    const c = this.#opening;
    const base = this.#base;
    const written = this.#written;
    this.#arena.writePointer(this.#scratch + TAG_PARAMETER + PARAMETER_DATA, tag);
    libcrypto.cipherInit2(c, 0, 0, this.#nonce, OPEN, this.#tagParameter);
    libcrypto.cipherUpdate(c, 0, written, base + header, headerBytes);
    libcrypto.cipherUpdate(c, base + at, written, base + at, length);
    return libcrypto.cipherFinal(c, base + at + length, written) === 1;
  }

  sealCbc(at: number, length: number): void {
    const c = this.#sealing;
    const base = this.#base;
    const iv = at - IV_BYTES;
    if (libcrypto.randomBytes(base + iv, IV_BYTES) !== 1) throw new Error('OpenSSL has no random bytes');
    libcrypto.cipherInit2(c, 0, 0, base + iv, SEAL, 0);
    libcrypto.cipherUpdate(c, base + at, this.#written, base + at, length);
    this.#mac(SEAL, iv, IV_BYTES + length, iv - HMAC_BYTES);
  }

  openCbc(at: number, length: number): boolean {
    const { view } = this.#arena;
    const c = this.#opening;
    const base = this.#base;
    const iv = at - IV_BYTES;
    const made = this.#scratch + MAC;
    this.#mac(OPEN, iv, IV_BYTES + length, made);
    let difference = 0;
    for (let i = 0; i < HMAC_BYTES; i += 4) difference |= view.getInt32(made + i) ^ view.getInt32(iv - HMAC_BYTES + i);
    if (difference !== 0) return false;
    libcrypto.cipherInit2(c, 0, 0, base + iv, OPEN, 0);
    libcrypto.cipherUpdate(c, base + at, this.#written, base + at, length);
    return true;
  }

  #mac(direction: number, at: number, length: number, to: number): void {
    const c = this.#arena.f64[slotOf(this.#scratch, HMAC, direction) >> 3];
    libcrypto.macInit(c, 0, 0, 0);
    libcrypto.macUpdate(c, this.#base + at, length);
    libcrypto.macFinal(c, this.#base + to, this.#written, HMAC_BYTES);
  }
}

/** As {@link EvpDataCipher}, with ChaCha20 and Poly1305 joined as for WireGuard. */
class JoinedDataCipher implements DataPacketCipher {
  readonly nonce: number;
  readonly #arena: Arena;
  readonly #evp: EvpDataCipher;
  readonly #joined: JoinedChaCha20Poly1305;
  #sealsJoined = false;
  #opensJoined = false;

  constructor(evp: EvpDataCipher, arena: Arena, scratch: number, functions: ChaCha20Poly1305Functions) {
    this.#arena = arena;
    this.#evp = evp;
    this.#joined = new JoinedChaCha20Poly1305(arena, scratch, functions);
    this.nonce = evp.nonce;
  }

  useSealingKey(cipher: number, keyAt: number): void {
    this.#sealsJoined = cipher === CHACHA20_POLY1305;
    if (this.#sealsJoined) this.#joined.useSealingKey(keyAt);
    else this.#evp.useSealingKey(cipher, keyAt);
  }

  useOpeningKey(cipher: number, keyAt: number): void {
    this.#opensJoined = cipher === CHACHA20_POLY1305;
    if (this.#opensJoined) this.#joined.useOpeningKey(keyAt);
    else this.#evp.useOpeningKey(cipher, keyAt);
  }

  seal(header: number, headerBytes: number, at: number, length: number, tag: number): void {
    if (!this.#sealsJoined) {
      this.#evp.seal(header, headerBytes, at, length, tag);
      return;
    }
    this.#copyNonce();
    this.#joined.seal(header, headerBytes, at, length, tag);
  }

  open(header: number, headerBytes: number, at: number, length: number, tag: number): boolean {
    if (!this.#opensJoined) return this.#evp.open(header, headerBytes, at, length, tag);
    this.#copyNonce();
    return this.#joined.open(header, headerBytes, at, length, tag);
  }

  sealCbc(at: number, length: number): void {
    this.#evp.sealCbc(at, length);
  }

  openCbc(at: number, length: number): boolean {
    return this.#evp.openCbc(at, length);
  }

  #copyNonce(): void {
    const { u32 } = this.#arena;
    const from = this.nonce >> 2;
    const to = this.#joined.nonce >> 2;
    u32[to] = u32[from];
    u32[to + 1] = u32[from + 1];
    u32[to + 2] = u32[from + 2];
  }
}

/** Whether both give the same by ChaCha20-Poly1305, and refuse a forgery, for lengths around each of their edges. */
function agree(arena: Arena, a: DataPacketCipher, b: DataPacketCipher, scratch: number): boolean {
  const { u8 } = arena;
  // behind what the joined cipher works on for packets of these lengths
  const key = scratch + 8192;
  const header = key + 64;
  const at = key + 256;
  for (let i = 0; i < KEY_BYTES; i++) u8[key + i] = 7 * i + 1;
  for (let i = 0; i < 12; i++) u8[header + i] = u8[a.nonce + i] = 5 * i + 3;
  let same = true;
  for (const length of [1, 16, 63, 64, 65, 448, 512, 1000])
    for (const headerBytes of [8, 12]) {
      const results = [a, b].map((cipher) => {
        const tag = headerBytes === 8 ? at - TAG_BYTES : at + length;
        for (let i = 0; i < length; i++) u8[at + i] = i;
        cipher.useSealingKey(CHACHA20_POLY1305, key);
        cipher.seal(header, headerBytes, at, length, tag);
        const sealed = u8.slice(at - TAG_BYTES, at + length + TAG_BYTES);
        cipher.useOpeningKey(CHACHA20_POLY1305, key);
        u8[tag] ^= 1;
        same &&= !cipher.open(header, headerBytes, at, length, tag);
        u8.set(sealed, at - TAG_BYTES);
        same &&= cipher.open(header, headerBytes, at, length, tag);
        for (let i = 0; i < length; i++) same &&= u8[at + i] === (i & 255);
        u8.fill(0, at - TAG_BYTES, at + length + TAG_BYTES);
        return sealed;
      });
      same &&= results[0].every((byte, i) => byte === results[1][i]);
    }
  u8.fill(0, key, at + 2048);
  return same;
}
