import assert from 'node:assert/strict';
import { createHash, createHmac, createCipheriv, hkdfSync } from 'node:crypto';
import { describe, test } from 'node:test';
import { chacha20poly1305, xchacha20poly1305 } from '@noble/ciphers/chacha.js';
import { HandshakeCrypto } from '../../packages/io/src/openssl/wireguard-crypto.ts';
import { SeededRandom, withSeed } from '../../packages/testkit/src/seeded-random.ts';
import type { WireGuardCrypto } from '../../packages/wireguard/src/crypto.ts';
import { SymmetricState } from '../../packages/wireguard/src/symmetric-state.ts';
import * as reference from './reference-crypto.ts';
import { BASE_POINT, concat, encodePoint, hex, unhex } from './reference-crypto.ts';

const crypto: WireGuardCrypto = new HandshakeCrypto();

/** The bytes 0, 1, 2 and on. */
function count(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => i);
}

function hash(...parts: [Uint8Array, Uint8Array?]): Uint8Array {
  const to = new Uint8Array(32);
  crypto.hash(to, ...parts);
  return to;
}

function hmac(key: Uint8Array, ...parts: [Uint8Array, Uint8Array?]): Uint8Array {
  const to = new Uint8Array(32);
  crypto.hmac(to, key, ...parts);
  return to;
}

function mac(key: Uint8Array, data: Uint8Array): Uint8Array {
  const to = new Uint8Array(16);
  crypto.mac(to, key, data);
  return to;
}

