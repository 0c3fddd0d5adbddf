import assert from 'node:assert/strict';
import { test } from 'node:test';
import { withSeed } from '@sallyport/testkit';
import { decodeBase64Key, decodeHexKey, encodeBase64Key, encodeHexKey, isZeroKey } from '@sallyport/wireguard';

function decodeHex(text: string): Uint8Array | undefined {
  const bytes = new TextEncoder().encode(text);
  return decodeHexKey(bytes, 0, bytes.length);
}

test('keys are written as Buffer writes them, and read back', () => {
  withSeed((random) => {
    for (let i = 0; i < 2000; i++) {
      const key = random.bytes(32);
      const hex = Buffer.from(key).toString('hex');
      const base64 = Buffer.from(key).toString('base64');
      assert.equal(encodeHexKey(key), hex);
      assert.equal(encodeBase64Key(key), base64);
      assert.deepEqual(decodeHex(hex), key);
      assert.deepEqual(decodeHex(hex.toUpperCase()), key);
      assert.deepEqual(decodeBase64Key(base64), key);
    }
  });
});

test('every character that is no digit is refused, at every place', () => {
  const hex = 'a1'.repeat(32);
  const base64 = Buffer.alloc(32, 0x5a).toString('base64');
  for (let code = 0; code < 256; code++) {
    const character = String.fromCharCode(code);
    for (const at of [0, 1, 31, 63]) {
      const bytes = Buffer.from(hex);
      bytes[at] = code;
      assert.equal(decodeHexKey(bytes, 0, 64) !== undefined, /^[0-9a-f]$/i.test(character), `hex ${code} at ${at}`);
    }
    for (const at of [0, 1, 2, 3, 41]) {
      const text = base64.slice(0, at) + character + base64.slice(at + 1);
      assert.equal(decodeBase64Key(text) !== undefined, /^[A-Za-z0-9+/]$/.test(character), `base64 ${code} at ${at}`);
    }
  }
});

test('keys of another length, and base64 with bits left over, are refused', () => {
  const base64 = Buffer.alloc(32, 0xff).toString('base64');
  assert.equal(base64.at(-2), '8');
  assert.equal(decodeBase64Key(`${base64.slice(0, -2)}9=`), undefined);
  assert.equal(decodeBase64Key(`${base64.slice(0, -2)}/=`), undefined);
  for (const text of [
    '',
    '=',
    base64.slice(0, -1),
    `${base64}=`,
    ` ${base64}`,
    `${base64}\n`,
    `${base64.slice(0, -2)}==`,
  ]) {
    assert.equal(decodeBase64Key(text), undefined, text);
  }
  for (const length of [0, 63, 65, 66]) assert.equal(decodeHex('0'.repeat(length)), undefined);
});

test('a key of zeros is told apart', () => {
  assert.equal(isZeroKey(new Uint8Array(32)), true);
  for (let i = 0; i < 32; i++)
    assert.equal(isZeroKey(Uint8Array.from({ length: 32 }, (_, j) => (i === j ? 128 : 0))), false);
});
