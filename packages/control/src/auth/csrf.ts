import type { Secret } from '@sallyport/core';
import { createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import type { Store } from '../store/store.ts';
import { sealedSecret } from '../store/secrets.ts';

/**
 * What changes by cookie must send as X-CSRF-Token: an HMAC of the session's id, which only pages that can read this
 * service's answers know. It ends with its session.
 */
export class CsrfTokens {
  readonly #key: Secret<Buffer>;

  private constructor(key: Secret<Buffer>) {
    this.#key = key;
  }

  static async open(store: Store): Promise<CsrfTokens> {
    return new CsrfTokens(await sealedSecret(store, 'csrf-key', () => randomBytes(32)));
  }

  /** Base64url. */
  of(sessionId: string): string {
    return this.#mac(sessionId).toString('base64url');
  }

  isOf(sessionId: string, token: string | undefined): boolean {
    if (token === undefined || !/^[A-Za-z0-9_-]{43}$/.test(token)) return false;
    return timingSafeEqual(this.#mac(sessionId), Buffer.from(token, 'base64url'));
  }

  #mac(sessionId: string): Buffer {
    return createHmac('sha256', this.#key.reveal()).update(sessionId).digest();
  }
}
