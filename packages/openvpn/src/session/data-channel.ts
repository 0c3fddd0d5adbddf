import type { Instant, SessionId, SessionOutbox } from '@sallyport/core';
import type { OpenVpnCrypto } from '../crypto.ts';
import type { DataCipher, DataSessions, SessionActivity } from '../data/data-sessions.ts';
import { DataKeys } from './data-keys.ts';
import type { KeyExchange } from './key-exchange.ts';
import { MIN_RENEGOTIATION_SPACING_MS } from './settings.ts';

/** What could not be done is tried again after this. */
const RETRY_MS = 1_000;
/** The packet half makes a ping of it. */
const PING: readonly Uint8Array[] = [new Uint8Array(0)];

/** In milliseconds; 0 for never. */
export interface DataTimes {
  readonly pingMs: number;
  /** The peer is gone where nothing was heard of it for so long. */
  readonly silenceMs: number;
  readonly renegotiateMs: number;
  readonly renegotiateBytes: number;
  readonly transitionMs: number;
}

export interface DataChannelOptions {
  readonly data: DataSessions;
  readonly crypto: OpenVpnCrypto;
  readonly session: SessionId;
  readonly server: boolean;
  readonly agreement: {
    readonly cipher: DataCipher;
    readonly format: 'v2' | 'epoch';
    readonly exportedKeys: boolean;
  };
  /** The session ids of the control channel. */
  readonly ids: { readonly client: Uint8Array; readonly server: Uint8Array };
  /** Asked whenever they matter. */
  readonly times: () => DataTimes;
  readonly now: Instant;
}

/** What the session half does for the data channel of one session: its keys, pings, and when new keys are due. */
export class DataChannel {
  /** When the newest keys were exchanged. */
  keysSince: Instant = 0;
  /** When the peer was last heard of on the control channel. */
  lastControlAt: Instant;
  readonly #options: DataChannelOptions;
  readonly #keys: DataKeys;
  readonly #since: Instant;
  #renegotiateAt: Instant = Infinity;
  #renegotiateAtBytes = Infinity;
  /** When the packet half's wish is to be attended to once more. */
  #attendAt: Instant = Infinity;

  constructor(options: DataChannelOptions) {
    this.#options = options;
    this.#keys = new DataKeys(options.data, options.session);
    this.#since = options.now;
    this.lastControlAt = options.now;
  }

  get activity(): SessionActivity {
    return this.#options.data.activity(this.#options.session);
  }

  /**
   * Makes the exchange's key one of the data channel, which seals from `useAt` at the latest, and plans the next exchange.
   * False where there is no key, or no room.
   */
  install(exchange: KeyExchange, useAt: Instant, now: Instant): boolean {
    const { crypto, agreement, ids, server, times } = this.#options;
    const { cipher, format, exportedKeys } = agreement;
    const { renegotiateMs, renegotiateBytes, transitionMs } = times();
    const material = exchange.material(exportedKeys, crypto, ids, server);
    exchange.forgetKeys();
    if (material === undefined) return false;
    const installed = this.#keys.install(
      exchange.keyId,
      { cipher, format, material, server },
      useAt,
      now,
      transitionMs,
    );
    material.fill(0);
    this.keysSince = now;
    this.#renegotiateAt = renegotiateMs === 0 ? Infinity : now + renegotiateMs * this.#spread();
    this.#renegotiateAtBytes = renegotiateBytes === 0 ? Infinity : carriedBy(this.activity) + renegotiateBytes;
    return installed;
  }

  /** Whether another exchange may begin: each costs both ends TLS. */
  mayRenegotiate(now: Instant): boolean {
    return now >= this.keysSince + MIN_RENEGOTIATION_SPACING_MS;
  }

  /** An exchange has begun: the next is planned when it is over. */
  renegotiating(): void {
    this.#renegotiateAt = Infinity;
    this.#renegotiateAtBytes = Infinity;
  }

  /** To be called when the packet half wants the session to be looked at; `service` comes after it. */
  attend(now: Instant): void {
    this.#attendAt = this.#options.data.attend(this.#options.session, now) ?? Infinity;
    if (this.#keys.wornOut) this.#renegotiateAt = Math.min(this.#renegotiateAt, now);
  }

  /**
   * Does what is due, and says what the session has to do. `told`: the peer has acknowledged all that it needs to make
   * the newest key itself.
   */
  service(now: Instant, told: boolean, out: SessionOutbox): 'silent' | 'renegotiate' | undefined {
    const { session, times } = this.#options;
    const { pingMs, transitionMs } = times();
    const { activity } = this;
    if (now >= this.#attendAt) this.attend(now);
    if (now >= this.#silentAt(activity)) return 'silent';
    if (pingMs !== 0 && now >= this.#pingAt(activity, pingMs)) out.seal(session, PING);
    this.#keys.service(now, told, transitionMs);
    return now >= this.#renegotiateAt || carriedBy(activity) >= this.#renegotiateAtBytes ? 'renegotiate' : undefined;
  }

  deadline(now: Instant): Instant {
    const { pingMs } = this.#options.times();
    const { activity } = this;
    return Math.min(
      this.#silentAt(activity),
      // A ping that the shell has not sent yet is not asked for again and again.
      pingMs === 0 ? Infinity : Math.max(this.#pingAt(activity, pingMs), now + RETRY_MS),
      this.#keys.deadline(now),
      this.#attendAt,
      // One that can't begin now is tried again soon.
      this.#renegotiateAt > now ? this.#renegotiateAt : now + RETRY_MS,
    );
  }

  #pingAt({ lastSentAt }: SessionActivity, pingMs: number): Instant {
    return Math.max(lastSentAt, this.#since) + pingMs;
  }

  #silentAt({ lastReceivedAt }: SessionActivity): Instant {
    const { silenceMs } = this.#options.times();
    return silenceMs === 0 ? Infinity : Math.max(lastReceivedAt, this.lastControlAt) + silenceMs;
  }

  /** From 0.9 to 1, so that clients that came together don't renegotiate together. */
  #spread(): number {
    return 1 - (this.#options.crypto.random(1)[0] / 255) * 0.1;
  }
}

function carriedBy({ receivedBytes, sentBytes }: SessionActivity): number {
  return receivedBytes + sentBytes;
}
