import assert from 'node:assert/strict';
import type { Instant } from '../../packages/core/src/index.ts';
import { HandshakeCrypto } from '../../packages/io/src/openssl/wireguard-crypto.ts';
import { SimulatedNetwork } from '../../packages/testkit/src/simulated-network.ts';
import type { SeededRandom } from '../../packages/testkit/src/seeded-random.ts';
import { VirtualClock } from '../../packages/testkit/src/virtual-clock.ts';
import { LIMITS, type Limits } from '../../packages/wireguard/src/constants.ts';
import { KEYPAIR_CREATED, KEYPAIR_PEER, KEYPAIR_WINDOW } from '../../packages/wireguard/src/layout.ts';
import { REPLAY_WINDOW } from '../../packages/wireguard/src/constants.ts';
import { Audit } from './audit.ts';
import { SimulatedPeer } from './simulated-peer.ts';

/** A clock that a machine has had running for a while: 0 is no moment in a record. */
const START_MS = 86_400_000.25;

const KEYPAIR_BYTES = (KEYPAIR_WINDOW + REPLAY_WINDOW.bytes + 63) & -64;
const NOTHING = new Uint8Array(KEYPAIR_BYTES);

class SeededCrypto extends HandshakeCrypto {
  readonly #source: SeededRandom;

  constructor(source: SeededRandom) {
    super();
    this.#source = source;
  }

  override random(to: Uint8Array): void {
    for (let i = 0; i < to.length; i++) to[i] = this.#source.u32();
  }
}

/** Peers, the network between them, time, and what must hold of all of them. All of it follows from the seed. */
export class World {
  readonly random: SeededRandom;
  readonly clock = new VirtualClock(START_MS);
  readonly network: SimulatedNetwork;
  readonly crypto: HandshakeCrypto;
  readonly audit: Audit;
  readonly peers: SimulatedPeer[] = [];

  constructor(random: SeededRandom, limits: Partial<Limits> = {}) {
    this.random = random;
    this.network = new SimulatedNetwork(this.clock, random);
    this.crypto = new SeededCrypto(random);
    this.audit = new Audit({ ...LIMITS, ...limits });
  }

  /** A peer that is not up yet, with the address 192.0.2.`number`. */
  add(name: string): SimulatedPeer {
    const number = this.peers.length + 1;
    const peer = new SimulatedPeer(this, name, number, `192.0.2.${number}:51820`, this.random.bytes(32));
    this.peers.push(peer);
    return peer;
  }

  peer(name: string): SimulatedPeer {
    const peer = this.peers.find((candidate) => candidate.name === name);
    assert.ok(peer !== undefined, name);
    return peer;
  }

  get now(): Instant {
    return this.clock.now;
  }

  run(milliseconds: number): void {
    this.clock.run(milliseconds);
  }

  /** Calls `action` now and every `milliseconds` until it has been called `times` times; does not wait. */
  repeat(times: number, milliseconds: number, action: (i: number) => void): void {
    for (let i = 0; i < times; i++) this.clock.after(i * milliseconds, () => action(i));
  }

  /** A peer says that it has erased all its keys: in a moment, unless it gets new ones, none is left in its memory. */
  checkErased(peer: SimulatedPeer): void {
    this.clock.after(2 + peer.sessionLatencyMs, () => {
      if (keypairsOf(peer) === 0) assert.ok(!peer.holdsKey(), `${peer.name} still has a key in its memory`);
      else assert.ok(hasNewKeypair(peer, this.now), `${peer.name} still has a keypair record`);
    });
  }

  /** Checks that no peer has more keypairs than its slots hold: those that left are wiped within a second or so. */
  assertBounded(): void {
    for (const peer of this.peers) {
      const count = keypairsOf(peer);
      const others = this.peers.length - 1;
      assert.ok(count <= 3 * others, `${peer.name} has ${count} keypair records for ${others} peers`);
    }
  }
}

/** How many of a peer's keypair records are in use. */
export function keypairsOf(peer: SimulatedPeer): number {
  const { keypairs, capacity } = peer.regions;
  let count = 0;
  for (let i = 0; i < capacity.keypairs; i++) {
    const record = keypairs + i * KEYPAIR_BYTES;
    if (peer.arena.u32[(record + KEYPAIR_PEER) >> 2] !== 0) count++;
    else assert.ok(Buffer.from(peer.arena.u8.buffer, record, KEYPAIR_BYTES).equals(NOTHING), 'what is free is zero');
  }
  return count;
}

/** Whether a keypair was made within the last moments. */
function hasNewKeypair(peer: SimulatedPeer, now: Instant): boolean {
  const { keypairs, capacity } = peer.regions;
  for (let i = 0; i < capacity.keypairs; i++) {
    const record = keypairs + i * KEYPAIR_BYTES;
    if (peer.arena.f64[(record + KEYPAIR_CREATED) >> 3] > now - 1000) return true;
  }
  return false;
}

/** Two peers that know each other's address, up. */
export function pairOf(
  random: SeededRandom,
  limits: Partial<Limits> = {},
): { world: World; a: SimulatedPeer; b: SimulatedPeer } {
  const world = new World(random, limits);
  const a = world.add('a');
  const b = world.add('b');
  a.connect(b, { endpoint: b.address });
  b.connect(a, { endpoint: a.address });
  a.start();
  b.start();
  return { world, a, b };
}
