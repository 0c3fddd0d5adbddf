import type { Instant, SessionId } from '@sallyport/core';
import type { DataKey, DataSessions } from '../data/data-sessions.ts';

/** How often it is looked whether the peer has begun to use a new key. */
const LISTEN_MS = 500;

/**
 * The data channel's keys of one session, from renegotiation to renegotiation. A new key opens at once; it seals when the
 * peer is known to have it. The one before it opens for the transition window.
 */
export class DataKeys {
  readonly #data: DataSessions;
  readonly #session: SessionId;
  #current: number | undefined;
  #next: { readonly keyId: number; readonly useAt: Instant } | undefined;
  #previous: { readonly keyId: number; readonly removeAt: Instant } | undefined;

  constructor(data: DataSessions, session: SessionId) {
    this.#data = data;
    this.#session = session;
  }

  /**
   * Takes the key of a new exchange, which seals from `useAt` at the latest. False where there is no room for it.
   * The material is copied.
   */
  install(keyId: number, key: DataKey, useAt: Instant, now: Instant, transitionMs: number): boolean {
    // Three at the most: the peer may still use the one before, until it hears of this one.
    if (this.#next !== undefined) this.#goOver(this.#next.keyId, now, transitionMs);
    if (!this.#data.installKey(this.#session, keyId, key)) return false;
    if (this.#current === undefined) {
      this.#current = keyId;
      this.#data.sendWith(this.#session, keyId);
    } else this.#next = { keyId, useAt };
    return true;
  }

  /** Does what is due. `told`: the peer has acknowledged all that it needs to make the new key itself. */
  service(now: Instant, told: boolean, transitionMs: number): void {
    const next = this.#next;
    if (next !== undefined && (this.#data.heardBy(this.#session, next.keyId) || (told && now >= next.useAt)))
      this.#goOver(next.keyId, now, transitionMs);
    if (this.#previous !== undefined && now >= this.#previous.removeAt) {
      this.#data.removeKey(this.#session, this.#previous.keyId);
      this.#previous = undefined;
    }
  }

  /** Whether the key in use is nearly used up. */
  get wornOut(): boolean {
    return this.#current !== undefined && this.#data.wornOut(this.#session, this.#current);
  }

  deadline(now: Instant): Instant {
    return Math.min(
      this.#next === undefined ? Infinity : now + LISTEN_MS,
      this.#previous === undefined ? Infinity : this.#previous.removeAt,
    );
  }

  #goOver(keyId: number, now: Instant, transitionMs: number): void {
    if (this.#previous !== undefined) this.#data.removeKey(this.#session, this.#previous.keyId);
    this.#data.sendWith(this.#session, keyId);
    if (this.#current !== undefined) this.#previous = { keyId: this.#current, removeAt: now + transitionMs };
    this.#current = keyId;
    this.#next = undefined;
  }
}
