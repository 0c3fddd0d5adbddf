/** Login tokens: what the control plane signs, and everything else that is none. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, sign } from 'node:crypto';
import { test } from 'node:test';
import { isLoginToken, signLoginToken, signState, verifyLoginToken } from '@sallyport/link';

const NOW = 1_800_000_000_000;
const HOUR_MS = 3_600_000;
const { privateKey, publicKey } = generateKeyPairSync('ed25519');
const login = { deviceId: 'd', loginEpoch: 'e', loginAt: NOW + 999, endsAt: NOW + 12 * HOUR_MS + 999 };
const token = signLoginToken(login, privateKey);

test('a token counts until its end, to the second, for its device and epoch alone', () => {
  assert.ok(isLoginToken(token));
  assert.equal(token.length, 112);
  assert.ok(`auth-token ${token}`.length <= 255);
  const end = NOW + 12 * HOUR_MS;
  for (const [now, counts] of [
    // Of a gateway whose clock is behind.
    [NOW - HOUR_MS, true],
    [NOW, true],
    [end - 1, true],
    [end, false],
    [Infinity, false],
  ] as const)
    assert.equal(verifyLoginToken(token, login, publicKey, now), counts, String(now));
  assert.ok(!verifyLoginToken(token, { ...login, deviceId: 'D' }, publicKey, NOW));
  for (const loginEpoch of ['', 'f', 'e ', 'e","x']) assert.ok(!verifyLoginToken(token, { ...login, loginEpoch }, publicKey, NOW)); // prettier-ignore
  // What is written beside each other is not taken for one another.
  const joined = signLoginToken({ ...login, deviceId: 'a', loginEpoch: 'bc' }, privateKey);
  assert.ok(!verifyLoginToken(joined, { deviceId: 'ab', loginEpoch: 'c' }, publicKey, NOW));
});

test('with any letter changed, cut, lengthened, or signed by another key, it is none', () => {
  assert.ok(!verifyLoginToken(token, login, generateKeyPairSync('ed25519').publicKey, NOW));
  assert.ok(!verifyLoginToken(signLoginToken(login, generateKeyPairSync('ed25519').privateKey), login, publicKey, NOW));
  for (let i = 0; i < token.length - 1; i++) {
    const changed = token.slice(0, i) + (token[i] === 'A' ? 'B' : 'A') + token.slice(i + 1);
    assert.ok(!verifyLoginToken(changed, login, publicKey, NOW), String(i));
  }
  for (const text of [
    '',
    'SPTOKEN-2-',
    token.slice(0, -1),
    `${token}A`,
    token.slice(0, -1) + '\u{1f511}',
    'x'.repeat(112),
  ])
    // prettier-ignore
    assert.ok(!verifyLoginToken(text, login, publicKey, NOW), text);
});

test('a later end, or a signature made for another purpose, does not do', () => {
  const bytes = Buffer.from(token.slice('SPTOKEN-2-'.length), 'base64url');
  const longer = Buffer.from(bytes);
  longer.writeUIntBE(NOW / 1000 + 1_000_000, 6, 6);
  assert.ok(!verifyLoginToken(`SPTOKEN-2-${longer.toString('base64url')}`, login, publicKey, NOW));
  const empty = { putGroups: [], removeGroups: [], putDevices: [], removeDevices: [] };
  const state = signState({ gatewayId: 'd', version: 1, base: 0, change: empty }, privateKey).signature;
  const plain = sign(null, bytes.subarray(0, 12), privateKey).toString('base64');
  for (const signature of [state, plain]) {
    const text = Buffer.concat([bytes.subarray(0, 12), Buffer.from(signature, 'base64')]).toString('base64url');
    assert.ok(!verifyLoginToken(`SPTOKEN-2-${text}`, login, publicKey, NOW));
  }
});
