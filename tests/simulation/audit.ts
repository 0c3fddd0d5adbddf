import assert from 'node:assert/strict';
import type { Instant, Memory, SessionId } from '../../packages/core/src/index.ts';
import { atLeast, type Limits } from '../../packages/wireguard/src/constants.ts';
import type { PacketAead } from '../../packages/wireguard/src/aead.ts';
import {
  KEYPAIR_CREATED,
  KEYPAIR_PEER,
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_SEND_KEY,
} from '../../packages/wireguard/src/layout.ts';

const KEY_BYTES = 32;
const TWO_TO_32 = 2 ** 32;

/**
 * What must hold of every key and every plaintext in a simulation, whoever uses them: no counter is used twice with a
 * key, no keypair past its limits, no plaintext is accepted twice.
 */
export class Audit {
  readonly limits: Limits;
  /** For each key, whoever seals with it, the greatest counter sealed. */
  readonly #sealed = new Map<string, number>();
  readonly #accepted = new Set<string>();
  sealedCount = 0;
  openedCount = 0;

  constructor(limits: Limits) {
    this.limits = limits;
  }

  sealed(who: string, key: string, counter: number, age: number): void {
    this.sealedCount++;
    assert.notEqual(key, NO_KEY, `${who} sealed with a key that was wiped`);
    const before = this.#sealed.get(key) ?? -1;
    assert.ok(counter > before, `${who} sealed counter ${counter} after counter ${before} with one key`);
    this.#sealed.set(key, counter);
    this.#checkLimits(`${who} sealed`, counter, age);
  }

  opened(who: string, key: string, counter: number, age: number): void {
    this.openedCount++;
    assert.notEqual(key, NO_KEY, `${who} opened with a key that was wiped`);
    this.#checkLimits(`${who} opened`, counter, age);
  }

  /** A plaintext reached the application of `who`. Each is sent once, so it may come once. */
  accepted(who: string, packet: string): void {
    const name = `${who} < ${packet}`;
    assert.ok(!this.#accepted.has(name), `${who} accepted packet ${packet} twice`);
    this.#accepted.add(name);
  }

  #checkLimits(what: string, counter: number, age: number): void {
    const { rejectAfterTimeMs, rejectAfterMessagesHigh, rejectAfterMessagesLow } = this.limits;
    assert.ok(age >= 0 && age < rejectAfterTimeMs, `${what} with a keypair ${age} ms old`);
    assert.ok(
      !atLeast(Math.floor(counter / TWO_TO_32), counter % TWO_TO_32, rejectAfterMessagesHigh, rejectAfterMessagesLow),
      `${what} counter ${counter}`,
    );
  }
}

const NO_KEY = '\0'.repeat(KEY_BYTES);

/** What one peer's cipher does, told to the audit and to the peer. */
export interface CipherObserver {
  sealed(session: SessionId, payloadBytes: number): void;
  /** A key of this peer that is in use. */
  usedKey(key: string): void;
}

/** The real cipher, and the audit looking over its shoulder. */
export class AuditedCipher implements PacketAead {
  readonly #inner: PacketAead;
  readonly #memory: Memory;
  readonly #audit: Audit;
  readonly #who: string;
  readonly #now: () => Instant;
  readonly #observer: CipherObserver;
  #sealing = 0;
  #sealingKey = '';
  #opening = 0;
  #openingKey = '';

  constructor(
    inner: PacketAead,
    memory: Memory,
    audit: Audit,
    who: string,
    now: () => Instant,
    observer: CipherObserver,
  ) {
    this.#inner = inner;
    this.#memory = memory;
    this.#audit = audit;
    this.#who = who;
    this.#now = now;
    this.#observer = observer;
  }

  useSealingKey(keyAt: number): void {
    this.#sealing = keyAt - KEYPAIR_SEND_KEY;
    this.#sealingKey = this.#keyAt(keyAt);
    this.#inner.useSealingKey(keyAt);
  }

  useOpeningKey(keyAt: number): void {
    this.#opening = keyAt - KEYPAIR_RECEIVE_KEY;
    this.#openingKey = this.#keyAt(keyAt);
    this.#inner.useOpeningKey(keyAt);
  }

  seal(counterLow: number, counterHigh: number, at: number, length: number): void {
    this.#audit.sealed(this.#who, this.#sealingKey, counterHigh * TWO_TO_32 + counterLow, this.#age(this.#sealing));
    this.#observer.sealed(this.#memory.u32[(this.#sealing + KEYPAIR_PEER) >> 2], length);
    this.#inner.seal(counterLow, counterHigh, at, length);
  }

  open(counterLow: number, counterHigh: number, at: number, length: number): boolean {
    if (!this.#inner.open(counterLow, counterHigh, at, length)) return false;
    this.#audit.opened(this.#who, this.#openingKey, counterHigh * TWO_TO_32 + counterLow, this.#age(this.#opening));
    return true;
  }

  #age(keypair: number): number {
    return this.#now() - this.#memory.f64[(keypair + KEYPAIR_CREATED) >> 3];
  }

  #keyAt(at: number): string {
    const { u8 } = this.#memory;
    let key = '';
    for (let i = at; i < at + KEY_BYTES; i++) key += String.fromCharCode(u8[i]);
    this.#observer.usedKey(key);
    return key;
  }
}
