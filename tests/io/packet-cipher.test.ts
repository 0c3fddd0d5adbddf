/** Both packet ciphers, against node:crypto. */
import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';
import {
  Arena,
  createPacketCipher,
  EvpPacketCipher,
  JoinedPacketCipher,
  PACKET_CIPHER_SCRATCH_BYTES,
  type PacketCipher,
} from '@sallyport/io';
import { SeededRandom } from '@sallyport/testkit';

const TAG = 16;
const LARGEST = 65_503;
const LENGTHS = [...Array(201).keys(), 1023, 1024, 1025, 1419, 1420, 1421, 1440, 9000, LARGEST - 1, LARGEST];
const COUNTERS = [
  [0, 0],
  [1, 0],
  [0xffffffff, 0],
  [0x80000001, 0xfffffffe],
];

const arena = Arena.create(1 << 20);
const { u8 } = arena;
const evp = new EvpPacketCipher(arena, arena.allocate(PACKET_CIPHER_SCRATCH_BYTES));
const scratch = arena.allocate(PACKET_CIPHER_SCRATCH_BYTES);
const chosen = createPacketCipher(arena, scratch);
const canary = arena.allocate(256);
const keyAt = arena.allocate(64);
const otherKeyAt = arena.allocate(64);
const room = arena.allocate(LARGEST + 1024) + 256;
const random = new SeededRandom(11);
const key = random.bytes(32);
u8.set(key, keyAt);
u8.set(random.bytes(32), otherKeyAt);
const plaintext = random.bytes(LARGEST);
const around = random.bytes(256);

function reference(length: number, low: number, high: number): Buffer {
  const nonce = Buffer.alloc(12);
  nonce.writeUInt32LE(low, 4);
  nonce.writeUInt32LE(high, 8);
  const cipher = createCipheriv('chacha20-poly1305', key, nonce, { authTagLength: TAG });
  return Buffer.concat([cipher.update(plaintext.subarray(0, length)), cipher.final(), cipher.getAuthTag()]);
}

function assertSame(actual: Uint8Array, expected: Uint8Array, what: string): void {
  if (Buffer.compare(actual, expected) !== 0) assert.fail(what);
}

/** Puts bytes at `at`, between bytes that are known; returns a check that those around are still there, but for `lost`. */
function put(at: number, bytes: Uint8Array): (lost?: number) => void {
  u8.set(around, at - 256);
  u8.set(bytes, at);
  u8.set(around, at + bytes.length);
  return (lost = 0) => {
    assertSame(u8.subarray(at - 256, at), around, 'what lies before is as it was');
    const behind = u8.subarray(at + bytes.length + lost, at + bytes.length + 256);
    assertSame(behind, around.subarray(lost), 'what lies behind is as it was');
  };
}

test('this node has the quicker one', () => {
  assert.ok(chosen instanceof JoinedPacketCipher);
});

const ciphers: readonly (readonly [string, PacketCipher])[] = [
  ['EVP', evp],
  ['the chosen one', chosen],
];

for (const [name, cipher] of ciphers) {
  test(`${name}: seals as node:crypto does, opens it again, and leaves what is around alone`, () => {
    u8.fill(0x77, canary, canary + 256);
    for (const length of LENGTHS) {
      const [low, high] = COUNTERS[length % COUNTERS.length];
      const what = `length ${String(length)}`;
      // Packets lie at any offset.
      const at = room + (length % 8);
      cipher.useSealingKey(keyAt);
      const untouchedBySeal = put(at, plaintext.subarray(0, length));
      cipher.seal(low, high, at, length);
      untouchedBySeal(TAG);
      const sealed = u8.slice(at, at + length + TAG);
      assertSame(sealed, reference(length, low, high), what);
      cipher.useOpeningKey(keyAt);
      const untouchedByOpen = put(at, sealed);
      assert.ok(cipher.open(low, high, at, length), what);
      untouchedByOpen();
      assertSame(u8.subarray(at, at + length), plaintext.subarray(0, length), what);
    }
    assert.ok(
      u8.subarray(canary, canary + 256).every((byte) => byte === 0x77),
      'and what is behind its scratch',
    );
  });

  test(`${name}: refuses any bit changed in ciphertext or tag, another counter, another length, another key`, () => {
    for (const length of [0, 1, 15, 16, 17, 64, 100, 1420]) {
      const sealed = reference(length, 5, 6);
      const opens = (bytes: Uint8Array, low = 5, high = 6, by = keyAt, claimed = length): boolean => {
        const untouched = put(room, bytes);
        cipher.useOpeningKey(by);
        const opened = cipher.open(low, high, room, claimed);
        untouched();
        return opened;
      };
      const bits = length > 200 ? [0, 7, 800, 8 * length - 1] : [...Array(8 * length).keys()];
      for (let i = 0; i < 8 * TAG; i++) bits.push(8 * length + i);
      for (const bit of bits) {
        const forged = Buffer.from(sealed);
        forged[bit >> 3] ^= 1 << (bit & 7);
        assert.equal(opens(forged), false, `length ${String(length)}, bit ${String(bit)}`);
      }
      assert.equal(opens(sealed, 6, 6), false);
      assert.equal(opens(sealed, 5, 5), false);
      assert.equal(opens(sealed, 5, 6, otherKeyAt), false);
      if (length > 0) assert.equal(opens(sealed, 5, 6, keyAt, length - 1), false);
      assert.ok(opens(sealed), 'and then takes the right one');
    }
  });
}

for (const [name, cipher] of ciphers)
  test(`${name}: datagrams that touch, as in a train, open whatever becomes of the one before`, () => {
    const HEADER = 16;
    cipher.useOpeningKey(keyAt);
    for (const length of [0, 1, 15, 16, 17, 31, 1420])
      for (const forged of [false, true]) {
        let at = room;
        for (let i = 0; i < 5; i++) {
          u8.set(random.bytes(HEADER), at);
          u8.set(reference(length, i, 0), at + HEADER);
          if (forged && i % 2 === 0) u8[at + HEADER + length] ^= 1;
          at += HEADER + length + TAG;
        }
        const before = u8.slice(room, at);
        at = room;
        for (let i = 0; i < 5; i++) {
          const opened = cipher.open(i, 0, at + HEADER, length);
          assert.equal(opened, !(forged && i % 2 === 0), `length ${String(length)}, datagram ${String(i)}`);
          at += HEADER + length + TAG;
          assertSame(u8.subarray(at, room + before.length), before.subarray(at - room), 'the rest is as it came');
        }
      }
  });

test('sealing and opening have a key each', () => {
  for (const [, cipher] of ciphers) {
    cipher.useSealingKey(keyAt);
    cipher.useOpeningKey(otherKeyAt);
    u8.set(plaintext.subarray(0, 50), room);
    cipher.seal(9, 0, room, 50);
    assertSame(u8.subarray(room, room + 66), reference(50, 9, 0), 'the sealing key is in use');
    assert.equal(cipher.open(9, 0, room, 50), false);
  }
});
