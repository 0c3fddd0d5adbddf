import type { DesiredState, StateChange } from '@sallyport/policy';
import { PendingChange, snapshotOf } from './pending-change.ts';

/** States that may be under way to a gateway. What changes meanwhile gathers, and goes out as one when one has arrived. */
export const WINDOW = 4;

interface Sent {
  readonly version: number;
  /** Undefined for a snapshot. */
  readonly change: StateChange | undefined;
  /** The change of the organisation that it brings the gateway to. */
  readonly upTo: number;
  readonly causedAt: number;
}

export interface NextState {
  readonly version: number;
  readonly base: number;
  readonly change: StateChange;
}

/**
 * What one gateway has of its desired state, what is under way to it, and what it still lacks.
 *
 * A version is a number of the gateway's own: each is one more than any that it said it had or that was sent to it, on
 * whatever control node. A delta starts at the version before it in the stream. This object outlives connections, so that a
 * gateway that comes back gets what it missed, as long as it was connected to no other control node meanwhile.
 */
export class StateSync {
  /** The last version that the gateway is known to have; 0 for none. */
  applied = 0;
  /** The change of the organisation that it has with that. */
  appliedUpTo = 0;
  /** The version of the protocol that it was last served by; undefined before. */
  protocolVersion: number | undefined;
  /** The last version that was sent. */
  sent = 0;
  #underWay: Sent[] = [];
  #pending = new PendingChange();
  #pendingSince: number | undefined;
  /** The version that the next delta starts from. */
  #base = 0;

  constructor() {
    this.#pending.makeWhole();
  }

  /** Whether the gateway has everything. */
  get current(): boolean {
    return this.#underWay.length === 0 && this.#pending.empty;
  }

  /** Whether what it has is of no use. */
  get needsSnapshot(): boolean {
    return this.#pending.whole;
  }

  get snapshotUnderWay(): boolean {
    return this.#underWay.some(({ change }) => change === undefined);
  }

  /** When what the gateway lacks came up, Unix milliseconds; undefined where it lacks nothing. */
  get behindSince(): number | undefined {
    return this.#underWay[0]?.causedAt ?? this.#pendingSince;
  }

  /** A gateway came back with `version`. What it has is known, and it goes on by deltas, or it will get a snapshot. */
  resume(version: number, atLeast: number): void {
    const at = this.#underWay.findIndex((sent) => sent.version === version);
    const known = version > 0 && (version === this.applied || at >= 0);
    const missed = this.#underWay.slice(at + 1);
    if (known) {
      if (at >= 0) this.#arrived(version, this.#underWay[at].upTo);
      const pending = new PendingChange();
      for (const { change } of missed) {
        if (change === undefined) pending.makeWhole();
        else pending.add(change);
      }
      if (this.#pending.whole) pending.makeWhole();
      else pending.add(this.#pending.take());
      this.#pending = pending;
      this.#pendingSince = missed[0]?.causedAt ?? this.#pendingSince;
    } else {
      this.applied = version;
      this.appliedUpTo = 0;
      this.#pending.makeWhole();
    }
    this.#underWay = [];
    // Versions that were sent and never arrived are not used again: another control node may hold on to them.
    this.sent = Math.max(this.sent, version, atLeast);
    this.#base = version;
  }

  /** The gateway is known to have, by `version`, what is wanted now. */
  adopt(version: number, upTo: number): void {
    this.#pending = new PendingChange();
    this.#pendingSince = undefined;
    this.#underWay = [];
    this.#arrived(version, upTo);
    this.#base = version;
  }

  add(change: StateChange, causedAt: number): void {
    if (this.#pending.empty) this.#pendingSince = causedAt;
    this.#pending.add(change);
  }

  /** It is to be sent everything, whatever it has. */
  restart(causedAt: number): void {
    // What is under way it won't take, nor acknowledge.
    this.#pendingSince = this.behindSince ?? causedAt;
    this.#underWay = [];
    this.#pending.makeWhole();
  }

  /** What to send now: nothing while too much is under way, or where nothing is to be sent. */
  next(state: () => DesiredState | undefined, upTo: number, now: number): NextState | undefined {
    if (this.#pending.empty || this.#underWay.length >= WINDOW) return undefined;
    const { whole } = this.#pending;
    let change: StateChange;
    if (whole) {
      const wanted = state();
      if (wanted === undefined) return undefined;
      change = snapshotOf(wanted);
    } else change = this.#pending.take();
    const base = whole ? 0 : this.#base;
    const version = this.sent + 1;
    this.sent = version;
    this.#base = version;
    this.#underWay.push({
      version,
      change: whole ? undefined : change,
      upTo,
      causedAt: this.#pendingSince ?? now,
    });
    this.#pending = new PendingChange();
    this.#pendingSince = undefined;
    return { version, base, change };
  }

  /** The gateway has `version`. Answers with when what it brought was caused, for what arrived with this. */
  acknowledge(version: number): readonly number[] {
    const last = this.#underWay.findLast((sent) => sent.version <= version);
    if (last === undefined) return [];
    const arrived = this.#underWay.filter((sent) => sent.version <= version);
    this.#underWay = this.#underWay.filter((sent) => sent.version > version);
    this.#arrived(last.version, last.upTo);
    return arrived.map(({ causedAt }) => causedAt);
  }

  #arrived(version: number, upTo: number): void {
    this.applied = version;
    this.appliedUpTo = Math.max(this.appliedUpTo, upTo);
    this.sent = Math.max(this.sent, version);
  }
}
