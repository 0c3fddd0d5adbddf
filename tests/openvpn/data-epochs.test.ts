import assert from 'node:assert/strict';
import { createCipheriv } from 'node:crypto';
import { test } from 'node:test';
import { DATA_LIMITS } from '@sallyport/openvpn';
import { expandLabel } from '../../packages/openvpn/src/data/epochs.ts';
import { EPOCHS_BYTES, KEY_BYTES, KEY_EPOCHS, SESSION_KEYS } from '../../packages/openvpn/src/data/layout.ts';
import { hmac, ip, material, pair, type DataEnd } from './data-end.ts';

const EPOCH = { cipher: 'AES-256-GCM', format: 'epoch' } as const;

/** Seals as the client of material(1) would, by HKDF as RFC 5869 and RFC 8446 describe it. */
function sealBy(epoch: number, counter: number, payload: Uint8Array): Buffer {
  const expand = (secret: Uint8Array, name: string, bytes: number): Uint8Array => {
    const info = Buffer.concat([
      Buffer.from([0, bytes, 5 + name.length]),
      Buffer.from(`ovpn ${name}`),
      Buffer.from([0, 1]),
    ]);
    return hmac.hmac('sha256', secret, [info]).subarray(0, bytes);
  };
  let secret = material(1).subarray(0, 32);
  for (let i = 1; i < epoch; i++) secret = expand(secret, 'datakey upd', 32);
  const header = Buffer.alloc(12);
  header[0] = 9 << 3;
  header.writeUInt16BE(epoch, 4);
  header.writeUIntBE(counter, 6, 6);
  const nonce = Buffer.from(expand(secret, 'data_iv', 12));
  for (let i = 0; i < 8; i++) nonce[i] ^= header[4 + i];
  const cipher = createCipheriv('aes-256-gcm', expand(secret, 'data_key', 32), nonce);
  cipher.setAAD(header);
  return Buffer.concat([header, cipher.update(payload), cipher.final(), cipher.getAuthTag()]);
}

let now = 10_000;

/** Does as a session half does, a good while after the last time. */
function settle(end: DataEnd): void {
  now += DATA_LIMITS.epochSpacingMs;
  for (const session of end.attended.splice(0)) assert.equal(end.sessions.attend(session, now), undefined);
}

function epochsOf(end: DataEnd): number[] {
  return end.datagrams.splice(0).map(({ bytes }) => Buffer.from(bytes).readUInt16BE(4));
}

test('labels expand as by the KDF of TLS 1.3 with another prefix', () => {
  // openssl kdf -keylen 12 -kdfopt digest:SHA2-256 -kdfopt mode:EXPAND_ONLY -kdfopt hexkey:4141…
  //   -kdfopt prefix:'ovpn ' -kdfopt label:data_iv TLS13-KDF
  const secret = new Uint8Array(32).fill(0x41);
  for (const [name, expected] of [
    ['data_iv', '4fcceb9e2825a4db0de43d43'],
    ['datakey upd', '74813cd207a7cf8d5a6bdc40f1e30afbf7f040ccdebf911a0a877a9cc0da4b81'],
  ])
    assert.equal(Buffer.from(expandLabel(hmac, secret, name, expected.length / 2)).toString('hex'), expected);
});

