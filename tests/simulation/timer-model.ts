import assert from 'node:assert/strict';
import type { Instant } from '../../packages/core/src/index.ts';
import type { SimulatedPeer } from './simulated-peer.ts';
import type { World } from './world.ts';

/** How late the simulation itself may be: a timer's whole millisecond, and its turn. */
const SLACK_MS = 20;
/** Also who is asked for a handshake sends none sooner than this after the last. */
const ASKED_SPACING_MS = 250;

/**
 * What section 6 of WireGuard's paper asks of one peer towards another, worked out anew from what is seen of it:
 *
 * - 6.5: 10 s after data came, unless something was sent meanwhile, a keepalive goes.
 * - 6.4 and 6.2: 15 s (and jitter) after data was sent, unless something came meanwhile, a handshake begins.
 * - 6.1: never more than one initiation in 5 s, unless its owner asks for one.
 */
export class TimerModel {
  readonly #world: World;
  readonly #peer: SimulatedPeer;
  readonly #other: string;
  #keepaliveDue: Instant = Infinity;
  #handshakeDue: Instant = Infinity;
  #lastInitiation: Instant = -Infinity;
  #asked = false;

  constructor(world: World, peer: SimulatedPeer, other: string) {
    this.#world = world;
    this.#peer = peer;
    this.#other = other;
  }

  /** The interface went down, or the machine lost what it knew. */
  reset(): void {
    this.#keepaliveDue = this.#handshakeDue = Infinity;
    this.#lastInitiation = -Infinity;
    this.#asked = false;
  }

  /** Its owner asked for a handshake. */
  asked(): void {
    this.#asked = true;
  }

  sent(data: boolean): void {
    this.#keepaliveDue = Infinity;
    if (!data || this.#handshakeDue !== Infinity) return;
    const { keepaliveTimeoutMs, rekeyTimeoutMs, maxJitterMs } = this.#world.audit.limits;
    const due = (this.#handshakeDue = this.#now + keepaliveTimeoutMs + rekeyTimeoutMs);
    this.#world.clock.at(due + maxJitterMs + this.#slack, () => {
      if (this.#handshakeDue !== due) return;
      this.#handshakeDue = Infinity;
      this.#assertHandshake(due, 'after data that nothing answered');
    });
  }

  received(): void {
    this.#handshakeDue = Infinity;
  }

  receivedData(): void {
    if (this.#keepaliveDue !== Infinity) return;
    const due = (this.#keepaliveDue = this.#now + this.#world.audit.limits.keepaliveTimeoutMs);
    this.#world.clock.at(due + this.#slack, () => {
      if (this.#keepaliveDue !== due) return;
      this.#keepaliveDue = Infinity;
      // Without a key it can only ask for one.
      this.#assertHandshake(due, 'or a keepalive after data came');
    });
  }

  sentInitiation(): void {
    const now = this.#now;
    const pause = now - this.#lastInitiation;
    const { rekeyTimeoutMs } = this.#world.audit.limits;
    const spacing = this.#asked ? ASKED_SPACING_MS : rekeyTimeoutMs;
    this.#asked = false;
    assert.ok(pause >= spacing, `${this.#who} sent an initiation ${pause} ms after the last`);
    this.#lastInitiation = now;
    if (now >= this.#handshakeDue) this.#handshakeDue = Infinity;
    this.sent(false);
  }

  gaveUp(): void {
    this.#handshakeDue = Infinity;
  }

  #assertHandshake(due: Instant, when: string): void {
    // Who could not be told of a timer does not keep it.
    if (this.#peer.refusedUntil(this.#other) >= this.#now - this.#slack) return;
    const { rekeyTimeoutMs, maxJitterMs } = this.#world.audit.limits;
    const since = due - rekeyTimeoutMs - maxJitterMs - this.#slack;
    assert.ok(
      this.#lastInitiation >= since,
      `${this.#who}: no handshake ${when}; due at ${due}, last initiation at ${this.#lastInitiation}`,
    );
  }

  get #who(): string {
    return `${this.#peer.name} to ${this.#other}`;
  }

  get #now(): Instant {
    return this.#world.clock.now;
  }

  get #slack(): number {
    return SLACK_MS + 3 * this.#peer.greatestLatencyMs;
  }
}
