import assert from 'node:assert/strict';
import { test } from 'node:test';
import { HandshakePeer } from '../../packages/wireguard/src/handshake.ts';

const key = (n: number): Uint8Array => new Uint8Array(32).fill(n);
const isErased = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0);

test('an agreed key is erased when two newer ones have come, when it is taken back, and with its peer', () => {
  const peer = new HandshakePeer(key(9));
  peer.presharedKey = key(7);
  const [first, second, third, fourth] = [key(1), key(2), key(3), key(4)];
  peer.setAgreedKey(first);
  peer.setAgreedKey(second);
  assert.deepEqual(peer.candidateKeys, [second, first, peer.presharedKey]);
  peer.setAgreedKey(third);
  assert.deepEqual(peer.candidateKeys, [key(3), key(2), key(7)]);
  assert.ok(isErased(first) && !isErased(second));
  peer.setAgreedKey(undefined);
  assert.deepEqual(peer.candidateKeys, [key(7)]);
  assert.ok(isErased(second) && isErased(third));
  peer.setAgreedKey(fourth);
  peer.wipe();
  assert.ok(isErased(fourth));
});

test('a response is made with the agreed key until two have gone unconfirmed, and a new key begins anew', () => {
  const peer = new HandshakePeer(key(9));
  assert.equal(peer.responseKey, undefined);
  peer.setAgreedKey(key(1));
  for (const [unconfirmed, expected] of [
    [0, key(1)],
    [1, key(1)],
    [2, undefined],
    [50, undefined],
  ] as const) {
    peer.unconfirmedResponses = unconfirmed;
    assert.deepEqual(peer.responseKey, expected);
  }
  peer.setAgreedKey(key(2));
  assert.deepEqual(peer.responseKey, key(2));
});