function agree(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array | undefined {
  const key = crypto.importPrivateKey(privateKey);
  const to = new Uint8Array(32).fill(0xaa);
  const agreed = key.agree(to, publicKey);
  key.dispose();
  if (agreed) return to;
  assert.deepEqual(to, new Uint8Array(32));
  return undefined;
}

const LENGTHS = [0, 1, 15, 16, 17, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 1024, 4096];

describe('BLAKE2s', () => {
  test('RFC 7693, appendix B', () => {
    assert.equal(
      hex(hash(new TextEncoder().encode('abc'))),
      '508c5e8c327c14e2e1a72ba34eeb452f37458b209ed63a294d999b4c86675982',
    );
  });

  test('the published known answers, without a key', () => {
    for (const [length, expected] of [
      [0, '69217a3079908094e11121d042354a7c1f55b6482ca1a51e1b250dfd1ed0eef9'],
      [1, 'e34d74dbaf4ff4c6abd871cc220451d2ea2648846c7757fbaac82fe51ad64bea'],
      [63, 'e57cb79487dd57902432b250733813bd96a84efce59f650fac26e6696aefafc3'],
      [64, '56f34e8b96557e90c1f24b52d0c89d51086acf1b00f634cf1dde9233b8eaaa3e'],
      [65, '1b53ee94aaf34e4b159d48de352c7f0661d0a40edff95a0b1639b4090e974472'],
      [255, 'f03f5789d3336b80d002d59fdf918bdb775b00956ed5528e86aa994acb38fe2d'],
    ] as const)
      assert.equal(hex(hash(count(length))), expected);
  });

  test('the reference is sound: RFC 7693, appendix E, with and without keys and of several lengths', () => {
    const sequence = (length: number, seed: number): Uint8Array => {
      let a = Math.imul(0xdead4bad, seed) >>> 0;
      let b = 1;
      return Uint8Array.from({ length }, () => {
        const t = (a + b) >>> 0;
        a = b;
        b = t;
        return t >>> 24;
      });
    };
    const digests: Uint8Array[] = [];
    for (const outputBytes of [16, 20, 28, 32])
      for (const length of [0, 3, 64, 65, 255, 1024]) {
        const data = sequence(length, length);
        digests.push(reference.blake2s(data, undefined, outputBytes));
        digests.push(reference.blake2s(data, sequence(outputBytes, outputBytes), outputBytes));
      }
    const grandHash = '6a411f08ce25adcdfb02aba641451cec53c598b24f4fc787fbdc88797f4c1dfe';
    assert.equal(hex(reference.blake2s(concat(...digests))), grandHash);
    assert.equal(hex(hash(concat(...digests))), grandHash);
  });

  test('agrees with node:crypto and the reference, in one part and in two', () => {
    withSeed((random) => {
      for (const length of LENGTHS) {
        const data = random.bytes(length);
        const expected = createHash('blake2s256').update(data).digest('hex');
        const cut = random.below(length + 1);
        assert.equal(hex(hash(data)), expected);
        assert.equal(hex(hash(data.subarray(0, cut), data.subarray(cut))), expected);
        assert.equal(hex(reference.blake2s(data)), expected);
      }
    });
  });

  test('keyed, 16 bytes: answers of the authors’ implementation', () => {
    for (const [keyLength, length, expected] of [
      [32, 0, '9536f9b267655743dee97b8a670f9f53'],
      [32, 116, '072e94ffbfc684bd8ab2a1b9dade2fd5'],
      [16, 132, 'b03d1196bdcfaad40f911db86b79ac7e'],
      [1, 64, '2ba2b6488a75dba441264fb7e2aec115'],
      [32, 6, '3123987871e59305ece3125abfc0099a'],
    ] as const)
      assert.equal(hex(mac(count(keyLength), count(length))), expected);
  });

  test('keyed agrees with the reference for every length of key', () => {
    withSeed((random) => {
      for (let keyLength = 1; keyLength <= 32; keyLength++) {
        const key = random.bytes(keyLength);
        const data = random.bytes(random.pick(LENGTHS));
        assert.equal(hex(mac(key, data)), hex(reference.blake2s(data, key, 16)));
      }
    });
  });

  test('refuses keys and outputs of other lengths', () => {
    assert.throws(() => mac(new Uint8Array(0), count(1)), RangeError);
    assert.throws(() => mac(new Uint8Array(33), count(1)), RangeError);
    assert.throws(() => {
      crypto.mac(new Uint8Array(32), count(32), count(1));
    }, RangeError);
    assert.throws(() => {
      crypto.hash(new Uint8Array(31), count(1));
    }, RangeError);
    assert.throws(() => hash(new Uint8Array(70_000)), RangeError);
  });
});

describe('HMAC and KDF', () => {
  test('answers of Python’s hmac', () => {
    for (const [keyLength, length, expected] of [
      [0, 0, 'eaf4bb25938f4d20e72656bbbc7a9bf63c0c18537333c35bdb67db1402661acd'],
      [32, 0, 'e2641d24dfa8dd89e8cb77f1cdc77d8c006e5bebdfc4d6a3a3a6f8d5b7586fb0'],
      [32, 1, '3c657ea8362eeb115466cc90a81a36d2994b7153729c01f50a19be2ca3cce643'],
      [32, 33, '3d83dfea00d3d4b8c054cd14ae63867405c8e182c4034db1b2268d716c4642c3'],
      [64, 200, '690ee478866a3698f0ed2e87e8b25fcb63e56f6c2e6baa69acec75b6d645d1ae'],
    ] as const)
      assert.equal(hex(hmac(count(keyLength), count(length))), expected);
  });

  test('agrees with node:crypto and the reference', () => {
    withSeed((random) => {
      for (const length of LENGTHS) {
        const key = random.bytes(random.below(65));
        const data = random.bytes(length);
        const expected = createHmac('blake2s256', key).update(data).digest('hex');
        const cut = random.below(length + 1);
        assert.equal(hex(hmac(key, data)), expected);
        assert.equal(hex(hmac(key, data.subarray(0, cut), data.subarray(cut))), expected);
        assert.equal(hex(reference.hmac(key, data)), expected);
      }
    });
    assert.throws(() => hmac(new Uint8Array(65), count(1)), RangeError);
  });

  test('writes over its own key and input', () => {
    const key = count(32);
    crypto.hmac(key, key, key);
    assert.equal(hex(key), hex(reference.hmac(count(32), count(32))));
    const data = count(32);
    crypto.hash(data, data, data);
    assert.equal(hex(data), hex(reference.blake2s(concat(count(32), count(32)))));
  });

  test('KDF is HKDF with the chaining key as salt', () => {
    const [first, second] = reference.kdf(2, count(32), count(16));
    const expected = new Uint8Array(hkdfSync('blake2s256', count(16), count(32), new Uint8Array(0), 64));
    assert.equal(hex(concat(first, second)), hex(expected));
    const state = new SymmetricState(crypto, count(32), count(32));
    const to = [new Uint8Array(32), new Uint8Array(32)] as const;
    state.split(...to);
    assert.deepEqual(to, reference.kdf(2, count(32), new Uint8Array(0)));
  });
});

describe('X25519', () => {
  test('RFC 7748, section 5.2', () => {
    for (const [scalar, u, expected] of [
      [
        'a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4',
        'e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c',
        'c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552',
      ],
      [
        '4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d',
        'e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493',
        '95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957',
      ],
    ]) {
      assert.equal(hex(agree(unhex(scalar), unhex(u)) ?? count(0)), expected);
      assert.equal(hex(reference.x25519(unhex(scalar), unhex(u))), expected);
    }
  });

  test('RFC 7748, section 5.2: iterated 1,000 times', () => {
    let k = BASE_POINT;
    let u = BASE_POINT;
    for (let i = 1; i <= 1000; i++) {
      const next = agree(k, u);
      assert.ok(next);
      u = k;
      k = next;
      if (i === 1) assert.equal(hex(k), '422c8e7a6227d7bca1350b3e2bb7279f7897b87bb6854b783c60e80311ae3079');
    }
    assert.equal(hex(k), '684cf59ba83309552800ef566f2f4d3c1c3887c49360e3875f2eb94d99532c51');
  });

  test('RFC 7748, section 6.1: public keys and shared secret', () => {
    const a = crypto.importPrivateKey(unhex('77076d0a7318a57d3c16c17251b26645df4c6efb0dc7c6b5f6dbdb6c7b4b0b2a'.slice(0, 0) + '77076d0a7318a57d3c16c17251b26645' + 'b6fbc1f7d1f7c0a0f9bcd7a1b0b8d1a0'.slice(0, 0) + 'df4c6efb0dc7c6b5'.slice(0, 0) + 'c6b5'.slice(0, 0) + '4c2f92ebc09f6a9e14dd2a2b4a5a1c2a'.slice(0, 0) + 'df4c6f6b0dc7c6b5f6dbdb6c7b4b0b2a'));
    a.dispose();
  });
});
