import assert from 'node:assert/strict';
import { test } from 'node:test';
import { DropReason } from '../../packages/core/src/drop-reason.ts';
import {
  decodeMessage,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
  newCookieReply,
  newInitiation,
  newResponse,
  newTransport,
} from '../../packages/wireguard/src/messages.ts';
import { hex } from './reference-crypto.ts';

/** Bytes by which every field can be told, after the word of the type. */
function numbered(type: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i === 0 ? type : i < 4 ? 0 : i));
}

test('an initiation: sections 5.4.2 and 5.4.4', () => {
  const bytes = numbered(1, 148);
  const message = decodeMessage(bytes);
  assert.equal(message.type, MESSAGE_INITIATION);
  assert.equal(message.senderIndex, 0x07060504);
  assert.deepEqual(message.ephemeral, bytes.slice(8, 40));
  assert.deepEqual(message.encryptedStatic, bytes.slice(40, 88));
  assert.deepEqual(message.encryptedTimestamp, bytes.slice(88, 116));
});

test('a response: section 5.4.3', () => {
  const bytes = numbered(2, 92);
  const message = decodeMessage(bytes);
  assert.equal(message.type, MESSAGE_RESPONSE);
  assert.equal(message.senderIndex, 0x07060504);
  assert.equal(message.receiverIndex, 0x0b0a0908);
  assert.deepEqual(message.ephemeral, bytes.slice(12, 44));
  assert.deepEqual(message.encryptedNothing, bytes.slice(44, 60));
});

test('a cookie reply: section 5.4.7', () => {
  const bytes = numbered(3, 64);
  const message = decodeMessage(bytes);
  assert.equal(message.type, MESSAGE_COOKIE_REPLY);
  assert.equal(message.receiverIndex, 0x07060504);
  assert.deepEqual(message.nonce, bytes.slice(8, 32));
  assert.deepEqual(message.encryptedCookie, bytes.slice(32, 64));
});

test('a transport message: section 5.4.6', () => {
  const bytes = numbered(4, 100);
  const message = decodeMessage(bytes);
  assert.equal(message.type, MESSAGE_TRANSPORT);
  assert.equal(message.receiverIndex, 0x07060504);
  assert.equal(message.counterLow, 0x0b0a0908);
  assert.equal(message.counterHigh, 0x0f0e0d0c);
  assert.deepEqual(message.encryptedPacket, bytes.slice(16));
});

test('new messages have the headers of decoded ones, indices of 32 bits and little-endian', () => {
  for (const [message, header] of [
    [newInitiation(0xfedcba98), '0100000098badcfe'],
    [newResponse(0xfedcba98, 0x01020304), '0200000098badcfe04030201'],
    [newCookieReply(0xfedcba98), '0300000098badcfe'],
    [newTransport(0xfedcba98, 0xfffffffe, 0x80000001, 32), '0400000098badcfefeffffff01000080'],
  ] as const) {
    assert.equal(hex(message.bytes.subarray(0, header.length / 2)), header);
    assert.ok(message.bytes.subarray(header.length / 2).every((byte) => byte === 0));
    assert.deepEqual(decodeMessage(message.bytes), message);
  }
});

test('the parts of a message are views of it', () => {
  const message = newInitiation(1);
  message.encryptedTimestamp.fill(7);
  assert.ok(message.bytes.subarray(88, 116).every((byte) => byte === 7));
  assert.ok(message.bytes.subarray(116).every((byte) => byte === 0));
});

test('every type is refused with every length but its own', () => {
  for (const [type, lengths] of [
    [1, [148]],
    [2, [92]],
    [3, [64]],
  ] as const)
    for (let length = 0; length <= 200; length++) {
      const message = decodeMessage(numbered(type, length));
      if ((lengths as readonly number[]).includes(length)) assert.equal(message.type, type);
      else assert.deepEqual(message, { type: 0, reason: DropReason.malformedDatagram });
    }
  for (let length = 0; length < 32; length++)
    assert.deepEqual(decodeMessage(numbered(4, length)), { type: 0, reason: DropReason.malformedDatagram });
  assert.equal(decodeMessage(numbered(4, 32)).type, MESSAGE_TRANSPORT);
});

test('other types, and reserved bytes that are not zero, are no message', () => {
  for (let type = 0; type < 256; type++)
    if (type === 0 || type > 4)
      assert.deepEqual(decodeMessage(numbered(type, 148)), { type: 0, reason: DropReason.unknownMessageType });
  for (let at = 1; at < 4; at++)
    for (const [type, length] of [
      [1, 148],
      [2, 92],
      [3, 64],
      [4, 64],
    ] as const) {
      const bytes = numbered(type, length);
      bytes[at] = 1;
      assert.deepEqual(decodeMessage(bytes), { type: 0, reason: DropReason.unknownMessageType });
    }
});
