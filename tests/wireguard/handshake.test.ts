import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { HandshakeCrypto } from '../../packages/io/src/openssl/wireguard-crypto.ts';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';
import { CookieGenerator } from '../../packages/wireguard/src/cookie.ts';
import type { PendingInitiation, TransportKeys } from '../../packages/wireguard/src/handshake.ts';
import { HandshakePeer, Identity, wipeKeys } from '../../packages/wireguard/src/handshake.ts';
import type { Initiation, Response } from '../../packages/wireguard/src/messages.ts';
import { decodeMessage, MESSAGE_INITIATION, MESSAGE_RESPONSE } from '../../packages/wireguard/src/messages.ts';
import { tai64n } from '../../packages/wireguard/src/tai64n.ts';
import { BASE_POINT, blake2s, concat, hex, kdf, unhex, x25519 } from './reference-crypto.ts';

/** Gives out the bytes that a test says as random ones, then real ones. */
class ScriptedCrypto extends HandshakeCrypto {
  readonly scripted: Uint8Array[] = [];

  override random(to: Uint8Array): void {
    const next = this.scripted.shift();
    if (next === undefined) super.random(to);
    else to.set(next);
  }
}

const crypto = new ScriptedCrypto();
const UNIX_MS = Date.UTC(2026, 0, 2, 3, 4, 5, 678);

function randomBytes(length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  crypto.random(bytes);
  return bytes;
}

/** Two that know each other. `initiator.peer` is what the initiator knows of the responder. */
function pair(presharedKey?: Uint8Array) {
  const initiator = new Identity(crypto, randomBytes(32));
  const responder = new Identity(crypto, randomBytes(32));
  const sides = {
    initiator: { identity: initiator, peer: new HandshakePeer(responder.publicKey) },
    responder: { identity: responder, peer: new HandshakePeer(initiator.publicKey) },
  };
  if (presharedKey !== undefined) {
    sides.initiator.peer.presharedKey = presharedKey;
    sides.responder.peer.presharedKey = presharedKey;
  }
  return sides;
}

type Pair = ReturnType<typeof pair>;

function initiate({ initiator }: Pair, unixMs = UNIX_MS, index = 1) {
  const created = initiator.identity.createInitiation(initiator.peer, index, unixMs);
  assert.ok(created);
  return created;
}

function decodeInitiation(bytes: Uint8Array): Initiation {
  const message = decodeMessage(bytes);
  assert.equal(message.type, MESSAGE_INITIATION);
  return message;
}

function decodeResponse(bytes: Uint8Array): Response {
  const message = decodeMessage(bytes);
  assert.equal(message.type, MESSAGE_RESPONSE);
  return message;
}

/** What the responder makes of an initiation's bytes. */
function receive({ responder }: Pair, bytes: Uint8Array, now: number) {
  const received = responder.identity.readInitiation(decodeInitiation(bytes));
  if (received === undefined) return { verdict: 'unreadable', received } as const;
  return { verdict: responder.identity.acceptInitiation(received, responder.peer, now), received } as const;
}

function respond(sides: Pair, bytes: Uint8Array, now = 0, index = 2) {
  const { verdict, received } = receive(sides, bytes, now);
  assert.equal(verdict, 'accepted');
  assert.ok(received);
  const created = sides.responder.identity.createResponse(received, sides.responder.peer, index);
  assert.ok(created);
  return created;
}

function finish({ initiator }: Pair, pending: PendingInitiation, bytes: Uint8Array): TransportKeys | undefined {
  return initiator.identity.consumeResponse(pending, initiator.peer, decodeResponse(bytes));
}

/** What must not change when a message is refused. */
function memoryOf({ peer }: Pair['responder']): unknown {
  return { latestTimestamp: hex(peer.latestTimestamp), lastInitiationAt: peer.lastInitiationAt };
}

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const changed = bytes.slice();
  changed[bit >> 3] ^= 1 << (bit & 7);
  return changed;
}

