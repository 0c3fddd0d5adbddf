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

  test('RFC 7748, section 6.1: public keys and the shared secret', () => {
    const a = crypto.importPrivateKey(unhex('77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a'));
    const b = crypto.importPrivateKey(unhex('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb'));
    assert.equal(hex(a.publicKey), '8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a');
    assert.equal(hex(b.publicKey), 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f');
    const shared = [new Uint8Array(32), new Uint8Array(32)] as const;
    assert.ok(a.agree(shared[0], b.publicKey));
    assert.ok(b.agree(shared[1], a.publicKey));
    for (const secret of shared)
      assert.equal(hex(secret), '4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742');
    a.dispose();
    b.dispose();
  });

  test('agrees with the reference, unclamped private keys included', () => {
    withSeed((random) => {
      for (let i = 0; i < 10; i++) {
        const privateKey = random.bytes(32);
        const publicKey = random.bytes(32);
        assert.equal(hex(agree(privateKey, publicKey) ?? count(0)), hex(reference.x25519(privateKey, publicKey)));
        const key = crypto.importPrivateKey(privateKey);
        assert.equal(hex(key.publicKey), hex(reference.x25519(privateKey, BASE_POINT)));
        key.dispose();
      }
    });
  });

  test('unusual public keys: small, not below p, with the highest bit, on the twist', () => {
    const p = 2n ** 255n - 19n;
    const privateKey = count(32);
    for (const u of [2n, 3n, 4n, 9n, p - 2n, p + 2n, p + 3n, p + 9n, p + 18n, 2n ** 254n, 2n ** 255n - 1n])
      for (const highestBit of [0n, 2n ** 255n]) {
        const publicKey = encodePoint(u + highestBit);
        assert.equal(hex(agree(privateKey, publicKey) ?? count(0)), hex(reference.x25519(privateKey, publicKey)));
      }
  });

  test('goes on after a refused key, and leaves no error to others', () => {
    const key = crypto.importPrivateKey(count(32));
    const to = new Uint8Array(32);
    assert.equal(key.agree(to, new Uint8Array(32)), false);
    assert.ok(createCipheriv('chacha20-poly1305', count(32), count(12), { authTagLength: 16 }));
    assert.ok(key.agree(to, BASE_POINT));
    assert.deepEqual(to, key.publicKey);
    key.dispose();
  });

  test('a key disposed of, and lengths that no key has, are errors', () => {
    const key = crypto.importPrivateKey(count(32));
    const to = new Uint8Array(32);
    assert.throws(() => key.agree(to, count(31)), RangeError);
    assert.throws(() => key.agree(to.subarray(1), BASE_POINT), RangeError);
    assert.throws(() => crypto.importPrivateKey(count(33)), RangeError);
    key.dispose();
    key.dispose();
    assert.throws(() => key.agree(to, BASE_POINT), /disposed/);
  });
});

const SUNSCREEN = new TextEncoder().encode(
  "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
);

const aeads = [
  {
    name: 'ChaCha20-Poly1305',
    seal: crypto.seal.bind(crypto),
    open: crypto.open.bind(crypto),
    other: chacha20poly1305,
    nonceBytes: 12,
    // RFC 8439, section 2.8.2
    nonce: '070000004041424344454647',
    expected:
      'd31a8d34648e60db7b86afbc53ef7ec2a4aded51296e08fea9e2b5a736ee62d63dbea45e8ca9671282fafb69da92728b' +
      '1a71de0a9e060b2905d6a5b67ecd3b3692ddbd7f2d778b8c9803aee328091b58fab324e4fad675945585808b4831d7bc' +
      '3ff4def08e4b7a9de576d26586cec64b61161ae10b594f09e26a7e902ecbd0600691',
  },
  {
    name: 'XChaCha20-Poly1305',
    seal: crypto.xseal.bind(crypto),
    open: crypto.xopen.bind(crypto),
    other: xchacha20poly1305,
    nonceBytes: 24,
    // draft-irtf-cfrg-xchacha-03, appendix A.3.1
    nonce: '404142434445464748494a4b4c4d4e4f5051525354555657',
    expected:
      'bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb731c7f1b0b4aa6440bf3a82f4eda7e39' +
      'ae64c6708c54c216cb96b72e1213b4522f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9' +
      '21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49',
  },
];

