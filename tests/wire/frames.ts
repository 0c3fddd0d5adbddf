// What tests share about frames: running the segmenter and the coalescer, and what the kernel makes of a frame.
import assert from 'node:assert/strict';
import { PacketBatch } from '@sallyport/core';
import type { Memory, SealRoom } from '@sallyport/core';
import { COALESCER_SCRATCH_BYTES, Coalescer, Segmenter } from '@sallyport/wire';
import type { CoalescerOptions } from '@sallyport/wire';
import { assertSamePackets, concat, naiveChecksum, naiveSum, parseVirtioHeader } from './packets.ts';

/** WireGuard's room: 16 bytes on either side, and padding to 16 that does not exceed the MTU. */
export const wireguardRoom: SealRoom = {
  headroom: 16,
  tailroom: 16,
  paddedLength: (length, mtu) => Math.max(length, Math.min((length + 15) & -16, mtu)),
};

/** Whether every byte has this value. */
export function isAll(bytes: Uint8Array, value: number): boolean {
  return Buffer.alloc(bytes.length, value).compare(bytes) === 0;
}

export interface Segmented {
  /** Bytes of the out area used, or the refusal. */
  readonly used: number;
  readonly packets: Uint8Array[];
  readonly at: number[];
}

/**
 * Segments a frame that is the last thing before poison, into an area between canaries, and checks all that holds
 * for every frame: bounds, the layout, zeroed padding, and that what surrounds the frame has no influence.
 */
export function segmentFrame(
  memory: Memory,
  frame: Uint8Array,
  options: { room?: SealRoom; mtu?: number; area?: number; shift?: number; capacity?: number; used?: number } = {},
): Segmented {
  const {
    room = wireguardRoom,
    mtu = 1420,
    area = 160 * 1024,
    shift = 0,
    capacity = 1024,
    used: usedBefore = 0,
  } = options;
  const frameAt = 4096 + 6;
  const outAt = 2 * 65536 + shift;
  const outEnd = outAt + area;
  const { u8 } = memory;
  const runs = [0xa5, 0x5a].map((poison): Segmented => {
    u8.fill(poison, 0, 2 * 65536);
    u8.set(frame, frameAt);
    u8.fill(0xcc, outAt - 256, outEnd + 256);
    const batch = new PacketBatch(capacity);
    for (let i = 0; i < usedBefore; i++) batch.push(1, 1, 1);
    const used = new Segmenter(memory).segment(frameAt, frame.length, outAt, outEnd, room, mtu, batch, 77);

    const packets: Uint8Array[] = [];
    const at: number[] = [];
    let cursor = outAt;
    for (let i = usedBefore; i < batch.count; i++) {
      const length = batch.length[i];
      const padded = room.paddedLength(length, mtu);
      assert.equal(batch.at[i], cursor + room.headroom, 'the packets lie one behind the other');
      assert.equal(batch.owner[i], 77);
      cursor += room.headroom;
      packets.push(u8.slice(cursor, cursor + length));
      at.push(cursor);
      assert.ok(isAll(u8.subarray(cursor + length, cursor + padded), 0), 'padding is zero');
      const tail = u8.subarray(cursor + padded, cursor + padded + room.tailroom);
      assert.ok(isAll(tail, 0xcc), 'the room behind is left alone');
      cursor += padded + room.tailroom;
    }
    assert.equal(cursor - outAt, Math.max(used, 0));
    assert.ok(cursor <= outEnd);
    assert.ok(isAll(u8.subarray(outAt - 256, outAt), 0xcc), 'nothing is written before the area');
    assert.ok(isAll(u8.subarray(cursor, outEnd + 256), 0xcc), 'nothing is written behind it');
    assertSamePackets([u8.subarray(frameAt, frameAt + frame.length)], [frame], 'the frame is left alone:');
    assert.ok(isAll(u8.subarray(0, frameAt), poison));
    return { used, packets, at };
  });
  const [one, other] = runs;
  assert.deepEqual([one.used, one.at], [other.used, other.at], 'what surrounds a frame has no influence');
  assertSamePackets(one.packets, other.packets, 'what surrounds a frame has no influence:');
  return one;
}

