import type { KeyObject } from 'node:crypto';
import type { Secret } from '@sallyport/core';
import { decodeStateKey, isLoginToken, verifyLoginToken } from '@sallyport/link';
import type { DevicePlan } from '@sallyport/policy';

/**
 * Looks at the tokens that devices show in place of the password when they come again. The control plane makes them; what
 * a gateway has makes none, for itself or for another, and does to know one, with a link or without.
 */
export class AuthTokens {
  readonly #tokenKey: () => string | undefined;
  readonly #now: () => number;
  #known: { readonly text: string; readonly key: KeyObject | undefined } | undefined;

  /** `tokenKey`: the one of the gateway's plan; `now`: Unix milliseconds. */
  constructor(tokenKey: () => string | undefined, now: () => number) {
    this.#tokenKey = tokenKey;
    this.#now = now;
  }

  static isToken(password: Secret<string>): boolean {
    return isLoginToken(password.reveal());
  }

  /** Whether it is of a login at this device that still counts. */
  isValid(token: Secret<string>, { id, openvpn }: Pick<DevicePlan, 'id' | 'openvpn'>): boolean {
    const key = this.#key();
    if (key === undefined || openvpn?.loginEpoch === undefined) return false;
    const subject = { deviceId: id, loginEpoch: openvpn.loginEpoch };
    return verifyLoginToken(token.reveal(), subject, key, this.#now());
  }

  #key(): KeyObject | undefined {
    const text = this.#tokenKey();
    if (text === undefined) return undefined;
    if (this.#known?.text !== text) this.#known = { text, key: decodeStateKey(text) };
    return this.#known.key;
  }
}