describe('a handshake', () => {
  for (const presharedKey of [undefined, unhex('5a'.repeat(32))])
    test(`ends with the same keys on both sides, ${presharedKey ? 'with' : 'without'} a preshared key`, () => {
      const sides = pair(presharedKey);
      const { message, pending } = initiate(sides, UNIX_MS, 0xfedcba98);
      const { message: answer, keys } = respond(sides, message.bytes, 0, 0x80000001);
      const own = finish(sides, pending, answer.bytes);
      assert.ok(own);
      assert.deepEqual(own.sendKey, keys.receiveKey);
      assert.deepEqual(own.receiveKey, keys.sendKey);
      assert.notDeepEqual(own.sendKey, own.receiveKey);
      assert.deepEqual([own.isInitiator, own.localIndex, own.remoteIndex], [true, 0xfedcba98, 0x80000001]);
      assert.deepEqual([keys.isInitiator, keys.localIndex, keys.remoteIndex], [false, 0x80000001, 0xfedcba98]);
      wipeKeys(own);
      assert.deepEqual(concat(own.sendKey, own.receiveKey), new Uint8Array(64));
    });

  test('tells the responder whose it is', () => {
    const sides = pair();
    const received = sides.responder.identity.readInitiation(initiate(sides).message);
    assert.deepEqual(received?.publicKey, sides.initiator.identity.publicKey);
  });

  test('makes other keys each time', () => {
    const sides = pair();
    const seen = new Set<string>();
    for (let i = 0; i < 5; i++) {
      const { message, pending } = initiate(sides, UNIX_MS + 1000 * i);
      const keys = finish(sides, pending, respond(sides, message.bytes, 1000 * i).message.bytes);
      assert.ok(keys);
      seen.add(hex(keys.sendKey)).add(hex(keys.receiveKey));
    }
    assert.equal(seen.size, 10);
  });

  test('is refused with the wrong preshared key, and the right one still works', () => {
    const sides = pair(randomBytes(32));
    const right = sides.responder.peer.presharedKey;
    const first = initiate(sides);
    sides.responder.peer.presharedKey = randomBytes(32);
    const refused = respond(sides, first.message.bytes);
    assert.equal(finish(sides, first.pending, refused.message.bytes), undefined);
    sides.responder.peer.presharedKey = right;
    const second = initiate(sides, UNIX_MS + 1000);
    assert.ok(finish(sides, second.pending, respond(sides, second.message.bytes, 1000).message.bytes));
  });

  test('can’t be begun with, or answered to, keys of low order', () => {
    const sides = pair();
    const zero = new HandshakePeer(new Uint8Array(32));
    assert.equal(sides.initiator.identity.createInitiation(zero, 1, UNIX_MS), undefined);
    const { message, pending } = initiate(sides);
    message.ephemeral.fill(0);
    assert.equal(sides.responder.identity.readInitiation(message), undefined);
    const answer = respond(sides, initiate(sides, UNIX_MS + 1000).message.bytes).message;
    answer.ephemeral.fill(0);
    assert.equal(sides.initiator.identity.consumeResponse(pending, sides.initiator.peer, answer), undefined);
  });

  test('uses the static key of the day after the private key was changed', () => {
    const sides = pair();
    initiate(sides);
    const next = new Identity(crypto, randomBytes(32));
    sides.initiator.identity = next;
    sides.responder.peer = new HandshakePeer(next.publicKey);
    const { message, pending } = initiate(sides, UNIX_MS + 1000);
    assert.ok(finish(sides, pending, respond(sides, message.bytes).message.bytes));
  });
});

