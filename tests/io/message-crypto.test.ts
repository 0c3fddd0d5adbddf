import assert from 'node:assert/strict';
import { createCipheriv, createHmac, randomBytes } from 'node:crypto';
import { test } from 'node:test';
import { MessageCrypto, type HmacHash } from '@sallyport/io';

const hashes: readonly HmacHash[] = ['md5', 'sha1', 'sha256', 'sha512'];
const crypto = new MessageCrypto();

test('HMACs are those of node:crypto, whatever the lengths, one hash after another', () => {
  for (const keyBytes of [0, 1, 20, 32, 64, 65, 128])
    for (const lengths of [[], [0], [1], [17, 600], [8, 0, 25, 1200], [65_535, 300]])
      for (const hash of hashes) {
        const key = randomBytes(keyBytes);
        const parts = lengths.map((length) => randomBytes(length));
        const expected = createHmac(hash, key).update(Buffer.concat(parts)).digest();
        assert.deepEqual(Buffer.from(crypto.hmac(hash, key, parts)), expected, `${hash}, ${String(lengths)}`);
      }
});

test('AES-256-CTR is that of node:crypto, over the carry of its counter too', () => {
  for (const iv of [randomBytes(16), Buffer.alloc(16, 0xff), Buffer.from('00000000ffffffffffffffffffffffff', 'hex')])
    for (const length of [0, 1, 15, 16, 17, 288, 1200, 65_535]) {
      const [key, data] = [randomBytes(32), randomBytes(length)];
      const expected = createCipheriv('aes-256-ctr', key, iv).update(data);
      const made = crypto.aes256ctr(key, iv, data);
      assert.deepEqual(Buffer.from(made), expected, String(length));
      assert.deepEqual(Buffer.from(crypto.aes256ctr(key, iv, made)), data, String(length));
    }
});

test('what it has no room for is refused, and it works on', () => {
  const [key, iv] = [randomBytes(32), randomBytes(16)];
  assert.throws(() => crypto.hmac('sha256', randomBytes(129), []), RangeError);
  assert.throws(() => crypto.hmac('sha256', key, [randomBytes(131_072)]), RangeError);
  assert.throws(() => crypto.aes256ctr(randomBytes(16), iv, key), RangeError);
  assert.throws(() => crypto.aes256ctr(key, randomBytes(12), key), RangeError);
  assert.throws(() => crypto.aes256ctr(key, iv, randomBytes(131_072)), RangeError);
  assert.deepEqual(Buffer.from(crypto.hmac('sha1', key, [iv])), createHmac('sha1', key).update(iv).digest());
});
