import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { DropReason } from '@sallyport/core';
import { plainMemory, withSeed } from '@sallyport/testkit';
import { buildUnreachable } from '@sallyport/wire';
import { buildPacket, concat, naiveSum, pseudoHeader, TCP, UDP } from './packets.ts';
import type { PacketShape } from './packets.ts';

const { noRoute, noEndpoint } = DropReason;
const memory = plainMemory(16384);
const PACKET_AT = 1000;
const OUT_AT = 8000;
const SOURCE_AT = 128;

function build(packet: Uint8Array, reason = noRoute, source?: Uint8Array): Uint8Array {
  memory.u8.fill(0xa5);
  memory.u8.set(packet, PACKET_AT);
  if (source) memory.u8.set(source, SOURCE_AT);
  const length = buildUnreachable(memory, OUT_AT, PACKET_AT, packet.length, reason, source ? SOURCE_AT : undefined);
  assert.ok(memory.u8.subarray(OUT_AT - 64, OUT_AT).every((byte) => byte === 0xa5));
  assert.ok(memory.u8.subarray(OUT_AT + length, OUT_AT + length + 64).every((byte) => byte === 0xa5));
  assert.deepEqual(memory.u8.slice(PACKET_AT, PACKET_AT + packet.length), packet);
  return memory.u8.slice(OUT_AT, OUT_AT + length);
}

function icmp(version: 4 | 6, type: number): Uint8Array {
  const bytes = buildPacket({ version, protocol: version === 4 ? 1 : 58, payload: new Uint8Array(20) });
  bytes[version === 4 ? 20 : 40] = type;
  return bytes;
}

describe('IPv4', () => {
  test('host unreachable, quoting as much as fits in 576 bytes', () => {
    for (const size of [0, 1, 100, 520, 521, 1300]) {
      const packet = buildPacket({ version: 4, protocol: UDP, payload: new Uint8Array(size).fill(3) });
      const error = build(packet);
      assert.equal(error.length, Math.min(576, 28 + packet.length));
      const view = new DataView(error.buffer);
      assert.equal(error[0], 0x45);
      assert.equal(view.getUint16(2), error.length);
      assert.equal(error[9], 1);
      assert.equal(naiveSum(error.subarray(0, 20)), 0xffff);
      assert.deepEqual(error.subarray(12, 16), packet.subarray(16, 20));
      assert.deepEqual(error.subarray(16, 20), packet.subarray(12, 16));
      assert.deepEqual([error[20], error[21]], [3, 1]);
      assert.equal(view.getUint32(24), 0);
      assert.equal(naiveSum(error.subarray(20)), 0xffff);
      assert.deepEqual(error.subarray(28), packet.subarray(0, error.length - 28));
    }
  });

  test('from the address that the caller gives', () => {
    const error = build(buildPacket({ version: 4, protocol: TCP }), noEndpoint, new Uint8Array([10, 7, 0, 1]));
    assert.deepEqual([...error.subarray(12, 16)], [10, 7, 0, 1]);
    assert.equal(naiveSum(error.subarray(0, 20)), 0xffff);
  });

  test('about echoes and other queries, not about errors and unknown types', () => {
    for (let type = 0; type < 256; type++) {
      const expected = [0, 8, 9, 10, 13, 14, 15, 16, 17, 18].includes(type);
      assert.equal(build(icmp(4, type)).length > 0, expected, `type ${type}`);
    }
    // A message without even a type: what lies behind it is not one.
    assert.equal(build(concat(buildPacket({ version: 4, protocol: 1 }), new Uint8Array([8]))).length, 0);
  });

  test('none about later fragments, yes about the first', () => {
    const packet = buildPacket({ version: 4, protocol: UDP, payload: new Uint8Array(40) });
    packet[6] = 0x20;
    assert.ok(build(packet).length > 0);
    packet[7] = 1;
    assert.equal(build(packet).length, 0);
  });

  test('none where the source is not one host or the destination is many', () => {
    const shape: PacketShape = { version: 4, protocol: UDP };
    for (const source of [
      [0, 0, 0, 0],
      [0, 1, 2, 3],
      [127, 0, 0, 1],
      [224, 0, 0, 1],
      [239, 1, 1, 1],
      [240, 0, 0, 1],
      [255, 255, 255, 255],
    ]) {
      assert.equal(build(buildPacket({ ...shape, source: new Uint8Array(source) })).length, 0);
    }
    for (const destination of [
      [224, 0, 0, 251],
      [255, 255, 255, 255],
    ]) {
      assert.equal(build(buildPacket({ ...shape, destination: new Uint8Array(destination) })).length, 0);
    }
  });
});