describe('an initiation', () => {
  test('with any bit before the MACs flipped is refused, and changes nothing', () => {
    const sides = pair();
    const { message } = initiate(sides);
    const before = memoryOf(sides.responder);
    // The type and reserved bytes are the decoder's to judge; the sender index is only echoed.
    for (let bit = 8 * 8; bit < 116 * 8; bit++) {
      const { verdict } = receive(sides, flip(message.bytes, bit), 0);
      // X25519 ignores the highest bit of the ephemeral key, but the hash does not.
      assert.ok(verdict === 'unreadable' || verdict === 'authenticationFailed', `bit ${String(bit)}: ${verdict}`);
    }
    assert.deepEqual(memoryOf(sides.responder), before);
    assert.equal(receive(sides, message.bytes, 0).verdict, 'accepted');
  });

  test('for somebody else is unreadable', () => {
    const other = pair();
    const { message } = initiate(pair());
    assert.equal(other.responder.identity.readInitiation(message), undefined);
  });

  test('that claims another’s public key is refused', () => {
    // Whoever has only an ephemeral key can claim any static key up to the second DH.
    const sides = pair();
    const intruder = new Identity(crypto, randomBytes(32));
    const created = intruder.createInitiation(sides.initiator.peer, 1, UNIX_MS);
    assert.ok(created);
    const received = sides.responder.identity.readInitiation(created.message);
    assert.ok(received);
    const { responder } = sides;
    assert.equal(responder.identity.acceptInitiation(received, responder.peer, 0), 'authenticationFailed');
    assert.equal(responder.peer.lastInitiationAt, -Infinity);
  });

  test('is taken once: neither again nor after a later one', () => {
    const sides = pair();
    const first = initiate(sides).message.bytes;
    const second = initiate(sides, UNIX_MS + 5000).message.bytes;
    assert.equal(receive(sides, first, 0).verdict, 'accepted');
    assert.equal(receive(sides, first, 1000).verdict, 'replayed');
    assert.equal(receive(sides, second, 2000).verdict, 'accepted');
    const before = memoryOf(sides.responder);
    assert.equal(receive(sides, first, 3000).verdict, 'replayed');
    assert.equal(receive(sides, second, 3000).verdict, 'replayed');
    assert.deepEqual(memoryOf(sides.responder), before);
  });

  test('is refused within a fiftieth of a second of the last', () => {
    const sides = pair();
    const [a, b, c] = [0, 1, 2].map((i) => initiate(sides, UNIX_MS + 100 * i).message.bytes);
    assert.equal(receive(sides, a, 1000).verdict, 'accepted');
    assert.equal(receive(sides, b, 1019.9).verdict, 'rateLimited');
    assert.equal(receive(sides, b, 1020).verdict, 'accepted', 'a refused one is not remembered');
    assert.equal(receive(sides, c, 1100).verdict, 'accepted');
  });

  test('bears a greater timestamp than the last, whatever the clock says', () => {
    const sides = pair();
    let now = 0;
    for (const unixMs of [UNIX_MS, UNIX_MS, UNIX_MS + 1, UNIX_MS - 86_400_000, UNIX_MS + 1000, UNIX_MS + 1000])
      assert.equal(receive(sides, initiate(sides, unixMs).message.bytes, (now += 1000)).verdict, 'accepted');
  });

  test('of all-zero timestamp is a replay from the start', () => {
    const sides = pair();
    sides.initiator.peer.nextTimestamp = () => new Uint8Array(12);
    assert.equal(receive(sides, initiate(sides).message.bytes, 0).verdict, 'replayed');
  });

  test('answers are different, as their ephemeral keys are', () => {
    const sides = pair();
    const { message } = initiate(sides);
    const copy = new HandshakePeer(sides.responder.peer.publicKey);
    const first = respond(sides, message.bytes).message;
    sides.responder.peer = copy;
    const second = respond(sides, message.bytes).message;
    assert.notDeepEqual(first.ephemeral, second.ephemeral);
  });
});

