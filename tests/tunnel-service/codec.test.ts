import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  decodeMessage,
  ENCAPSULATION_KEY_BYTES,
  encodeMessage,
  MAX_MESSAGE_BYTES,
  type TunnelServiceMessage,
} from '@sallyport/tunnel-service';
import { fuzzTunnelService, randomMessage } from '../fuzz/tunnel-service.ts';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';

test('what is encoded is decoded again', () => {
  withSeed((random) => {
    for (let i = 0; i < 3000; i++) {
      const message = randomMessage(random);
      const bytes = encodeMessage(message);
      assert.deepEqual(decodeMessage(bytes), message);
      // Also from the middle of a larger buffer, as datagrams come.
      const larger = new Uint8Array(bytes.length + 7);
      larger.set(bytes, 3);
      assert.deepEqual(decodeMessage(larger.subarray(3, 3 + bytes.length)), message);
    }
  });
});

test('the bytes are those of the document', () => {
  const hex = (message: TunnelServiceMessage): string => Buffer.from(encodeMessage(message)).toString('hex');
  const id = 0x0102030405060708n;
  assert.equal(hex({ kind: 'ping', id, padding: 3 }), '53500101' + '0102030405060708' + '000000');
  assert.equal(hex({ kind: 'pong', id, padding: 3, draining: true }), '53500102' + '0102030405060708' + '010000');
  assert.equal(hex({ kind: 'pathMtu', id, mtu: 1380 }), '53500105' + '0102030405060708' + '0564');
  assert.equal(hex({ kind: 'pathMtuTaken', id }), '53500106' + '0102030405060708');
  const key = new Uint8Array(ENCAPSULATION_KEY_BYTES).fill(7);
  assert.equal(hex({ kind: 'keyRequest', id, encapsulationKey: key }), '53500103' + '0102030405060708' + '07'.repeat(1184)); // prettier-ignore
});

test('bytes from the network are understood or refused, and answers are no longer than what they answer', () => {
  const { accepted, dropped } = fuzzTunnelService(20_000, 1);
  assert.ok(accepted > 2000 && dropped > 2000, `${String(accepted)} accepted, ${String(dropped)} dropped`);
});

test('other lengths, versions and kinds are refused', () => {
  const ping = encodeMessage({ kind: 'ping', id: 1n, padding: 1 });
  assert.ok(decodeMessage(ping) !== undefined);
  assert.equal(decodeMessage(ping.subarray(0, 12)), undefined);
  assert.equal(decodeMessage(new Uint8Array(0)), undefined);
  for (const [at, value] of [
    [0, 0x54],
    [1, 0],
    [2, 2],
    [3, 0],
    [3, 7],
  ] as const)
    // prettier-ignore
    assert.equal(decodeMessage(ping.with(at, value)), undefined);
  const request = encodeMessage({ kind: 'keyRequest', id: 1n, encapsulationKey: new Uint8Array(ENCAPSULATION_KEY_BYTES) }); // prettier-ignore
  assert.equal(decodeMessage(request.subarray(0, -1)), undefined);
  assert.equal(decodeMessage(new Uint8Array([...request, 0])), undefined);
  const long = new Uint8Array(MAX_MESSAGE_BYTES + 1);
  long.set(ping);
  assert.equal(decodeMessage(long), undefined);
  assert.equal(decodeMessage(long.subarray(1)), undefined);
  assert.ok(decodeMessage(long.subarray(0, -1)) !== undefined);
});

test('what can’t be said is an error of the caller’s', () => {
  for (const message of [
    { kind: 'ping', id: 1n, padding: 0 },
    { kind: 'ping', id: 1n, padding: MAX_MESSAGE_BYTES },
    { kind: 'ping', id: 1n << 64n, padding: 1 },
    { kind: 'pathMtu', id: -1n, mtu: 1400 },
    { kind: 'pathMtu', id: 1n, mtu: 65_536 },
    { kind: 'keyAnswer', id: 1n, ciphertext: new Uint8Array(ENCAPSULATION_KEY_BYTES) },
  ] as const)
    assert.throws(() => encodeMessage(message), RangeError, JSON.stringify({ ...message, id: String(message.id) }));
});