describe('IPv6', () => {
  test('no route or address unreachable, quoting as much as fits in 1280 bytes', () => {
    for (const size of [0, 1, 100, 1184, 1185, 1400]) {
      for (const reason of [noRoute, noEndpoint]) {
        const packet = buildPacket({ version: 6, protocol: UDP, payload: new Uint8Array(size).fill(3) });
        const error = build(packet, reason);
        assert.equal(error.length, Math.min(1280, 48 + packet.length));
        const view = new DataView(error.buffer);
        assert.equal(view.getUint32(0), 0x60000000);
        assert.equal(view.getUint16(4), error.length - 40);
        assert.equal(error[6], 58);
        assert.deepEqual(error.subarray(8, 24), packet.subarray(24, 40));
        assert.deepEqual(error.subarray(24, 40), packet.subarray(8, 24));
        assert.deepEqual([error[40], error[41]], [1, reason === noRoute ? 0 : 3]);
        assert.equal(view.getUint32(44), 0);
        const pseudo = pseudoHeader(
          { version: 6, protocol: 58, source: error.subarray(8, 24), destination: error.subarray(24, 40) },
          error.length - 40,
        );
        assert.equal(naiveSum(concat(pseudo, error.subarray(40))), 0xffff);
        assert.deepEqual(error.subarray(48), packet.subarray(0, error.length - 48));
      }
    }
  });

  test('about informational messages only, also behind extension headers', () => {
    for (let type = 0; type < 256; type++) {
      assert.equal(build(icmp(6, type)).length > 0, type >= 128 && type !== 137, `type ${type}`);
    }
    assert.equal(build(concat(buildPacket({ version: 6, protocol: 58 }), new Uint8Array([128]))).length, 0);
    const extensions = [{ type: 60, bytes: new Uint8Array([0, 0, 1, 4, 0, 0, 0, 0]) }];
    const payload = new Uint8Array(16);
    const packet = (type: number): Uint8Array => {
      payload[0] = type;
      return buildPacket({ version: 6, protocol: 58, extensions, payload });
    };
    assert.equal(build(packet(1)).length, 0);
    assert.ok(build(packet(128)).length > 0);
  });

  test('none about later fragments, multicast, or the unspecified source', () => {
    const fragment = (offset: number): Uint8Array =>
      buildPacket({
        version: 6,
        protocol: UDP,
        extensions: [{ type: 44, bytes: new Uint8Array([0, 0, 0, offset, 0, 0, 0, 1]) }],
      });
    assert.ok(build(fragment(1)).length > 0);
    assert.equal(build(fragment(8)).length, 0);
    const multicast = new Uint8Array(16).fill(0xff, 0, 1);
    assert.equal(build(buildPacket({ version: 6, protocol: UDP, source: multicast })).length, 0);
    assert.equal(build(buildPacket({ version: 6, protocol: UDP, destination: multicast })).length, 0);
    assert.equal(build(buildPacket({ version: 6, protocol: UDP, source: new Uint8Array(16) })).length, 0);
  });
});

test('whatever the bytes, nothing is read behind the packet and the error keeps its bound', () => {
  withSeed((random) => {
    for (let i = 0; i < 3000; i++) {
      const length = random.below(100);
      const at = memory.u8.length - length;
      memory.u8.set(random.bytes(length), at);
      if (length > 0) memory.u8[at] = random.pick([0x45, 0x4f, 0x60, random.below(256)]);
      if (length > 6) memory.u8[at + 6] = random.pick([0, 43, 44, 58, 60]);
      if (length > 5) memory.view.setUint16(at + random.pick([2, 4]), random.below(length));
      const error = buildUnreachable(memory, 0, at, length, noRoute);
      assert.ok(error >= 0 && error <= 1280);
    }
  });
});