describe('a response', () => {
  test('with any bit before the MACs flipped is refused, and the right one is taken after all these', () => {
    const sides = pair(randomBytes(32));
    const { message, pending } = initiate(sides);
    const { bytes } = respond(sides, message.bytes).message;
    for (let bit = 8 * 8; bit < 60 * 8; bit++)
      assert.equal(finish(sides, pending, flip(bytes, bit)), undefined, `bit ${String(bit)}`);
    assert.ok(finish(sides, pending, bytes));
  });

  test('to another initiation, or of another responder, is refused', () => {
    const sides = pair();
    const first = initiate(sides);
    const second = initiate(sides, UNIX_MS + 1000);
    const answer = respond(sides, second.message.bytes);
    assert.equal(finish(sides, first.pending, answer.message.bytes), undefined);
    const impostor = { ...sides, responder: pair().responder };
    assert.equal(impostor.responder.identity.readInitiation(second.message), undefined);
    assert.ok(finish(sides, second.pending, answer.message.bytes));
  });

  test('is taken once', () => {
    const sides = pair();
    const { message, pending } = initiate(sides);
    const { bytes } = respond(sides, message.bytes).message;
    assert.ok(finish(sides, pending, bytes));
    assert.equal(finish(sides, pending, bytes), undefined);
  });
});

/**
 * Sections 5.4.2, 5.4.3 and 5.4.5 written out, on the reference functions alone, from fixed private keys. The MACs are
 * those without a cookie.
 */
function transcript(presharedKey: Uint8Array) {
  const ascii = (text: string): Uint8Array => new TextEncoder().encode(text);
  const HASH = (...parts: Uint8Array[]): Uint8Array => blake2s(concat(...parts));
  const AEAD = (key: Uint8Array, plaintext: Uint8Array, ad: Uint8Array): Uint8Array =>
    chacha20poly1305(key, new Uint8Array(12), ad).encrypt(plaintext);
  const DH = x25519;
  const NOTHING = new Uint8Array(0);

  const sInitiator = unhex('11'.repeat(32));
  const sResponder = unhex('22'.repeat(32));
  const eInitiator = unhex('33'.repeat(32));
  const eResponder = unhex('44'.repeat(32));
  const SiPub = DH(sInitiator, BASE_POINT);
  const SrPub = DH(sResponder, BASE_POINT);
  const EiPub = DH(eInitiator, BASE_POINT);
  const ErPub = DH(eResponder, BASE_POINT);
  const indexInitiator = unhex('78563412');
  const indexResponder = unhex('f0debc9a');
  const timestamp = unhex('4000000069573355' + '28000000');

  let C = HASH(ascii('Noise_IKpsk2_25519_ChaChaPoly_BLAKE2s'));
  let H = HASH(C, ascii('WireGuard v1 zx2c4 Jason@zx2c4.com'));
  let k: Uint8Array;

  H = HASH(H, SrPub);
  [C] = kdf(1, C, EiPub);
  H = HASH(H, EiPub);
  [C, k] = kdf(2, C, DH(eInitiator, SrPub));
  const encryptedStatic = AEAD(k, SiPub, H);
  H = HASH(H, encryptedStatic);
  [C, k] = kdf(2, C, DH(sInitiator, SrPub));
  const encryptedTimestamp = AEAD(k, timestamp, H);
  H = HASH(H, encryptedTimestamp);
  const initiation = concat(unhex('01000000'), indexInitiator, EiPub, encryptedStatic, encryptedTimestamp);
  const mac1Initiation = blake2s(initiation, HASH(ascii('mac1----'), SrPub), 16);

  [C] = kdf(1, C, ErPub);
  H = HASH(H, ErPub);
  [C] = kdf(1, C, DH(eResponder, EiPub));
  [C] = kdf(1, C, DH(eResponder, SiPub));
  const [, tau] = ([C, , k] = kdf(3, C, presharedKey));
  H = HASH(H, tau);
  const encryptedNothing = AEAD(k, NOTHING, H);
  const response = concat(unhex('02000000'), indexResponder, indexInitiator, ErPub, encryptedNothing);
  const mac1Response = blake2s(response, HASH(ascii('mac1----'), SiPub), 16);
  const [initiatorSends, responderSends] = kdf(2, C, NOTHING);

  return {
    privateKeys: { sInitiator, sResponder, eInitiator, eResponder },
    initiation: concat(initiation, mac1Initiation, new Uint8Array(16)),
    response: concat(response, mac1Response, new Uint8Array(16)),
    initiatorSends,
    responderSends,
  };
}

