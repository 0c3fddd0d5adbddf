import type { KeyObject } from 'node:crypto';
import { encodeStateKey, forFirstVersion, forSecondVersion, LINK_PROTOCOL_VERSION, signState } from '@sallyport/link';
import type { ControlLink, FromControl } from '@sallyport/link';
import type { DesiredState, Planner, StateChange } from '@sallyport/policy';
import { digestOf } from './state-digest.ts';
import type { StateSync } from './state-sync.ts';

type Goodbye = Extract<FromControl, { kind: 'goodbye' }>;

/** A state is digested this often at most, for the case that this control plane ends without saying goodbye. */
const DIGEST_EVERY_MS = 30_000;
/** A gateway that asks for a snapshot while one is under way has this long to take that one. */
const SNAPSHOT_PATIENCE_MS = 5000;
const SNAPSHOT_PAUSE_MS = 1000;

export interface SessionClock {
  /** Unix milliseconds. */
  readonly now: () => number;
  /** The change of the organisation that the planner has taken in. */
  readonly planned: () => number;
}

/** One gateway's connection to this node, and how its desired state gets there. */
export class GatewaySession {
  readonly gatewayId: string;
  readonly link: ControlLink;
  readonly sync: StateSync;
  readonly #key: KeyObject;
  readonly #planner: Planner;
  readonly #clock: SessionClock;
  #snapshotAt = -Infinity;
  #retry: NodeJS.Timeout | undefined;
  #digestedVersion = 0;
  #digestedAt = -Infinity;
  #version = LINK_PROTOCOL_VERSION;
  /** The networks behind devices, of the plan that the gateway was sent last. */
  #connected: readonly string[] | undefined;

  constructor(
    gatewayId: string,
    link: ControlLink,
    sync: StateSync,
    { key, planner, clock }: { readonly key: KeyObject; readonly planner: Planner; readonly clock: SessionClock },
  ) {
    this.gatewayId = gatewayId;
    this.link = link;
    this.sync = sync;
    this.#key = key;
    this.#planner = planner;
    this.#clock = clock;
    link.onClose(() => clearTimeout(this.#retry));
  }

  /** @param appliedDigest `VERSION:DIGEST` of a state that it is known to have had */
  welcome(protocolVersion: number, stateVersion: number, appliedDigest: string): void {
    this.#version = Math.min(protocolVersion, LINK_PROTOCOL_VERSION);
    this.link.send({
      kind: 'welcome',
      protocolVersion: this.#version,
      gatewayId: this.gatewayId,
      stateKey: encodeStateKey(this.#key),
    });
    // Another version of the gateway's program gets what the one before could not take.
    const { protocolVersion: before } = this.sync;
    this.sync.protocolVersion = this.#version;
    if (before !== undefined && before !== this.#version) {
      this.sync.restart(this.#clock.now());
      return;
    }
    const state = this.#planner.state(this.gatewayId);
    if (!this.sync.needsSnapshot || state === undefined || !appliedDigest.startsWith(`${stateVersion}:`)) return;
    if (appliedDigest !== `${stateVersion}:${this.#digestOf(state)}`) return;
    this.sync.adopt(stateVersion, this.#clock.planned());
    this.#digestedVersion = stateVersion;
  }

  /** Sends what there is to send. */
  push(): void {
    const now = this.#clock.now();
    const upTo = this.#clock.planned();
    for (;;) {
      const next = this.link.closed ? undefined : this.sync.next(() => this.#planner.state(this.gatewayId), upTo, now);
      if (next === undefined) return;
      if (next.base === 0) this.#snapshotAt = now;
      else if (this.#version === 1 && next.change.gateway !== undefined) {
        // What its groups may reach depends on networks that may be others now.
        this.sync.restart(now);
        continue;
      }
      const change = this.#asKnown(next.change);
      this.link.send(signState({ gatewayId: this.gatewayId, ...next, change }, this.#key));
    }
  }

  /** What the gateway's version of the protocol knows of a change. */
  #asKnown(change: StateChange): StateChange {
    if (this.#version >= 3) return change;
    if (this.#version === 2) return forSecondVersion(change);
    const plan = change.gateway ?? (this.#connected === undefined ? this.#planner.state(this.gatewayId)?.gateway : undefined); // prettier-ignore
    if (plan !== undefined) this.#connected = plan.connectedNetworks ?? [];
    return forFirstVersion(change, this.#connected ?? []);
  }

  /** Of what the gateway was sent, that is: one that has been sent less has something else. */
  #digestOf(state: DesiredState): string {
    return `${this.#version < LINK_PROTOCOL_VERSION ? `${this.#version}-` : ''}${digestOf(state)}`;
  }

  /** The gateway can't use what it has: it gets a snapshot, though not one after the other without end. */
  restart(): void {
    const now = this.#clock.now();
    const { snapshotUnderWay } = this.sync;
    const wait = this.#snapshotAt + (snapshotUnderWay ? SNAPSHOT_PATIENCE_MS : SNAPSHOT_PAUSE_MS) - now;
    if (wait <= 0) {
      this.sync.restart(now);
      this.push();
      return;
    }
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      // The snapshot that was under way may have served.
      if (snapshotUnderWay && !this.sync.snapshotUnderWay) return;
      this.sync.restart(this.#clock.now());
      this.push();
    }, wait);
  }

  /** The digest of the state that the gateway has, where there is a new one to note down. */
  digest(now: number, atOnce: boolean): { readonly version: number; readonly digest: string } | undefined {
    const { applied, current } = this.sync;
    if (!current || applied === 0 || applied === this.#digestedVersion) return undefined;
    if (!atOnce && now - this.#digestedAt < DIGEST_EVERY_MS) return undefined;
    const state = this.#planner.state(this.gatewayId);
    if (state === undefined) return undefined;
    this.#digestedAt = now;
    this.#digestedVersion = applied;
    return { version: applied, digest: this.#digestOf(state) };
  }

  goodbye(reason: Goodbye['reason'], message: string): void {
    farewell(this.link, reason, message);
  }
}

export function farewell(link: ControlLink, reason: Goodbye['reason'], message: string): void {
  link.send({ kind: 'goodbye', reason, message });
  link.close();
}
