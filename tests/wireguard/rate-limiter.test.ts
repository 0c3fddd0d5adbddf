import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandshakeCrypto } from '../../packages/io/src/openssl/wireguard-crypto.ts';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';
import { PACKETS_BURSTABLE, PACKETS_PER_SECOND, RateLimiter } from '../../packages/wireguard/src/rate-limiter.ts';
import { unhex } from './reference-crypto.ts';

const crypto = new HandshakeCrypto();
const PORT = '1234';
const A = unhex('c0000201' + PORT);
const B = unhex('c0000202' + PORT);
const A6 = unhex('20010db8000000010000000000000001' + PORT);
const SAME_64 = unhex('20010db800000001ffffffffffffffff' + '4321');
const OTHER_64 = unhex('20010db8000000020000000000000001' + PORT);

/** How many of `messages` at `now` are allowed. */
function allowed(limiter: RateLimiter, source: Uint8Array, now: number, messages: number): number {
  let count = 0;
  for (let i = 0; i < messages; i++) if (limiter.allow(source, now)) count++;
  return count;
}

test('a burst of 5, then 20 a second', () => {
  const limiter = new RateLimiter(crypto, 64);
  assert.equal(allowed(limiter, A, 1000, 10), PACKETS_BURSTABLE);
  assert.equal(allowed(limiter, A, 1049, 10), 0);
  assert.equal(allowed(limiter, A, 1050, 10), 1);
  assert.equal(allowed(limiter, A, 1150, 10), 2);
  assert.equal(allowed(limiter, A, 60_000, 10), PACKETS_BURSTABLE, 'no more than the burst is saved up');
});

test('one source that never stops gets 20 a second, also while it is refused most of the time', () => {
  withSeed((random) => {
    const limiter = new RateLimiter(crypto, 64);
    let count = 0;
    let now = 0;
    while (now < 10_000) {
      if (limiter.allow(A, now)) count++;
      now += random.below(1000) / 250;
    }
    const expected = PACKETS_PER_SECOND * 10 + PACKETS_BURSTABLE;
    assert.ok(count <= expected && count >= expected - 2, String(count));
  });
});

test('an IPv4 address counts whatever its port, an IPv6 address with its whole /64', () => {
  const limiter = new RateLimiter(crypto, 64);
  assert.equal(allowed(limiter, A, 0, 9), PACKETS_BURSTABLE);
  assert.equal(allowed(limiter, unhex('c0000201' + '9999'), 0, 9), 0);
  assert.equal(allowed(limiter, B, 0, 9), PACKETS_BURSTABLE);
  assert.equal(allowed(limiter, A6, 0, 9), PACKETS_BURSTABLE);
  assert.equal(allowed(limiter, SAME_64, 0, 9), 0);
  assert.equal(allowed(limiter, OTHER_64, 0, 9), PACKETS_BURSTABLE);
});

function source(i: number): Uint8Array {
  const bytes = new Uint8Array(6);
  new DataView(bytes.buffer).setUint32(0, i);
  return bytes;
}

test('the table is bounded: what finds no place is refused, and finds one a second later', () => {
  const limiter = new RateLimiter(crypto, 4);
  let admitted = 0;
  for (let i = 0; i < 1000; i++) if (limiter.allow(source(i), 0)) admitted++;
  assert.equal(admitted, 4 * 8);
  for (let i = 1000; i < 2000; i++) assert.equal(limiter.allow(source(i), 1000), false);
  admitted = 0;
  for (let i = 2000; i < 3000; i++) if (limiter.allow(source(i), 1001)) admitted++;
  assert.equal(admitted, 4 * 8);
});

test('who is in a full table keeps its place and its tokens', () => {
  const limiter = new RateLimiter(crypto, 1);
  assert.ok(limiter.allow(A, 0));
  for (let i = 0; i < 100; i++) limiter.allow(source(i), 0);
  assert.equal(allowed(limiter, A, 0, 9), PACKETS_BURSTABLE - 1);
});

test('thousands of sources at once are told apart', () => {
  const limiter = new RateLimiter(crypto);
  for (let i = 0; i < 5000; i++) assert.equal(allowed(limiter, source(i), 0, 6), PACKETS_BURSTABLE);
});
