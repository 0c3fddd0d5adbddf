import { createHmac, timingSafeEqual } from 'node:crypto';
import { Secret } from '@sallyport/core';

/** What a token begins with, so that it is not taken for a password that is wrong. */
const PREFIX = 'SPTOKEN-1-';
const KEY_PURPOSE = 'sallyport: auth-token of OpenVPN devices';
/** Issue and expiry, each seconds since 1970 in 8 bytes, then the HMAC. */
const TIMES_BYTES = 16;
const HMAC_BYTES = 32;
const LIFETIME_SECONDS = 12 * 3600;
/** Gateways' clocks may differ by so much. */
const CLOCK_SKEW_SECONDS = 300;

/**
 * Tokens that a device's program shows in place of the password when it comes again: proof that the device was let in by
 * some gateway of the service within the last 12 hours. All gateways have the key; none keeps a list.
 */
export class AuthTokens {
  readonly #key: Buffer;
  readonly #now: () => number;

  /** `clientKey`: what the keys of profiles are wrapped with, the same at all gateways; `now`: Unix milliseconds. */
  constructor(clientKey: Uint8Array, now: () => number) {
    this.#key = createHmac('sha256', clientKey).update(KEY_PURPOSE).digest();
    this.#now = now;
  }

  static isToken(password: Secret<string>): boolean {
    return password.reveal().startsWith(PREFIX);
  }

  issue(deviceId: string): Secret<string> {
    const times = Buffer.alloc(TIMES_BYTES);
    const issued = Math.floor(this.#now() / 1000);
    times.writeBigUInt64BE(BigInt(issued));
    times.writeBigUInt64BE(BigInt(issued + LIFETIME_SECONDS), 8);
    return new Secret(PREFIX + Buffer.concat([times, this.#sign(deviceId, times)]).toString('base64url'));
  }

  isValid(token: Secret<string>, deviceId: string): boolean {
    if (!AuthTokens.isToken(token)) return false;
    const bytes = Buffer.from(token.reveal().slice(PREFIX.length), 'base64url');
    if (bytes.length !== TIMES_BYTES + HMAC_BYTES) return false;
    const times = bytes.subarray(0, TIMES_BYTES);
    if (!timingSafeEqual(bytes.subarray(TIMES_BYTES), this.#sign(deviceId, times))) return false;
    const now = BigInt(Math.floor(this.#now() / 1000));
    return times.readBigUInt64BE() <= now + BigInt(CLOCK_SKEW_SECONDS) && now < times.readBigUInt64BE(8);
  }

  #sign(deviceId: string, times: Buffer): Buffer {
    return createHmac('sha256', this.#key).update(times).update(deviceId).digest();
  }
}