/** Puts packets into memory, joins them, and returns the frames as they would reach TUN. */
export function coalescePackets(
  memory: Memory,
  packets: readonly Uint8Array[],
  options: CoalescerOptions = { tcp: true, udp: true },
  alignment = 4,
): Uint8Array[] {
  const frames: Uint8Array[] = [];
  const scratchAt = 64;
  const { u8 } = memory;
  u8.fill(0x99, 0, 4096);
  const sink = {
    frame(iovAt: Int32Array, iovLength: Int32Array, count: number): void {
      assert.ok(count >= 2 && count <= 66);
      const parts = Array.from({ length: count }, (_, i) => {
        assert.ok(iovAt[i] >= scratchAt && iovLength[i] > 0);
        return u8.slice(iovAt[i], iovAt[i] + iovLength[i]);
      });
      assert.equal(parts[0].length, 10);
      frames.push(concat(...parts));
    },
  };
  const coalescer = new Coalescer(memory, scratchAt, sink, options);
  let at = 4096;
  const places = packets.map((packet) => {
    const place = at;
    u8.set(packet, at);
    at += Math.ceil((packet.length + 32) / alignment) * alignment;
    return place;
  });
  assert.ok(at < u8.length, 'the test has enough memory');
  packets.forEach((packet, i) => coalescer.add(places[i], packet.length));
  coalescer.flush();
  const after = scratchAt + COALESCER_SCRATCH_BYTES;
  assert.ok(isAll(u8.subarray(0, scratchAt), 0x99));
  assert.ok(isAll(u8.subarray(after, 4096), 0x99));
  return frames;
}

/** The packets that the kernel takes from a frame: a naive model of its GSO, which also checks the frame's header. */
export function kernelPackets(frame: Uint8Array): Uint8Array[] {
  const header = parseVirtioHeader(frame);
  const packet = frame.slice(10);
  assert.equal(header.flags & ~3, 0);
  if (header.gsoType === 0) {
    assert.equal(header.flags & 1, 0, 'a packet on its own is complete');
    assert.deepEqual({ ...header, flags: 0 }, parseVirtioHeader(new Uint8Array(10)));
    return [packet];
  }

  const isIpv4 = packet[0] >> 4 === 4;
  const isUdp = header.gsoType === 5;
  const protocol = isUdp ? 17 : 6;
  const ipHeader = isIpv4 ? 20 : 40;
  const view = new DataView(packet.buffer);
  assert.equal(header.flags, 1);
  assert.equal(header.gsoType, isUdp ? 5 : isIpv4 ? 1 : 4);
  assert.equal(packet[isIpv4 ? 9 : 6], protocol);
  assert.equal(header.csumStart, ipHeader);
  assert.equal(header.csumOffset, isUdp ? 6 : 16);
  const transportHeader = isUdp ? 8 : (packet[ipHeader + 12] >> 4) * 4;
  const whole = ipHeader + transportHeader;
  assert.equal(header.hdrLen, whole);
  assert.ok(packet.length <= 65535);
  assert.equal(isIpv4 ? view.getUint16(2) : 40 + view.getUint16(4), packet.length);
  if (isIpv4) assert.equal(naiveSum(packet.subarray(0, 20)), 0xffff);
  if (isUdp) assert.equal(view.getUint16(ipHeader + 4), packet.length - ipHeader);
  const pseudo = (length: number): Uint8Array =>
    concat(
      packet.subarray(isIpv4 ? 12 : 8, ipHeader),
      new Uint8Array([0, 0, length >> 8, length & 0xff, 0, 0, 0, protocol]),
    );
  const field = ipHeader + header.csumOffset;
  assert.equal(view.getUint16(field), naiveSum(pseudo(packet.length - ipHeader)), 'the pseudo-header is summed');

  const payload = packet.subarray(whole);
  const count = Math.ceil(payload.length / header.gsoSize);
  assert.ok(count >= 2 && count <= 64);
  return Array.from({ length: count }, (_, k) => {
    const segment = concat(packet.subarray(0, whole), payload.subarray(k * header.gsoSize, (k + 1) * header.gsoSize));
    const out = new DataView(segment.buffer);
    if (isIpv4) {
      out.setUint16(2, segment.length);
      out.setUint16(4, view.getUint16(4) + k);
      out.setUint16(10, 0);
      out.setUint16(10, naiveChecksum(segment.subarray(0, 20)));
    } else {
      out.setUint16(4, segment.length - 40);
    }
    if (isUdp) {
      out.setUint16(ipHeader + 4, segment.length - ipHeader);
    } else {
      out.setUint32(ipHeader + 4, view.getUint32(ipHeader + 4) + k * header.gsoSize);
      if (k < count - 1) segment[ipHeader + 13] &= ~0x09;
      if (k > 0) segment[ipHeader + 13] &= ~0x80;
    }
    out.setUint16(field, 0);
    const checksum = naiveChecksum(pseudo(segment.length - ipHeader), segment.subarray(ipHeader));
    out.setUint16(field, isUdp && checksum === 0 ? 0xffff : checksum);
    return segment;
  });
}
