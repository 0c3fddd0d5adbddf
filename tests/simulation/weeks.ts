import assert from 'node:assert/strict';
import type { SeededRandom } from '../../packages/testkit/src/seeded-random.ts';
import { corrupt, PERFECT_NETWORK, type NetworkConditions } from '../../packages/testkit/src/simulated-network.ts';
import { Flood } from './flood.ts';
import type { SimulatedPeer } from './simulated-peer.ts';
import { World } from './world.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const WEEK = 168 * HOUR;

/**
 * How long a tunnel may take to work again once the network does, both sides sending every second: 15.4 s for data
 * that nothing answers, 5.4 s for an initiation that was just lost, as much again for one that a load kept out, and
 * some for a slow turn.
 */
const RECOVERY_MS = 30 * SECOND;

const NETWORKS: readonly NetworkConditions[] = [
  PERFECT_NETWORK,
  { loss: 0.02, duplication: 0.01, corruption: 0.005, delayMs: 15, jitterMs: 30 },
  { loss: 0.3, duplication: 0.2, corruption: 0.1, delayMs: 80, jitterMs: 900 },
  { loss: 0.7, duplication: 0.3, corruption: 0.3, delayMs: 300, jitterMs: 4000 },
  { loss: 0, duplication: 0.5, corruption: 0, delayMs: 1, jitterMs: 12_000 },
  { loss: 1, duplication: 0, corruption: 0, delayMs: 20, jitterMs: 0 },
];

/** How long what the packet half says may wait for the session half. */
const LATENCIES_MS = [1, 1, 5, 100];

/** What a run came through, so that a test can see that it was not an idle one. */
export interface WeeksReport {
  readonly sealed: number;
  readonly opened: number;
  readonly handshakes: number;
  readonly restarts: number;
  readonly moves: number;
  readonly injected: number;
  readonly recoveries: number;
}

/**
 * Peers that know one another's address, of which the last moves now and then, for as many simulated weeks:
 * phases of different networks, traffic and mishaps, after each of which the network heals and the tunnels must too.
 * The invariants of the audit, the timers and the memory are checked all the while.
 */
export function simulateWeeks(random: SeededRandom, peers: number, weeks: number): WeeksReport {
  return new Weeks(random, peers).run(weeks * WEEK);
}

class Weeks {
  readonly #random: SeededRandom;
  readonly #world: World;
  readonly #peers: readonly SimulatedPeer[];
  readonly #recorded: { readonly datagram: Uint8Array; readonly from: string; readonly to: string }[] = [];
  readonly #floods = new Map<SimulatedPeer, Flood>();
  readonly #counts = { restarts: 0, moves: 0, injected: 0, recoveries: 0 };

