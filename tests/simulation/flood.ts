import assert from 'node:assert/strict';
import { HandshakeCrypto } from '../../packages/io/src/openssl/wireguard-crypto.ts';
import type { SeededRandom } from '../../packages/testkit/src/seeded-random.ts';
import { CookieGenerator } from '../../packages/wireguard/src/cookie.ts';
import { HandshakePeer, Identity } from '../../packages/wireguard/src/handshake.ts';
import { INITIATION_BYTES } from '../../packages/wireguard/src/messages.ts';
import type { SimulatedPeer } from './simulated-peer.ts';
import type { World } from './world.ts';

/** Initiations with a right MAC1, each from another address, by someone who knows no more than a public key. */
export class Flood {
  readonly #target: SimulatedPeer;
  readonly #messages: Uint8Array[] = [];
  #sent = 0;

  constructor(target: SimulatedPeer, random: SeededRandom) {
    this.#target = target;
    const crypto = new HandshakeCrypto();
    const identity = new Identity(crypto, random.bytes(32));
    const cookies = new CookieGenerator(crypto, target.publicKey);
    for (let i = 0; i < 150; i++) {
      const created = identity.createInitiation(
        new HandshakePeer(target.publicKey),
        random.u32(),
        1_700_000_000_000 + i,
      );
      assert.ok(created !== undefined && created.message.bytes.length === INITIATION_BYTES);
      cookies.addMacs(created.message, 0);
      created.pending.wipe();
      this.#messages.push(created.message.bytes);
    }
  }

  send(world: World, count: number): void {
    for (let i = 0; i < count; i++) {
      const from = `203.0.113.${1 + (this.#sent % 250)}:${1024 + (this.#sent % 60_000)}`;
      world.network.send(from, this.#target.address, this.#messages[this.#sent++ % this.#messages.length]);
    }
  }
}
