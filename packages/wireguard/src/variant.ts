import { LISTENERS, PATH_LISTENER, type Listener, type Memory } from '@sallyport/core';
import { COOKIE_REPLY_BYTES, INITIATION_BYTES, RESPONSE_BYTES } from './messages.ts';

/**
 * AmneziaWG 1.0's variant of the protocol, by the names of its configuration keys: junk datagrams before each
 * initiation, random bytes before initiation and response, and other type words. All that is within is WireGuard's.
 */
export interface Variant {
  /** Junk datagrams before each initiation. */
  readonly jc: number;
  /** Their size in bytes, chosen for each from `jmin` to `jmax`. */
  readonly jmin: number;
  readonly jmax: number;
  /** Random bytes before an initiation, and before a response. */
  readonly s1: number;
  readonly s2: number;
  /** Type words (u32) of initiation, response, cookie reply and transport data. */
  readonly h1: number;
  readonly h2: number;
  readonly h3: number;
  readonly h4: number;
}

export type VariantKey = keyof Variant;

/** WireGuard itself. */
export const PLAIN_VARIANT: Variant = { jc: 0, jmin: 0, jmax: 0, s1: 0, s2: 0, h1: 1, h2: 2, h3: 3, h4: 4 };

/** The keys, in the order in which a record holds them and a device tells them. */
export const VARIANT_KEYS = ['jc', 'jmin', 'jmax', 's1', 's2', 'h1', 'h2', 'h3', 'h4'] as const;

const MAX_JUNK = 128;
/** IPv6's least MTU: what is longer is fragmented, and that is conspicuous. */
const MAX_DATAGRAM_BYTES = 1280;

/** The greatest value of each key by itself. */
export const VARIANT_LIMITS: Variant = {
  jc: MAX_JUNK,
  jmin: MAX_DATAGRAM_BYTES,
  jmax: MAX_DATAGRAM_BYTES,
  s1: MAX_DATAGRAM_BYTES - INITIATION_BYTES,
  s2: MAX_DATAGRAM_BYTES - RESPONSE_BYTES,
  h1: 0xffff_ffff,
  h2: 0xffff_ffff,
  h3: 0xffff_ffff,
  h4: 0xffff_ffff,
};

/** What keeps a variant from being used, in words; undefined where it is good. */
export function checkVariant(variant: Variant): string | undefined {
  for (const key of VARIANT_KEYS) {
    const value = variant[key];
    if (!Number.isInteger(value) || value < 0 || value > VARIANT_LIMITS[key])
      return `${key} is not from 0 to ${String(VARIANT_LIMITS[key])}`;
  }
  const { jmin, jmax, s1, s2, h1, h2, h3, h4 } = variant;
  if (jmin > jmax) return 'jmin is above jmax';
  if (new Set([h1, h2, h3, h4]).size !== 4) return 'h1, h2, h3 and h4 are not all different';
  // Receivers tell the two by their lengths.
  if (INITIATION_BYTES + s1 === RESPONSE_BYTES + s2) return 's1 and s2 make initiation and response equally long';
  return undefined;
}

export function isPlain(variant: Variant): boolean {
  return VARIANT_KEYS.every((key) => variant[key] === PLAIN_VARIANT[key]);
}

const BLOCK_WORDS = 16;
const S1 = VARIANT_KEYS.indexOf('s1');
const S2 = VARIANT_KEYS.indexOf('s2');
const H1 = VARIANT_KEYS.indexOf('h1');
const H2 = VARIANT_KEYS.indexOf('h2');
const H3 = VARIANT_KEYS.indexOf('h3');
const H4 = VARIANT_KEYS.indexOf('h4');

/**
 * Which variant each listener of a device speaks, in memory that all threads read and the session half's thread writes.
 * A word holds a value's difference (exclusive or) from WireGuard's own, so that zeroed memory means WireGuard.
 */
export class VariantTable {
  static readonly bytes = LISTENERS * BLOCK_WORDS * 4;
  readonly #memory: Memory;
  readonly #word: number;

  constructor(memory: Memory, at: number) {
    this.#memory = memory;
    this.#word = at >> 2;
  }

  /** `variant` has been checked. Changes word by word: a datagram of the moment may be lost. */
  set(listener: Listener, variant: Variant): void {
    VARIANT_KEYS.forEach((key, i) => {
      this.#memory.u32[this.#word + listener * BLOCK_WORDS + i] = variant[key] ^ PLAIN_VARIANT[key];
    });
  }

  /** The variant of the listener that the path record at `path` belongs to. */
  of(path: number): Variant {
    const block = this.#block(path);
    const value = (i: number): number => (this.#memory.u32[block + i] ^ PLAIN_VARIANT[VARIANT_KEYS[i]]) >>> 0;
    const [jc, jmin, jmax, s1, s2, h1, h2, h3, h4] = VARIANT_KEYS.map((_, i) => value(i));
    return { jc, jmin, jmax, s1, s2, h1, h2, h3, h4 };
  }

  /** The type word of transport data on a path. */
  transportType(path: number): number {
    return (this.#memory.u32[this.#block(path) + H4] ^ 4) >>> 0;
  }

  /** Whether the datagram of `length` bytes at `at` can be a handshake or cookie message, which came by `path`. */
  isControl(at: number, length: number, path: number): boolean {
    const { u32, view } = this.#memory;
    const block = this.#block(path);
    const s1 = u32[block + S1];
    const s2 = u32[block + S2];
    return (
      (length === INITIATION_BYTES + s1 && (view.getUint32(at + s1, true) ^ u32[block + H1]) === 1) ||
      (length === RESPONSE_BYTES + s2 && (view.getUint32(at + s2, true) ^ u32[block + H2]) === 2) ||
      (length === COOKIE_REPLY_BYTES && (view.getUint32(at, true) ^ u32[block + H3]) === 3)
    );
  }

  #block(path: number): number {
    return this.#word + this.#memory.u32[(path + PATH_LISTENER) >> 2] * BLOCK_WORDS;
  }
}