test('four epochs ahead open, further ones do not, and what the peer goes over to is followed', () => {
  const { server, s } = pair(EPOCH);
  server.open([sealBy(1, 1, ip(40)), sealBy(6, 1, ip(40)), sealBy(0, 2, ip(40))]);
  assert.deepEqual(server.drops, ['unknownReceiver', 'unknownReceiver']);
  settle(server);
  server.open([sealBy(5, 1, ip(41)), sealBy(1, 2, ip(42)), sealBy(5, 1, ip(41))]);
  assert.equal(server.opened.length, 3, 'the epoch before still opens');
  assert.equal(server.drops.at(-1), 'replayed');
  server.seal(s, [ip(9)]);
  assert.deepEqual(epochsOf(server), [1]);
  settle(server);
  server.seal(s, [ip(9)]);
  assert.deepEqual(epochsOf(server), [5], 'we send by the newer epoch too');
  server.open([sealBy(9, 1, ip(40))]);
  settle(server);
  server.open([sealBy(5, 2, ip(40)), sealBy(1, 3, ip(40)), sealBy(4, 3, ip(40)), sealBy(10, 1, ip(40))]);
  assert.equal(server.opened.length, 6);
  assert.deepEqual(server.drops.slice(3), ['unknownReceiver', 'unknownReceiver']);
  assert.ok(server.erased > 0, 'ciphers forget keys that changed');
});

test('each epoch has a replay window of its own', () => {
  const { server } = pair(EPOCH);
  server.open([sealBy(1, 70_000, ip(40)), sealBy(2, 1, ip(40)), sealBy(2, 2, ip(40)), sealBy(1, 69_999, ip(40))]);
  server.open([sealBy(1, 70_000, ip(40)), sealBy(2, 1, ip(40)), sealBy(1, 100, ip(40))]);
  assert.equal(server.opened.length, 4);
  assert.deepEqual(server.drops, ['replayed', 'replayed', 'replayed']);
  server.open([sealBy(3, 1, ip(40)), sealBy(2, 3, ip(40)), sealBy(1, 69_998, ip(40))]);
  assert.equal(server.opened.length, 6);
  assert.equal(server.drops.length, 4, 'epoch 1 is over');
});

test('counters have 48 bits', () => {
  const { server } = pair(EPOCH);
  server.open([sealBy(1, 2 ** 48 - 1, ip(40)), sealBy(1, 2 ** 48 - 2, ip(40)), sealBy(1, 2 ** 48 - 1, ip(40))]);
  assert.equal(server.opened.length, 2);
  assert.deepEqual(server.drops, ['replayed']);
});

test('an epoch that is nearly used up is followed by the next, and a key exchange is asked for near the last', () => {
  const limits = { ...DATA_LIMITS, use: 60, renewUse: 30, renewEpoch: 8 };
  const { server, client, s, c } = pair(EPOCH, { limits });
  const seen = new Set<number>();
  for (let i = 0; i < 60; i++) {
    const sealed = client.seal(c, [ip(32), ip(33)]);
    settle(client);
    server.open(sealed);
    settle(server);
    client.open(server.seal(s, [ip(20)]));
    settle(client);
    for (const epoch of epochsOf(client)) seen.add(epoch);
  }
  assert.equal(server.opened.length, 120, 'nothing is lost on the way');
  assert.equal(client.opened.length, 60);
  assert.deepEqual(client.undelivered, []);
  assert.ok(seen.size >= 7, `${String(seen.size)} epochs`);
  assert.equal(client.sessions.wornOut(c, 0), true);
});

test('where the session half does not answer, nothing is sent past the limit', () => {
  const { client, c } = pair(EPOCH, { limits: { ...DATA_LIMITS, use: 60, renewUse: 30 } });
  for (let i = 0; i < 40; i++) client.seal(c, [ip(32)]);
  assert.equal(client.datagrams.length, 20);
  assert.equal(new Set(client.datagrams.map(({ bytes }) => Buffer.from(bytes).readUIntBE(4, 6))).size <= 20, true);
  settle(client);
  assert.equal(client.seal(c, [ip(32)]).length, 1);
});

test('who is sent to for long by one epoch answers by a newer one, once', () => {
  const { server, client, s, c } = pair(EPOCH, { limits: { ...DATA_LIMITS, renewUse: 30 } });
  for (let i = 0; i < 40; i++) {
    const sealed = client.seal(c, [ip(32)]);
    client.attended.length = 0; // this client knows no limit
    server.open(sealed);
    settle(server);
  }
  server.seal(s, [ip(9)]);
  assert.deepEqual(epochsOf(server), [2]);
});

