import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { createHash, randomBytes, X509Certificate } from 'node:crypto';
import { test } from 'node:test';
import { inspect } from 'node:util';
import { createJoinToken, createLinkIdentity, hashToken, loadLinkIdentity, parseJoinToken } from '@sallyport/link';

test('an identity is named by the hash of its key, as openssl computes it', () => {
  const identity = createLinkIdentity('control, CN=other');
  const certificate = new X509Certificate(identity.certificatePem);
  assert.ok(certificate.verify(certificate.publicKey));
  assert.ok(certificate.validToDate.getUTCFullYear() === 9999);
  const spki = execFileSync('openssl', ['x509', '-pubkey', '-noout'], { input: identity.certificatePem });
  const der = execFileSync('openssl', ['pkey', '-pubin', '-outform', 'DER'], { input: spki });
  assert.equal(identity.keyHash, createHash('sha256').update(der).digest('hex'));
  assert.deepEqual(loadLinkIdentity(identity).keyHash, identity.keyHash);
  assert.notEqual(createLinkIdentity('control').keyHash, identity.keyHash);
  assert.ok(!inspect(identity).includes('PRIVATE') && !JSON.stringify(identity).includes('PRIVATE'));
});

test("parts that don't belong together are refused", () => {
  const one = createLinkIdentity('one');
  const other = createLinkIdentity('other');
  assert.throws(() => loadLinkIdentity({ ...one, privateKeyPem: other.privateKeyPem }), /belong together/);
  assert.throws(() => loadLinkIdentity({ ...one, certificatePem: 'x' }));
});

test('a join token holds its secret and whom to give it to', () => {
  const secret = randomBytes(24);
  const keyHash = randomBytes(32).toString('hex');
  const token = createJoinToken(secret, keyHash);
  assert.match(token, /^spj_[A-Za-z0-9_-]{32}\.[0-9a-f]{32}$/);
  assert.deepEqual(parseJoinToken(`${token}\n`), {
    secret: `spj_${secret.toString('base64url')}`,
    keyHashPrefix: keyHash.slice(0, 32),
  });
  assert.equal(hashToken(`${token}\n`), hashToken(token));
  assert.match(hashToken(token), /^[0-9a-f]{64}$/);
  for (const bad of [
    '',
    'spj_',
    token.slice(1),
    token.slice(0, -1),
    `${token}0`,
    token.replace('.', ':'),
    token.toUpperCase(),
  ])
    // prettier-ignore
    assert.equal(parseJoinToken(bad), undefined, bad);
  assert.throws(() => createJoinToken(randomBytes(23), keyHash), RangeError);
  assert.throws(() => createJoinToken(secret, 'ff'), RangeError);
});
