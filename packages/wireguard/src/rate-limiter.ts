import type { Instant } from '@sallyport/core';
import type { WireGuardCrypto } from './crypto.ts';
import { KEY_BYTES, MAC_BYTES, secretBytes } from './crypto.ts';

/** Handshake messages that one source may send while we are under load, as the Linux driver has it. */
export const PACKETS_PER_SECOND = 20;
export const PACKETS_BURSTABLE = 5;

/** A token is a millisecond. */
const PACKET_COST = 1000 / PACKETS_PER_SECOND;
const TOKEN_MAX = PACKET_COST * PACKETS_BURSTABLE;

/** A source that has been silent for so long has all its tokens again, and need not be remembered. */
const FORGET_AFTER_MS = 1000;

const BUCKET_ENTRIES = 8;
const ADDRESS4_SOURCE_BYTES = 6;

/**
 * A token bucket for each source address that has shown a cookie: IPv4 by address, IPv6 by /64. The table has a fixed
 * size: 24 bytes an entry. A source's bucket of eight entries is chosen by a MAC, so nobody can fill another's at will;
 * where it is full of sources active within the last second, new ones are refused.
 */
export class RateLimiter {
  readonly #crypto: WireGuardCrypto;
  readonly #buckets: number;
  /** Two words an entry: what the MAC makes of the address or the /64. */
  readonly #keys: Uint32Array;
  readonly #lastAt: Float64Array;
  readonly #tokens: Float64Array;
  readonly #macKey = secretBytes(KEY_BYTES);
  readonly #mac = new Uint8Array(MAC_BYTES);

  /** `buckets`, of eight sources each, is a power of two. */
  constructor(crypto: WireGuardCrypto, buckets = 8192) {
    this.#crypto = crypto;
    this.#buckets = buckets;
    this.#keys = new Uint32Array(buckets * BUCKET_ENTRIES * 2);
    this.#lastAt = new Float64Array(buckets * BUCKET_ENTRIES).fill(-Infinity);
    this.#tokens = new Float64Array(buckets * BUCKET_ENTRIES);
    crypto.random(this.#macKey);
  }

  /** Whether a message from `source` (see cookie.ts) may be handled; it then costs the source a token. */
  allow(source: Uint8Array, now: Instant): boolean {
    const entry = this.#find(source, now);
    if (entry < 0) return false;
    const tokens = Math.min(TOKEN_MAX, this.#tokens[entry] + now - this.#lastAt[entry]);
    const allowed = tokens >= PACKET_COST;
    this.#lastAt[entry] = now;
    this.#tokens[entry] = allowed ? tokens - PACKET_COST : tokens;
    return allowed;
  }

  /** The source's entry, which is taken if it has none; -1 where its bucket is full. */
  #find(source: Uint8Array, now: Instant): number {
    const mac = this.#mac;
    this.#crypto.mac(mac, this.#macKey, source.subarray(0, source.length === ADDRESS4_SOURCE_BYTES ? 4 : 8));
    const first = (word(mac, 0) & (this.#buckets - 1)) * BUCKET_ENTRIES;
    const high = word(mac, 4);
    const low = word(mac, 8);
    let free = -1;
    for (let entry = first; entry < first + BUCKET_ENTRIES; entry++) {
      if (now - this.#lastAt[entry] > FORGET_AFTER_MS) free = entry;
      else if (this.#keys[2 * entry] === high && this.#keys[2 * entry + 1] === low) return entry;
    }
    if (free >= 0) {
      this.#keys[2 * free] = high;
      this.#keys[2 * free + 1] = low;
      this.#tokens[free] = TOKEN_MAX;
      this.#lastAt[free] = now;
    }
    return free;
  }
}

function word(bytes: Uint8Array, at: number): number {
  return ((bytes[at] << 24) | (bytes[at + 1] << 16) | (bytes[at + 2] << 8) | bytes[at + 3]) >>> 0;
}
