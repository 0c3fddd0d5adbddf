import assert from 'node:assert/strict';
import { HandshakeCrypto } from '../../packages/io/src/openssl/wireguard-crypto.ts';
import { SeededRandom } from '../../packages/testkit/src/seeded-random.ts';
import { CookieChecker, CookieGenerator } from '../../packages/wireguard/src/cookie.ts';
import { HandshakePeer, Identity, wipeKeys } from '../../packages/wireguard/src/handshake.ts';
import {
  decodeMessage,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
} from '../../packages/wireguard/src/messages.ts';

const SOURCE = Uint8Array.of(192, 0, 2, 1, 0xca, 0x6c);
/** So often the mutated message gets a right mac1, as an attacker who knows the public key can make it. */
const REMAC_CHANCE = 0.1;

/**
 * Two identities, what each knows of the other, and a fresh set of real messages every so often. Sends mutations of
 * these to whom the original would go, at every stage of the exchange, and checks that nothing throws, that nothing
 * forged is accepted and that the exchange still completes after them.
 */
class Exchange {
  readonly #crypto = new HandshakeCrypto();
  readonly #random: SeededRandom;
  readonly #a: Identity;
  readonly #b: Identity;
  readonly #aboutB: HandshakePeer;
  readonly #aboutA: HandshakePeer;
  readonly #toB: CookieGenerator;
  readonly #toA: CookieGenerator;
  readonly #checker: CookieChecker;
  #now = 0;
  accepted = 0;
  dropped = 0;

  constructor(random: SeededRandom) {
    const crypto = this.#crypto;
    this.#random = random;
    this.#a = new Identity(crypto, random.bytes(32));
    this.#b = new Identity(crypto, random.bytes(32));
    this.#aboutB = new HandshakePeer(this.#b.publicKey);
    this.#aboutA = new HandshakePeer(this.#a.publicKey);
    this.#toB = new CookieGenerator(crypto, this.#b.publicKey);
    this.#toA = new CookieGenerator(crypto, this.#a.publicKey);
    this.#checker = new CookieChecker(crypto, this.#b.publicKey);
  }

  run(mutations: number): void {
    this.#now += 6000;
    const now = this.#now;
    const created = this.#a.createInitiation(this.#aboutB, this.#random.u32(), now);
    assert.ok(created);
    const { message: initiation, pending } = created;
    this.#toB.addMacs(initiation, now);
    const reply = this.#checker.createReply(initiation, SOURCE, now);

    const receiveInitiation = (bytes: Uint8Array): boolean => {
      const message = decodeMessage(bytes);
      if (message.type !== MESSAGE_INITIATION || !this.#checker.checkMac1(message)) return false;
      this.#checker.checkMac2(message, SOURCE, now);
      const received = this.#b.readInitiation(message);
      return received !== undefined && this.#b.acceptInitiation(received, this.#aboutA, now) === 'accepted';
    };
    const receiveReply = (bytes: Uint8Array): boolean => {
      const message = decodeMessage(bytes);
      return message.type === MESSAGE_COOKIE_REPLY && this.#toB.consumeReply(message, now);
    };
    const receiveResponse = (bytes: Uint8Array): boolean => {
      const message = decodeMessage(bytes);
      if (message.type !== MESSAGE_RESPONSE) return false;
      return this.#a.consumeResponse(pending, this.#aboutB, message) !== undefined;
    };

    const share = Math.ceil(mutations / 3);
    // The sender index is not authenticated until the response returns it, nor are the MACs by the handshake itself.
    this.#assail(initiation.bytes, share, receiveInitiation, [8, 116], (bytes) => {
      this.#crypto.mac(bytes.subarray(116, 132), this.#mac1Key(this.#b), bytes.subarray(0, 116));
    });
    this.#assail(reply.bytes, share, receiveReply, [8, 64]);
    assert.ok(receiveReply(reply.bytes), 'the right cookie reply is taken after the wrong ones');

