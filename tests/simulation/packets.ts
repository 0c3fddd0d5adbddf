import assert from 'node:assert/strict';

/** Bytes that a packet has beside its payload: an IPv4 header without options, and a number. */
const HEADER_BYTES = 24;

/** An IPv4 packet that is unlike any other of its sender's. */
export function buildPacket(from: Uint8Array, to: Uint8Array, number: number, payloadBytes: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES + payloadBytes);
  const view = new DataView(bytes.buffer);
  bytes[0] = 0x45;
  view.setUint16(2, bytes.length);
  bytes.set(from, 12);
  bytes.set(to, 16);
  view.setUint32(20, number);
  for (let i = HEADER_BYTES; i < bytes.length; i++) bytes[i] = filler(number, i);
  return bytes;
}

/** Checks a packet, which may have padding behind it, and returns its name: sender, receiver, number. */
export function packetName(bytes: Uint8Array): string {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  assert.ok(bytes.length >= HEADER_BYTES && bytes[0] === 0x45, 'an IPv4 packet');
  const length = view.getUint16(2);
  assert.ok(length <= bytes.length, 'a whole packet');
  const number = view.getUint32(20);
  for (let i = HEADER_BYTES; i < length; i++) assert.equal(bytes[i], filler(number, i), 'the bytes that were sent');
  for (let i = length; i < bytes.length; i++) assert.equal(bytes[i], 0, 'padding of zeros');
  return `${bytes[15]}>${bytes[19]}#${number}`;
}

function filler(number: number, i: number): number {
  return (number * 7 + i) & 255;
}
