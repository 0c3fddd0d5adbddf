import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Arena, createDataCipher, DATA_CIPHER_SCRATCH_BYTES, eraseDataCiphers, EvpDataCipher } from '@sallyport/io';
import type { DataPacketCipher } from '@sallyport/openvpn';
import { withSeed, type SeededRandom } from '@sallyport/testkit';
import { ReferenceDataCipher } from './reference-data-cipher.ts';

const arena = Arena.create(4 * 1024 * 1024);
const registry = arena.allocate(256);
const quickest = createDataCipher(arena, arena.allocate(DATA_CIPHER_SCRATCH_BYTES), registry);
const evp = new EvpDataCipher(arena, arena.allocate(DATA_CIPHER_SCRATCH_BYTES));
const reference = new ReferenceDataCipher(arena, arena.allocate(16));
const area = arena.allocate(80_000);
const { u8 } = arena;

/** A key where none was: a cipher may keep one whose bytes were changed without its knowledge. */
function newKey(random: SeededRandom): number {
  const key = arena.allocate(64);
  u8.set(random.bytes(64), key);
  return key;
}

for (const [name, cipher] of [
  ['the quickest', quickest],
  ['EVP', evp],
] as [string, DataPacketCipher][]) {
  test(`${name}: seals and opens as node:crypto, and leaves the surroundings alone`, () => {
    withSeed((random) => {
      for (const algorithm of [1, 2, 3])
        for (const length of [1, 15, 16, 17, 63, 64, 65, 500, 1400, 1401, 9000, 65_000])
          for (const headerBytes of [8, 12]) {
            const key = newKey(random);
            u8.set(random.bytes(12), cipher.nonce);
            u8.copyWithin(reference.nonce, cipher.nonce, cipher.nonce + 12);
            const at = area + 256 + random.below(16);
            const header = at - (headerBytes === 8 ? 24 : 12);
            const tag = headerBytes === 8 ? at - 16 : at + length;
            const from = at - 128;
            const to = at + length + 128;
            const plain = random.bytes(to - from);
            u8.set(plain, from);
            reference.useSealingKey(algorithm, key);
            reference.seal(header, headerBytes, at, length, tag);
            const sealed = u8.slice(from, to);
            u8.set(plain, from);
            cipher.useSealingKey(algorithm, key);
            cipher.seal(header, headerBytes, at, length, tag);
            assert.deepEqual(u8.slice(from, to), sealed);
            cipher.useOpeningKey(algorithm, key);
            assert.equal(cipher.open(header, headerBytes, at, length, tag), true);
            plain.set(sealed.subarray(tag - from, tag - from + 16), tag - from);
            assert.deepEqual(u8.slice(from, to), plain);
            for (const place of [header, at, at + length - 1, tag]) {
              u8.set(sealed, from);
              u8[place + random.below(place === header ? headerBytes : 1)] ^= 1 << random.below(8);
              assert.equal(cipher.open(header, headerBytes, at, length, tag), false);
            }
          }
    });
  });

  test(`${name}: AES-256-CBC with HMAC-SHA256, both ways`, () => {
    withSeed((random) => {
      const at = area + 256;
      const seen = new Set<string>();
      for (const length of [16, 32, 1408, 65_008]) {
        const key = newKey(random);
        const plain = random.bytes(length);
        for (const [sealer, opener] of [
          [cipher, reference],
          [reference, cipher],
        ]) {
          u8.set(plain, at);
          sealer.useSealingKey(4, key);
          sealer.sealCbc(at, length);
          seen.add(Buffer.from(u8.slice(at - 16, at)).toString('hex'));
          opener.useOpeningKey(4, key);
          u8[at + length - 1] ^= 1;
          assert.equal(opener.openCbc(at, length), false);
          u8[at + length - 1] ^= 1;
          assert.equal(opener.openCbc(at, length), true);
          assert.deepEqual(u8.slice(at, at + length), plain);
        }
        cipher.useSealingKey(1, key);
        cipher.useOpeningKey(2, key);
      }
      assert.equal(seen.size, 8, 'an IV is used once');
    });
  });
}

test('ChaCha20-Poly1305 is joined where the node binary exports what it takes', () => {
  assert.equal(quickest instanceof EvpDataCipher, false);
});

test('keys are taken anew after they were erased, and only then', () => {
  const [key, otherKey] = [arena.allocate(64), arena.allocate(64)];
  for (const algorithm of [1, 2, 3]) {
    eraseDataCiphers(arena, registry);
    const at = area + 256;
    const sealWith = (keyAt: number): string => {
      u8.fill(1, at - 24, at + 32);
      u8.fill(2, quickest.nonce, quickest.nonce + 12);
      quickest.useSealingKey(algorithm, keyAt);
      quickest.seal(at - 24, 8, at, 32, at - 16);
      return Buffer.from(u8.slice(at - 16, at + 32)).toString('hex');
    };
    u8.fill(3, key, key + 32);
    u8.fill(4, otherKey, otherKey + 32);
    const before = sealWith(key);
    assert.equal(sealWith(key), before);
    assert.notEqual(sealWith(otherKey), before);
    assert.equal(sealWith(key), before);
    u8.fill(4, key, key + 32);
    eraseDataCiphers(arena, registry);
    assert.equal(sealWith(key), sealWith(otherKey));
    u8.fill(5, key, key + 32);
    eraseDataCiphers(arena, registry);
    assert.notEqual(sealWith(key), sealWith(otherKey));
    const last = sealWith(key);
    u8.fill(6, key, key + 32);
    eraseDataCiphers(arena, registry, otherKey, otherKey + 64);
    const kept = sealWith(key);
    eraseDataCiphers(arena, registry, key, key + 64);
    assert.notEqual(sealWith(key), last);
    if (algorithm !== 3) assert.equal(kept, last, 'keys elsewhere in memory are left alone');
  }
});
