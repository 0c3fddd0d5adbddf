/** Preshared keys by ML-KEM-768: what both ends make of it, when it is made anew, and what is kept. */
import assert from 'node:assert/strict';
import { createPublicKey, encapsulate, generateKeyPairSync, hkdfSync, randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { AgreedKeyStore, KeyAgreement, presharedKey } from '@sallyport/clientd';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-keys-'));
after(() => {
  rmSync(folder, { recursive: true });
});
const gatewayKey = randomBytes(32).toString('base64');
const deviceKey = randomBytes(32).toString('base64');

/** SubjectPublicKeyInfo of ML-KEM-768 (RFC 9935), before the key. */
const SPKI = generateKeyPairSync('ml-kem-768').publicKey.export({ format: 'der', type: 'spki' }).subarray(0, -1184);

/** The gateway's end, as docs/protocols/post-quantum.md has it. */
function gatewayAnswers(encapsulationKey: Uint8Array): { ciphertext: Uint8Array; key: Buffer } {
  const publicKey = createPublicKey({ key: Buffer.concat([SPKI, encapsulationKey]), format: 'der', type: 'spki' });
  const { ciphertext, sharedKey } = encapsulate(publicKey);
  const info = Buffer.concat([Buffer.from('sallyport psk v1'), Buffer.from(gatewayKey, 'base64'), Buffer.from(deviceKey, 'base64')]); // prettier-ignore
  return { ciphertext, key: Buffer.from(hkdfSync('sha256', sharedKey, '', info, 32)) };
}

function agreement(
  store: AgreedKeyStore,
  answers: boolean,
  agreed: (key: Uint8Array) => void,
): { look: (agreed: boolean) => Promise<void>; requests: () => number; keys: Buffer[] } {
  // prettier-ignore
  const keys: Buffer[] = [];
  let requests = 0;
  let done: () => void = () => undefined;
  const service = {
    requestKey: (encapsulationKey: Uint8Array) => {
      requests++;
      if (!answers) return Promise.resolve(undefined);
      const { ciphertext, key } = gatewayAnswers(encapsulationKey);
      keys.push(key);
      return Promise.resolve(ciphertext);
    },
  } as unknown as ConstructorParameters<typeof KeyAgreement>[0]['service'];
  const made = new KeyAgreement({
    service,
    gatewayKey,
    deviceKey,
    store,
    onAgreed: (key) => {
      agreed(key.slice());
      done();
    },
    onFault: assert.fail,
  });
  const look = async (is: boolean): Promise<void> => {
    const before = requests;
    const finished = new Promise<void>((resolve) => {
      done = resolve;
    });
    made.look(is);
    if (requests === before) return;
    if (answers) await finished;
    await new Promise((resolve) => setImmediate(resolve));
  };
  return { look, requests: () => requests, keys };
}

test('both ends have the same key, which nobody else can make', async () => {
  const store = new AgreedKeyStore(join(folder, 'same.json'));
  const got: Uint8Array[] = [];
  const { look, keys } = agreement(store, true, (key) => got.push(key));
  await look(false);
  assert.deepEqual(
    got,
    keys.map((key) => new Uint8Array(key)),
  );
  const shared = randomBytes(32);
  assert.notDeepEqual(presharedKey(shared, gatewayKey, deviceKey), presharedKey(shared, deviceKey, gatewayKey));
  assert.throws(() => presharedKey(shared, 'short', deviceKey), TypeError);
});

test('a key that is in use is kept; one that the gateway has lost is made anew, but not at once', async () => {
  const store = new AgreedKeyStore(join(folder, 'kept.json'));
  const { look, requests } = agreement(store, true, () => undefined);
  await look(false);
  for (let i = 0; i < 10; i++) await look(i % 2 === 0);
  assert.equal(requests(), 1);
  // As long ago as a key lasts.
  await store.add(gatewayKey, randomBytes(32), Date.now() - 31 * 60_000);
  await look(true);
  assert.equal(requests(), 2);
});

test('who is not answered asks again later, not at once', async () => {
  const store = new AgreedKeyStore(join(folder, 'silent.json'));
  const { look, requests } = agreement(store, false, () => assert.fail('nothing was agreed'));
  for (let i = 0; i < 5; i++) await look(false);
  assert.equal(requests(), 1);
});

test('the last two keys of a gateway outlive the daemon, for root alone', async () => {
  const path = join(folder, 'store.json');
  const store = new AgreedKeyStore(path);
  const [one, two, three] = [randomBytes(32), randomBytes(32), randomBytes(32)];
  for (const key of [one, two, three]) await store.add(gatewayKey, key, 5);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  const next = new AgreedKeyStore(path);
  await next.load();
  assert.deepEqual(
    next.keysOf(gatewayKey),
    [two, three].map((key) => new Uint8Array(key)),
  );
  assert.equal(next.agreedAt(gatewayKey), 5);
  assert.deepEqual(next.keysOf('another'), []);
  for (let i = 0; i < 40; i++) await next.add(`gateway ${String(i)}`, one, 10 + i);
  assert.deepEqual(next.keysOf(gatewayKey), [], 'the oldest are forgotten');
  await next.clear();
  await store.load();
  assert.deepEqual(store.keysOf(gatewayKey), []);
});