describe('the messages are those of the paper, byte for byte', () => {
  for (const presharedKey of [new Uint8Array(32), unhex('55'.repeat(32))])
    test(`preshared key ${hex(presharedKey.subarray(0, 2))}…`, () => {
      const expected = transcript(presharedKey);
      const { sInitiator, sResponder, eInitiator, eResponder } = expected.privateKeys;
      const initiator = new Identity(crypto, sInitiator);
      const responder = new Identity(crypto, sResponder);
      const toResponder = new HandshakePeer(responder.publicKey);
      const toInitiator = new HandshakePeer(initiator.publicKey);
      toResponder.presharedKey = presharedKey;
      toInitiator.presharedKey = presharedKey;

      // The second of the timestamp above is Unix time and the ten that separate TAI from it.
      const unixMs = (0x69573355 - 10) * 1000 + 678;
      crypto.scripted.push(eInitiator);
      const created = initiator.createInitiation(toResponder, 0x12345678, unixMs);
      assert.ok(created);
      new CookieGenerator(crypto, responder.publicKey).addMacs(created.message, 0);
      assert.equal(hex(created.message.bytes), hex(expected.initiation));

      const received = responder.readInitiation(decodeInitiation(expected.initiation));
      assert.ok(received);
      assert.equal(responder.acceptInitiation(received, toInitiator, 0), 'accepted');
      crypto.scripted.push(eResponder);
      const answered = responder.createResponse(received, toInitiator, 0x9abcdef0);
      assert.ok(answered);
      new CookieGenerator(crypto, initiator.publicKey).addMacs(answered.message, 0);
      assert.equal(hex(answered.message.bytes), hex(expected.response));
      assert.equal(hex(answered.keys.sendKey), hex(expected.responderSends));
      assert.equal(hex(answered.keys.receiveKey), hex(expected.initiatorSends));

      const keys = initiator.consumeResponse(created.pending, toResponder, decodeResponse(expected.response));
      assert.ok(keys);
      assert.equal(hex(keys.sendKey), hex(expected.initiatorSends));
      assert.equal(hex(keys.receiveKey), hex(expected.responderSends));
    });
});

describe('TAI64N', () => {
  test('is a label of 2^62 and the seconds, ten more than Unix time, then nanoseconds rounded down to 2^24', () => {
    assert.equal(hex(tai64n(0)), '400000000000000a00000000');
    assert.equal(hex(tai64n(16.777)), '400000000000000a00000000');
    assert.equal(hex(tai64n(16.778)), '400000000000000a01000000');
    assert.equal(hex(tai64n(999.999)), '400000000000000a3b000000');
    assert.equal(hex(tai64n(1000)), '400000000000000b00000000');
    assert.equal(hex(tai64n(1_700_000_000_500)), '400000006553f10a1d000000');
    assert.equal(hex(tai64n((2 ** 32 - 10) * 1000)), '400000010000000000000000');
  });

  test('timestamps order as their times do', () => {
    withSeed((random) => {
      const peer = new HandshakePeer(new Uint8Array(32));
      let last = new Uint8Array(12) as Uint8Array;
      for (let i = 0; i < 2000; i++) {
        const next = peer.nextTimestamp(UNIX_MS + random.below(100_000));
        assert.ok(hex(next) > hex(last));
        assert.equal(next[11] | next[10] | next[9], 0);
        assert.ok(parseInt(hex(next.subarray(8)), 16) < 1e9);
        last = next;
      }
    });
  });
});
