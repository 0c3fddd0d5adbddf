import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { HandshakeCrypto } from '../../packages/io/src/openssl/wireguard-crypto.ts';
import { SeededRandom } from '../../packages/testkit/src/seeded-random.ts';
import { COOKIE_LIFETIME_MS, CookieChecker, CookieGenerator } from '../../packages/wireguard/src/cookie.ts';
import type { CookieReply, Initiation } from '../../packages/wireguard/src/messages.ts';
import {
  decodeMessage,
  MESSAGE_COOKIE_REPLY,
  newCookieReply,
  newInitiation,
  newResponse,
} from '../../packages/wireguard/src/messages.ts';
import { blake2s, concat, hex, unhex } from './reference-crypto.ts';

const crypto = new HandshakeCrypto();
const random = new SeededRandom(1);
const PUBLIC_KEY = random.bytes(32);
/** 192.0.2.1 port 51820 */
const SOURCE = unhex('c0000201ca6c');
const NO_MAC = new Uint8Array(16);

function setUp() {
  return { checker: new CookieChecker(crypto, PUBLIC_KEY), generator: new CookieGenerator(crypto, PUBLIC_KEY) };
}

function initiation(senderIndex = 0x01020304): Initiation {
  const message = newInitiation(senderIndex);
  message.ephemeral.set(random.bytes(32));
  message.encryptedStatic.set(random.bytes(48));
  message.encryptedTimestamp.set(random.bytes(28));
  return message;
}

function mac1(message: { bytes: Uint8Array }): Uint8Array {
  return message.bytes.slice(-32, -16);
}

function mac2(message: { bytes: Uint8Array }): Uint8Array {
  return message.bytes.slice(-16);
}

/** As it comes from the wire. */
function decodeReply(bytes: Uint8Array): CookieReply {
  const message = decodeMessage(bytes);
  assert.equal(message.type, MESSAGE_COOKIE_REPLY);
  return message;
}

/** Lets the generator have a cookie at `now`. */
function obtainCookie({ checker, generator }: ReturnType<typeof setUp>, now: number, source = SOURCE): void {
  const message = initiation();
  generator.addMacs(message, now);
  assert.ok(generator.consumeReply(checker.createReply(message, source, now), now));
}

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const changed = bytes.slice();
  changed[bit >> 3] ^= 1 << (bit & 7);
  return changed;
}

describe('mac1', () => {
  test('is a MAC of what precedes it, by the hash of the receiver’s public key', () => {
    const { checker, generator } = setUp();
    for (const message of [initiation(), newResponse(1, 2)]) {
      generator.addMacs(message, 0);
      const key = blake2s(concat(new TextEncoder().encode('mac1----'), PUBLIC_KEY));
      assert.equal(hex(mac1(message)), hex(blake2s(message.bytes.subarray(0, -32), key, 16)));
      assert.deepEqual(mac2(message), NO_MAC);
      assert.ok(checker.checkMac1(message));
    }
  });

  test('fails with any bit of it or before it changed, and does not depend on mac2', () => {
    const { checker, generator } = setUp();
    const message = initiation();
    generator.addMacs(message, 0);
    for (let bit = 32; bit < 148 * 8; bit++) {
      const changed = decodeMessage(flip(message.bytes, bit)) as Initiation;
      assert.equal(checker.checkMac1(changed), bit >= 132 * 8, `bit ${String(bit)}`);
    }
  });

  test('for another receiver fails', () => {
    const { checker } = setUp();
    const message = initiation();
    new CookieGenerator(crypto, random.bytes(32)).addMacs(message, 0);
    assert.equal(checker.checkMac1(message), false);
  });
});