test('forged datagrams move no epoch', () => {
  const { server } = pair(EPOCH);
  const forged = sealBy(3, 1, ip(40));
  forged[20] ^= 1;
  server.open([sealBy(1, 1, ip(40))]);
  settle(server);
  server.open([forged]);
  assert.deepEqual(server.attended, []);
  server.open([sealBy(1, 2, ip(40)), sealBy(5, 1, ip(40)), sealBy(1, 3, ip(40))]);
  assert.equal(server.opened.length, 4);
});

test('who sends alone goes no further ahead than it can be answered by, and goes on with the answer', () => {
  const limits = { ...DATA_LIMITS, renewUse: 10 };
  const { server, client, s, c } = pair(EPOCH, { limits });
  const sendAlone = (): number[] => {
    const epochs: number[] = [];
    for (let i = 0; i < 40; i++) {
      const sealed = server.seal(s, [ip(100)]);
      epochs.push(...epochsOf(server));
      settle(server);
      client.open(sealed);
      settle(client);
    }
    return [...new Set(epochs)];
  };
  assert.deepEqual(sendAlone(), [1, 2, 3, 4]);
  assert.equal(client.opened.length, 40);
  server.open(client.seal(c, [ip(40)]));
  settle(server);
  assert.deepEqual(server.drops, [], 'the answer, by the next one, opens');
  assert.deepEqual(sendAlone(), [5, 6, 7, 8]);
  server.open(client.seal(c, [ip(40)]));
  assert.deepEqual(server.drops, []);
  assert.equal(client.opened.length, 80);
});

test('a peer that goes to a further epoch with every packet takes the session on once a second', () => {
  const { server, s } = pair(EPOCH, { kind: 'real' });
  now += 10_000;
  const start = now;
  server.open([sealBy(1, 1, ip(40))]);
  assert.equal(server.sessions.attend(s, now), undefined);
  server.attended.length = 0;
  server.open([sealBy(5, 1, ip(40))]);
  assert.deepEqual(server.attended.splice(0), [s]);
  assert.equal(server.sessions.attend(s, now), undefined);
  const exclusives = server.exclusives;
  server.open([sealBy(9, 1, ip(40))]);
  assert.deepEqual(server.attended.splice(0), [s]);
  assert.equal(server.sessions.attend(s, ++now), start + 1000, 'it is asked for once more when it is time');
  for (let i = 2; i < 100; i++) server.open([sealBy(9, i, ip(40)), sealBy(10, i, ip(40)), sealBy(13, i, ip(40))]);
  assert.deepEqual(server.attended, [], 'and not with every packet until then');
  assert.equal(server.exclusives, exclusives, 'no thread waits');
  assert.equal(server.opened.length, 101, 'what is sealed by epochs that have keys opens meanwhile');
  assert.equal(server.sessions.attend(s, start + 1000), undefined);
  server.open([sealBy(13, 1, ip(40))]);
  assert.equal(server.opened.length, 102);
  assert.deepEqual(server.attended, [s]);
});

test('keys are derived while the other threads go on, and only those of this key are erased', () => {
  const { server, s } = pair(EPOCH);
  server.open([sealBy(1, 1, ip(40)), sealBy(5, 1, ip(40))]);
  server.hmacsInside = 0;
  server.erasedRegions.length = 0;
  settle(server);
  server.open([sealBy(9, 1, ip(40))]);
  assert.equal(server.opened.length, 3);
  assert.equal(server.hmacsInside, 0);
  const key = server.memory.u32[(s + SESSION_KEYS) >> 2];
  const epochs = server.memory.u32[(key + KEY_EPOCHS) >> 2];
  assert.deepEqual(server.erasedRegions, [
    [key, key + KEY_BYTES],
    [epochs, epochs + EPOCHS_BYTES],
  ]);
});