  constructor(random: SeededRandom, count: number) {
    this.#random = random;
    const world = (this.#world = new World(random));
    const peers = (this.#peers = Array.from({ length: count }, (_, i) => world.add('abc'[i])));
    const presharedKey = random.chance(0.5) ? random.bytes(32) : undefined;
    for (const peer of peers)
      for (const other of peers)
        if (other !== peer)
          peer.connect(other, {
            endpoint: other.address,
            ...(presharedKey === undefined ? {} : { presharedKey }),
          });
    for (const peer of peers) {
      peer.greatestLatencyMs = Math.max(...LATENCIES_MS);
      peer.start();
    }
    world.network.onSent = (datagram, from, to) => {
      const record = { datagram: datagram.slice(), from, to };
      if (this.#recorded.length < 500) this.#recorded.push(record);
      else if (random.chance(0.1)) this.#recorded[random.below(500)] = record;
    };
  }

  run(duration: number): WeeksReport {
    const { clock, audit } = this.#world;
    const end = clock.now + duration;
    while (clock.now < end) {
      this.#phase();
      this.#heal();
      if (this.#random.chance(0.3)) this.#world.run(this.#random.below(10) * HOUR);
    }
    const handshakes = this.#peers.reduce((sum, peer) => sum + peer.eventsOf('established').length, 0);
    return { sealed: audit.sealedCount, opened: audit.openedCount, handshakes, ...this.#counts };
  }

  /** Some time of one kind of traffic in one kind of network, while things happen. */
  #phase(): void {
    const random = this.#random;
    const world = this.#world;
    const oneWay = random.chance(0.15) ? random.pick(this.#peers).address : undefined;
    const between = random.pick(NETWORKS);
    world.network.conditions = (_, to) => (to === oneWay ? { ...between, loss: 1 } : between);
    for (const peer of this.#peers) {
      peer.attendRefusal = random.chance(0.3) ? random.fraction() : 0;
      peer.sessionLatencyMs = random.pick(LATENCIES_MS);
    }
    const duration = random.pick([30 * SECOND, 3 * MINUTE, 10 * MINUTE, 45 * MINUTE, 3 * HOUR]);
    const end = world.now + duration;
    for (const from of this.#peers)
      for (const to of this.#peers) {
        if (from === to) continue;
        from.setPersistentKeepalive(to, random.chance(0.1) ? 25 : 0);
        if (random.chance(0.6)) this.#talk(from, to, end);
      }
    for (let mishaps = random.below(5); mishaps > 0; mishaps--)
      world.clock.after(random.fraction() * duration, () => {
        this.#mishap();
      });
    world.run(duration);
  }

  /** Packets at a pace of their own until `end`: a trickle, a stream, or bursts. */
  #talk(from: SimulatedPeer, to: SimulatedPeer, end: number): void {
    const random = this.#random;
    const { clock } = this.#world;
    const interval = random.pick([700, 5 * SECOND, 20 * SECOND, 2 * MINUTE, 7 * MINUTE]) * (0.5 + random.fraction());
    const burst = random.pick([1, 1, 3, 40]);
    let left = 600;
    const next = (): void => {
      if (clock.now >= end || left-- === 0) return;
      from.send(to, 1 + random.below(burst));
      clock.after(interval * (random.chance(0.8) ? 1 : random.fraction() * 3), next);
    };
    next();
  }

  #mishap(): void {
    const random = this.#random;
    const world = this.#world;
    const peer = random.pick(this.#peers);
    switch (random.below(7)) {
      case 0:
        peer.restart();
        this.#counts.restarts++;
        // What was recorded before means something again to who has forgotten that it had come.
        this.#recorded.length = 0;
        break;
      case 1:
        this.#move(peer);
        break;
      case 2:
        // Set back only while it runs: who starts again with an older clock is rightly taken for a replay.
        peer.wallClockOffset += random.pick([1, 3600, 86_400 * 400]) * SECOND * random.fraction();
        break;
      case 3:
        world.clock.after(0, () => this.#floodOf(peer).send(world, 200));
        break;
      case 4:
        for (const other of this.#peers)
          if (other !== peer) {
            peer.send(other, 300);
            other.send(peer, 300);
          }
        break;
      case 5:
        peer.stop();
        world.clock.after(random.below(200) * SECOND, () => {
          if (!peer.running) peer.start();
        });
        break;
      default:
        for (let i = 0; i < 50; i++) this.#inject();
    }
  }

  #floodOf(peer: SimulatedPeer): Flood {
    let flood = this.#floods.get(peer);
    if (flood === undefined) this.#floods.set(peer, (flood = new Flood(peer, this.#random)));
    return flood;
  }

  #move(peer: SimulatedPeer): void {
    // Two that move at once lose each other for good.
    if (peer !== this.#peers.at(-1)) return;
    const moves = ++this.#counts.moves;
    peer.roam(`198.51.${moves >> 8}.${moves & 255}:${1024 + this.#random.below(60_000)}`);
  }

  /**
   * Someone on the way repeats a datagram, garbled or not, or makes one up. What is repeated may not have come before,
   * and so be taken for the peer's own: sent from elsewhere it would lead both sides there, which no WireGuard prevents.
   */
  #inject(): void {
    const random = this.#random;
    if (this.#recorded.length === 0) return;
    const { datagram, from, to } = random.pick(this.#recorded);
    const madeUp = Uint8Array.of(1 + random.below(4), 0, 0, 0, ...random.bytes(60));
    this.#counts.injected++;
    if (random.chance(0.3)) this.#world.network.send('203.0.113.66:6666', to, madeUp);
    else this.#world.network.send(from, to, random.chance(0.5) ? datagram : corrupt(datagram, random));
  }

  /** The network works, and who moved sends: every tunnel must work within the bound, and then lose nothing. */
  #heal(): void {
    const world = this.#world;
    world.network.conditions = () => PERFECT_NETWORK;
    for (const peer of this.#peers) {
      peer.attendRefusal = 0;
      peer.sessionLatencyMs = 1;
      for (const other of this.#peers) if (other !== peer) peer.setPersistentKeepalive(other, 0);
      if (!peer.running) peer.start();
    }
    // Stragglers of the phase: datagrams and timers that were set by a slow machine.
    world.run(17 * SECOND);
    const tunnels = this.#peers.flatMap((from) => this.#peers.filter((to) => to !== from).map((to) => ({ from, to })));
    world.repeat(RECOVERY_MS / SECOND, SECOND, () => {
      for (const { from, to } of tunnels) from.send(to);
    });
    world.run(RECOVERY_MS);
    const received = new Map(this.#peers.map((peer) => [peer, peer.received.length]));
    const sent = new Map(this.#peers.map((peer) => [peer, [] as string[]]));
    world.repeat(10, SECOND, () => {
      for (const { from, to } of tunnels) sent.get(to)?.push(...from.send(to));
    });
    world.run(12 * SECOND);
    for (const peer of this.#peers) {
      const since = peer.received.slice(received.get(peer));
      const missing = sent.get(peer)?.filter((name) => !since.includes(name));
      assert.deepEqual(missing, [], `${peer.name} has not recovered by ${world.now}`);
    }
    world.assertBounded();
    this.#counts.recoveries++;
    for (const peer of this.#peers) peer.received.length = 0;
  }
}
