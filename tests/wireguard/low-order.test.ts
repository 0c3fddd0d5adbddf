import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandshakeCrypto } from '../../packages/io/src/openssl/wireguard-crypto.ts';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';
import { isLowOrder } from '../../packages/wireguard/src/low-order.ts';
import { encodePoint, unhex, x25519 } from './reference-crypto.ts';

const P = 2n ** 255n - 19n;
const ORDER_8 = [
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
].map(unhex);

const LOW_ORDER = [...[0n, 1n, P - 1n, P, P + 1n].map(encodePoint), ...ORDER_8];

function withHighestBit(point: Uint8Array): Uint8Array {
  const changed = point.slice();
  changed[31] |= 0x80;
  return changed;
}

test('points of low order are known in every encoding, and DH with them is refused', () => {
  const crypto = new HandshakeCrypto();
  const privateKey = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  const key = crypto.importPrivateKey(privateKey);
  const shared = new Uint8Array(32);
  for (const point of LOW_ORDER)
    for (const encoding of [point, withHighestBit(point)]) {
      assert.ok(isLowOrder(encoding));
      assert.deepEqual(x25519(privateKey, encoding), new Uint8Array(32));
      assert.equal(key.agree(shared, encoding), false);
    }
  key.dispose();
});

test('the neighbours of those points, and public keys of all kinds, are not of low order', () => {
  const privateKey = Uint8Array.from({ length: 32 }, (_, i) => i + 1);
  for (const u of [2n, 3n, 9n, P - 2n, P + 2n, P + 18n]) {
    const point = encodePoint(u);
    assert.equal(isLowOrder(point), false);
    assert.notDeepEqual(x25519(privateKey, point), new Uint8Array(32));
  }
  for (const point of LOW_ORDER)
    for (let bit = 8; bit < 255; bit++) {
      const changed = point.slice();
      changed[bit >> 3] ^= 1 << (bit & 7);
      assert.equal(isLowOrder(changed), false);
    }
  withSeed((random) => {
    for (let i = 0; i < 1000; i++) assert.equal(isLowOrder(random.bytes(32)), false);
  });
});