for (const { name, seal, open, other, nonceBytes, nonce, expected } of aeads)
  describe(name, () => {
    const key = Uint8Array.from({ length: 32 }, (_, i) => 0x80 + i);

    test('the published vector', () => {
      const ad = unhex('50515253c0c1c2c3c4c5c6c7');
      const sealed = new Uint8Array(SUNSCREEN.length + 16);
      seal(sealed, key, unhex(nonce), SUNSCREEN, ad);
      assert.equal(hex(sealed), expected);
      const opened = new Uint8Array(SUNSCREEN.length);
      assert.ok(open(opened, key, unhex(nonce), sealed, ad));
      assert.deepEqual(opened, SUNSCREEN);
    });

    test('agrees with @noble/ciphers at the edges of blocks', () => {
      withSeed((random) => {
        for (const length of LENGTHS)
          for (const adLength of [0, 1, 15, 16, 17, 32, 64, 65]) {
            const n = random.bytes(nonceBytes);
            const k = random.bytes(32);
            const plaintext = random.bytes(length);
            const ad = random.bytes(adLength);
            const sealed = new Uint8Array(length + 16);
            seal(sealed, k, n, plaintext, ad);
            assert.equal(hex(sealed), hex(other(k, n, ad).encrypt(plaintext)));
            const opened = new Uint8Array(length);
            assert.ok(open(opened, k, n, sealed, ad));
            assert.deepEqual(opened, plaintext);
          }
      });
    });

    test('opens nothing that has one bit changed, is shorter, or has another nonce, key or AD', () => {
      withSeed((random) => {
        for (const length of [0, 1, 12, 16, 32, 65]) {
          const n = random.bytes(nonceBytes);
          const ad = random.bytes(32);
          const plaintext = random.bytes(length);
          const sealed = new Uint8Array(length + 16);
          seal(sealed, key, n, plaintext, ad);
          const fails = (
            ciphertext: Uint8Array,
            what: string,
            withKey: Uint8Array = key,
            withNonce: Uint8Array = n,
            withAd: Uint8Array = ad,
          ): void => {
            const to = new Uint8Array(Math.max(0, ciphertext.length - 16)).fill(0xaa);
            assert.equal(open(to, withKey, withNonce, ciphertext, withAd), false, what);
            assert.ok(
              to.every((byte) => byte === 0),
              `${what}: what is refused is not handed out`,
            );
          };
          for (let bit = 0; bit < sealed.length * 8; bit++) fails(flip(sealed, bit), `bit ${String(bit)}`);
          for (let to = 0; to < sealed.length; to++) fails(sealed.subarray(0, to), `the first ${String(to)} bytes`);
          fails(concat(sealed, Uint8Array.of(0)), 'a byte more');
          fails(sealed, 'key', flip(key, random.below(256)));
          fails(sealed, 'nonce', key, flip(n, random.below(nonceBytes * 8)));
          fails(sealed, 'AD', key, n, flip(ad, random.below(256)));
          fails(sealed, 'shorter AD', key, n, ad.subarray(1));
          const to = new Uint8Array(length);
          assert.ok(open(to, key, n, sealed, ad), 'the right one opens after all these');
          assert.deepEqual(to, plaintext);
        }
      });
    });

    test('refuses outputs, keys and nonces of other lengths', () => {
      const n = new Uint8Array(nonceBytes);
      const none = new Uint8Array(0);
      assert.throws(() => {
        seal(new Uint8Array(15), key, n, none, none);
      }, RangeError);
      assert.throws(() => {
        seal(new Uint8Array(16), key.subarray(1), n, none, none);
      }, RangeError);
      assert.throws(() => {
        seal(new Uint8Array(16), key, n.subarray(1), none, none);
      }, RangeError);
      assert.throws(() => open(new Uint8Array(1), key, n, new Uint8Array(16), none), RangeError);
    });
  });

function flip(bytes: Uint8Array, bit: number): Uint8Array {
  const changed = bytes.slice();
  changed[bit >> 3] ^= 1 << (bit & 7);
  return changed;
}

test('equal compares whole contents and lengths', () => {
  const random = new SeededRandom(1);
  const bytes = random.bytes(16);
  assert.ok(crypto.equal(bytes, bytes.slice()));
  for (let bit = 0; bit < 128; bit++) assert.equal(crypto.equal(bytes, flip(bytes, bit)), false);
  assert.equal(crypto.equal(bytes, bytes.subarray(0, 15)), false);
  assert.ok(crypto.equal(new Uint8Array(0), new Uint8Array(0)));
});

test('random bytes differ from call to call, whatever their number', () => {
  const seen = new Set<string>();
  for (let i = 0; i < 1000; i++) {
    const bytes = new Uint8Array(24);
    crypto.random(bytes);
    seen.add(hex(bytes));
  }
  assert.equal(seen.size, 1000);
  const many = new Uint8Array(10_000);
  crypto.random(many);
  const ones = many.reduce((sum, byte) => sum + byte.toString(2).replaceAll('0', '').length, 0);
  assert.ok(Math.abs(ones - 40_000) < 1_000, `${String(ones)} of 80,000 bits are set`);
});