    const message = decodeMessage(initiation.bytes);
    assert.equal(message.type, MESSAGE_INITIATION);
    if (message.type !== MESSAGE_INITIATION) return;
    const received = this.#b.readInitiation(message);
    assert.ok(received);
    assert.equal(this.#b.acceptInitiation(received, this.#aboutA, now), 'accepted');
    const answered = this.#b.createResponse(received, this.#aboutA, this.#random.u32());
    assert.ok(answered);
    this.#toA.addMacs(answered.message, now);
    this.#assail(answered.message.bytes, share, receiveResponse, [8, 60]);
    const right = decodeMessage(answered.message.bytes);
    assert.equal(right.type, MESSAGE_RESPONSE);
    if (right.type !== MESSAGE_RESPONSE) return;
    const keys = this.#a.consumeResponse(pending, this.#aboutB, right);
    assert.ok(keys, 'the right response is taken after the wrong ones');
    assert.deepEqual(keys.sendKey, answered.keys.receiveKey);
    wipeKeys(keys);
    wipeKeys(answered.keys);
    this.accepted += 3;
  }

  #mac1Key(identity: Identity): Uint8Array {
    const key = new Uint8Array(32);
    this.#crypto.hash(key, new TextEncoder().encode('mac1----'), identity.publicKey);
    return key;
  }

  /** Hands `receive` mutations that differ from `original` within `authenticated`; none may be accepted. */
  #assail(
    original: Uint8Array,
    count: number,
    receive: (bytes: Uint8Array) => boolean,
    [from, to]: readonly [number, number],
    remac?: (bytes: Uint8Array) => void,
  ): void {
    for (let i = 0; i < count; i++) {
      const mutated = mutate(this.#random, original);
      if (remac !== undefined && mutated.length === original.length && this.#random.chance(REMAC_CHANCE))
        remac(mutated);
      const isSame =
        mutated.length === original.length &&
        mutated.subarray(from, to).every((byte, k) => byte === original[from + k]) &&
        mutated.subarray(0, 4).every((byte, k) => byte === original[k]);
      if (isSame) continue;
      const message = decodeMessage(mutated);
      if (message.type === MESSAGE_TRANSPORT) assert.equal(message.encryptedPacket.length, mutated.length - 16);
      assert.equal(receive(mutated), false, 'a forged message was accepted');
      this.dropped++;
    }
  }
}

/** One to a few changes of the kinds that a network or an attacker makes. */
function mutate(random: SeededRandom, original: Uint8Array): Uint8Array {
  let bytes = original.slice();
  for (let changes = 1 + random.below(3); changes > 0; changes--)
    switch (random.below(7)) {
      case 0: {
        if (bytes.length > 0) bytes[random.below(bytes.length)] ^= 1 << random.below(8);
        break;
      }
      case 1:
        if (bytes.length > 0) bytes[random.below(bytes.length)] = random.u32();
        break;
      case 2:
        bytes = bytes.slice(0, random.below(bytes.length + 1));
        break;
      case 3: {
        const longer = new Uint8Array(bytes.length + 1 + random.below(1500));
        longer.set(bytes);
        bytes = longer;
        break;
      }
      case 4: {
        const at = random.below(bytes.length + 1);
        bytes.set(random.bytes(Math.min(random.below(40), bytes.length - at)), at);
        break;
      }
      case 5: {
        const at = random.below(bytes.length + 1);
        bytes.fill(random.pick([0, 0xff]), at, at + random.below(40));
        break;
      }
      default:
        if (bytes.length > 0) bytes[0] = random.below(6);
    }
  return bytes;
}

/** Sends about `iterations` mutated handshake messages; throws where one is accepted or anything else goes wrong. */
export function fuzzHandshake(iterations: number, seed: number): { accepted: number; dropped: number } {
  const random = new SeededRandom(seed);
  const exchange = new Exchange(random);
  const each = 300;
  for (let done = 0; done < iterations; done += each) exchange.run(Math.min(each, iterations - done));
  return { accepted: exchange.accepted, dropped: exchange.dropped };
}