describe('a cookie', () => {
  test('lets the next message through', () => {
    const sides = setUp();
    const first = initiation();
    sides.generator.addMacs(first, 0);
    assert.equal(sides.checker.checkMac2(first, SOURCE, 0), false);
    const reply = decodeReply(sides.checker.createReply(first, SOURCE, 0).bytes);
    assert.equal(reply.receiverIndex, first.senderIndex);
    assert.ok(sides.generator.consumeReply(reply, 50));
    const second = initiation();
    sides.generator.addMacs(second, 100);
    assert.notDeepEqual(mac2(second), NO_MAC);
    assert.ok(sides.checker.checkMac1(second));
    assert.ok(sides.checker.checkMac2(second, SOURCE, 150));
  });

  test('is sealed by the hash of the receiver’s public key, and mac1 of the message that it answers', () => {
    const { checker, generator } = setUp();
    const message = initiation();
    generator.addMacs(message, 0);
    const reply = checker.createReply(message, SOURCE, 0);
    const key = blake2s(concat(new TextEncoder().encode('cookie--'), PUBLIC_KEY));
    const cookie = xchacha20poly1305(key, reply.nonce, mac1(message)).decrypt(reply.encryptedCookie);
    assert.equal(cookie.length, 16);
    assert.ok(generator.consumeReply(reply, 0));
    const next = initiation();
    generator.addMacs(next, 1);
    assert.equal(hex(mac2(next)), hex(blake2s(next.bytes.subarray(0, -16), cookie, 16)));
  });

  test('is good for its address and port alone', () => {
    const sides = setUp();
    obtainCookie(sides, 0);
    const message = initiation();
    sides.generator.addMacs(message, 1);
    for (let bit = 0; bit < SOURCE.length * 8; bit++)
      assert.equal(sides.checker.checkMac2(message, flip(SOURCE, bit), 1), false);
    assert.equal(sides.checker.checkMac2(message, concat(SOURCE, unhex('00')), 1), false);
    assert.ok(sides.checker.checkMac2(message, SOURCE, 1));
  });

  test('mac2 fails with any bit of it or before it changed', () => {
    const sides = setUp();
    obtainCookie(sides, 0);
    const message = initiation();
    sides.generator.addMacs(message, 1);
    for (let bit = 32; bit < 148 * 8; bit++) {
      const changed = decodeMessage(flip(message.bytes, bit)) as Initiation;
      assert.equal(sides.checker.checkMac2(changed, SOURCE, 1), false, `bit ${String(bit)}`);
    }
  });

  test('is used for 120 seconds by the sender', () => {
    const sides = setUp();
    obtainCookie(sides, 1000);
    for (const [now, expected] of [
      [1000, true],
      [1000 + COOKIE_LIFETIME_MS - 1, true],
      [1000 + COOKIE_LIFETIME_MS, false],
    ] as const) {
      const message = initiation();
      sides.generator.addMacs(message, now);
      assert.equal(hex(mac2(message)) !== hex(NO_MAC), expected, String(now));
    }
  });

  test('is worth nothing once the receiver’s secret has changed, 120 seconds after it was made', () => {
    const sides = setUp();
    obtainCookie(sides, 0); // makes the secret
    obtainCookie(sides, 100_000);
    const message = initiation();
    sides.generator.addMacs(message, 110_000);
    assert.ok(sides.checker.checkMac2(message, SOURCE, COOKIE_LIFETIME_MS - 1));
    assert.equal(sides.checker.checkMac2(message, SOURCE, COOKIE_LIFETIME_MS), false);
    obtainCookie(sides, COOKIE_LIFETIME_MS);
    sides.generator.addMacs(message, COOKIE_LIFETIME_MS);
    assert.ok(sides.checker.checkMac2(message, SOURCE, COOKIE_LIFETIME_MS));
  });

  test('of another checker is worth nothing', () => {
    const sides = setUp();
    obtainCookie(sides, 0);
    const message = initiation();
    sides.generator.addMacs(message, 1);
    assert.equal(setUp().checker.checkMac2(message, SOURCE, 1), false);
  });
});

describe('a cookie reply', () => {
  test('that nobody asked for is refused, and so is one that was taken already', () => {
    const { checker, generator } = setUp();
    const message = initiation();
    const reply = checker.createReply(message, SOURCE, 0);
    assert.equal(generator.consumeReply(reply, 0), false);
    generator.addMacs(message, 0);
    const asked = checker.createReply(message, SOURCE, 0);
    assert.ok(generator.consumeReply(asked, 0));
    assert.equal(generator.consumeReply(asked, 1), false);
  });

  test('to an earlier message is refused', () => {
    const { checker, generator } = setUp();
    const first = initiation();
    generator.addMacs(first, 0);
    const reply = checker.createReply(first, SOURCE, 0);
    generator.addMacs(initiation(), 1);
    assert.equal(generator.consumeReply(reply, 1), false);
  });

  test('with any bit of nonce or ciphertext changed is refused, and the right one is taken after all these', () => {
    const { checker, generator } = setUp();
    const message = initiation();
    generator.addMacs(message, 0);
    const { bytes } = checker.createReply(message, SOURCE, 0);
    for (let bit = 64; bit < 512; bit++)
      assert.equal(generator.consumeReply(decodeReply(flip(bytes, bit)), 0), false, `bit ${String(bit)}`);
    const after = initiation();
    assert.ok(generator.consumeReply(decodeReply(bytes), 0));
    generator.addMacs(after, 0);
    assert.ok(checker.checkMac2(after, SOURCE, 0));
  });

  test('forged by who does not know the public key is refused', () => {
    const { generator } = setUp();
    const message = initiation();
    generator.addMacs(message, 0);
    const forged = newCookieReply(message.senderIndex);
    crypto.xseal(forged.encryptedCookie, random.bytes(32), forged.nonce, new Uint8Array(16), mac1(message));
    assert.equal(generator.consumeReply(forged, 0), false);
  });

  test('nonces never repeat', () => {
    const { checker, generator } = setUp();
    const message = initiation();
    generator.addMacs(message, 0);
    const nonces = new Set(Array.from({ length: 500 }, () => hex(checker.createReply(message, SOURCE, 0).nonce)));
    assert.equal(nonces.size, 500);
  });
});
