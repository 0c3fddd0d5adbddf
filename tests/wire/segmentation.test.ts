import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { plainMemory, withSeed } from '@sallyport/testkit';
import {
  FRAME_MALFORMED,
  FRAME_TOO_LARGE,
  VIRTIO_GSO_ECN,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  VIRTIO_GSO_UDP,
  VIRTIO_GSO_UDP_L4,
} from '@sallyport/wire';
import { segmentFrame, wireguardRoom } from './frames.ts';
import {
  assertSamePackets,
  buildPacket,
  buildPartialPacket,
  buildSuperFrame,
  buildVirtioHeader,
  concat,
  expectedSegments,
  naiveSum,
  pseudoHeader,
  TCP,
  transportOffset,
  UDP,
} from './packets.ts';
import type { PacketShape } from './packets.ts';
import { wasmMemory } from './wasm-memory.ts';

const BYTES = 8 * 65536;
const memory = wasmMemory(BYTES);

const timestamps = new Uint8Array([1, 1, 8, 10, 0, 1, 2, 3, 4, 5, 6, 7]);
const hopByHop = { type: 0, bytes: new Uint8Array([0, 0, 1, 4, 0, 0, 0, 0]) };
const destinationOptions = { type: 60, bytes: new Uint8Array([0, 1, 1, 12, ...new Uint8Array(12)]) };

function payload(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + (i >> 8) * 13) & 0xff);
}

function gsoType(shape: PacketShape): number {
  if (shape.protocol === UDP) return VIRTIO_GSO_UDP_L4;
  return shape.version === 4 ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_TCPV6;
}

function refuses(frame: Uint8Array, what = 'refused'): void {
  assert.equal(segmentFrame(memory, frame).used, FRAME_MALFORMED, what);
}

describe('super-packets', () => {
  const shapes: PacketShape[] = [
    { version: 4, protocol: TCP, identification: 0xfffe, options: timestamps },
    { version: 4, protocol: TCP, dontFragment: false, ipOptions: new Uint8Array([1, 1, 1, 0]), tos: 3 },
    { version: 6, protocol: TCP, options: timestamps, tos: 0xb9, flowLabel: 0x54321 },
    { version: 6, protocol: TCP, extensions: [hopByHop, destinationOptions] },
    { version: 4, protocol: UDP, identification: 5, ttl: 1 },
    { version: 6, protocol: UDP, flowLabel: 1 },
    { version: 6, protocol: UDP, extensions: [destinationOptions] },
  ];
  for (const shape of shapes) {
    const title = `IPv${shape.version}, protocol ${shape.protocol}, ${transportOffset(shape)} bytes of IP header`;
    test(title, () => {
      for (const size of [1, 7, 536, 1367, 1368]) {
        for (const length of [0, 1, size - 1, size, size + 1, 5 * size, 5 * size + 3, 64 * size]) {
          if (length > 65000) continue;
          const whole = { ...shape, sequence: 0xffff_ff00, payload: payload(length) };
          const result = segmentFrame(memory, buildSuperFrame(whole, gsoType(shape), size), { shift: size % 5 });
          assert.ok(result.used > 0, `${size} ${length}`);
          assertSamePackets(result.packets, expectedSegments(whole, size), `${size} ${length}`);
        }
      }
    });
  }

  test('as large as they come', () => {
    for (const shape of shapes) {
      const header = buildPacket({ ...shape, payload: new Uint8Array(0) }).length;
      const whole = { ...shape, payload: payload(65535 - header) };
      const result = segmentFrame(memory, buildSuperFrame(whole, gsoType(shape), 1300));
      assertSamePackets(result.packets, expectedSegments(whole, 1300));
    }
  });

  test('every combination of TCP flags', () => {
    for (const version of [4, 6] as const) {
      for (let flags = 0; flags < 256; flags++) {
        const shape: PacketShape = { version, protocol: TCP, flags, reserved: flags & 15, payload: payload(350) };
        const ecn = (flags & 0x80) !== 0 ? VIRTIO_GSO_ECN : 0;
        const result = segmentFrame(memory, buildSuperFrame(shape, gsoType(shape) | ecn, 100));
        assertSamePackets(result.packets, expectedSegments(shape, 100));
      }
    }
  });

  test('hdr_len is only a hint, and NEEDS_CSUM need not be set', () => {
    const shape: PacketShape = { version: 4, protocol: TCP, options: timestamps, payload: payload(3000) };
    for (const hint of [0, 20, 53, 0xffff]) {
      const frame = buildSuperFrame(shape, VIRTIO_GSO_TCPV4, 1000);
      new DataView(frame.buffer).setUint16(2, hint, true);
      assertSamePackets(segmentFrame(memory, frame).packets, expectedSegments(shape, 1000));
    }
    const frame = buildSuperFrame(shape, VIRTIO_GSO_TCPV4, 1000);
    frame.set([0, VIRTIO_GSO_TCPV4, 0, 0, 0xe8, 3, 0, 0, 0, 0]);
    assertSamePackets(segmentFrame(memory, frame).packets, expectedSegments(shape, 1000));
  });

  test('what is behind the IP packet is left out', () => {
    const shape: PacketShape = { version: 6, protocol: UDP, payload: payload(3000) };
    const frame = concat(buildSuperFrame(shape, VIRTIO_GSO_UDP_L4, 999), new Uint8Array(77).fill(1));
    assertSamePackets(segmentFrame(memory, frame).packets, expectedSegments(shape, 999));
  });

  test('any seed', () => {
    withSeed((random) => {
      const other = plainMemory(BYTES);
      for (let i = 0; i < 400; i++) {
        const version = random.pick([4, 6] as const);
        const protocol = random.pick([TCP, UDP]);
        const addressBytes = version === 4 ? 4 : 16;
        const shape: PacketShape = {
          version,
          protocol,
          source: random.bytes(addressBytes),
          destination: random.bytes(addressBytes),
          tos: random.below(256),
          ttl: random.below(256),
          flowLabel: random.below(1 << 20),
          identification: random.below(65536),
          dontFragment: random.chance(0.5),
          ipOptions: new Uint8Array(4 * random.below(11)).fill(1),
          extensions: random.chance(0.2) ? [random.pick([hopByHop, destinationOptions])] : [],
          sourcePort: random.below(65536),
          destinationPort: random.below(65536),
          sequence: random.u32(),
          acknowledgment: random.u32(),
          flags: random.below(256),
          window: random.below(65536),
          options: random.bytes(4 * random.below(11)),
          payload: random.chance(0.1) ? new Uint8Array(random.below(5000)) : random.bytes(random.below(5000)),
        };
        const size = 20 + random.below(1400);
        const mtu = 576 + random.below(1000);
        const room = { ...wireguardRoom, headroom: random.below(40), tailroom: random.below(40) };
        const frame = buildSuperFrame(shape, gsoType(shape), size);
        const options = { mtu, room, shift: random.below(16), capacity: 5000, area: 5 * 65536 };
        const expected = expectedSegments(shape, size);
        assertSamePackets(segmentFrame(memory, frame, options).packets, expected);
        assertSamePackets(segmentFrame(other, frame, options).packets, expected);
      }
    });
  });
});

describe('room', () => {
  const shape: PacketShape = { version: 4, protocol: TCP, payload: payload(4000) };
  const frame = buildSuperFrame(shape, VIRTIO_GSO_TCPV4, 1000);
  const need = 4 * (16 + 1040 + 16);

  test('the area may be used up to its last byte', () => {
    assert.equal(segmentFrame(memory, frame, { area: need }).used, need);
    for (const area of [need - 1, 100, 0]) assert.equal(segmentFrame(memory, frame, { area }).used, FRAME_TOO_LARGE);
    const single = concat(buildVirtioHeader({}), buildPacket({ ...shape, payload: payload(8) }));
    assert.equal(segmentFrame(memory, single, { area: 80 }).used, 80);
    assert.equal(segmentFrame(memory, single, { area: 79 }).used, FRAME_TOO_LARGE);
  });

  test('so may the batch', () => {
    assert.equal(segmentFrame(memory, frame, { capacity: 9, used: 5 }).packets.length, 4);
    assert.equal(segmentFrame(memory, frame, { capacity: 9, used: 6 }).used, FRAME_TOO_LARGE);
    const single = concat(buildVirtioHeader({}), buildPacket({ ...shape, payload: payload(8) }));
    assert.equal(segmentFrame(memory, single, { capacity: 3, used: 2 }).packets.length, 1);
    assert.equal(segmentFrame(memory, single, { capacity: 3, used: 3 }).used, FRAME_TOO_LARGE);
  });

  test('padding does not exceed the MTU', () => {
    const result = segmentFrame(memory, frame, { mtu: 1025 });
    assert.equal(result.used, 4 * (16 + 1040 + 16));
    const odd = buildSuperFrame({ ...shape, payload: payload(3000) }, VIRTIO_GSO_TCPV4, 985);
    assert.equal(segmentFrame(memory, odd, { mtu: 1025 }).used, 3 * (16 + 1025 + 16) + 16 + 96 + 16);
  });
});

describe('single packets', () => {
  test('without NEEDS_CSUM they are copied as they are', () => {
    for (const shape of [
      { version: 4, protocol: TCP, payload: payload(5) },
      { version: 6, protocol: UDP, payload: payload(1300) },
      { version: 6, protocol: 58, payload: payload(24) },
      { version: 4, protocol: 50, payload: payload(0) },
    ] as const) {
      const packet = buildPacket(shape);
      const frame = concat(buildVirtioHeader({ flags: 2, hdrLen: 9, gsoSize: 1, csumStart: 999 }), packet);
      assertSamePackets(segmentFrame(memory, frame).packets, [packet]);
      assertSamePackets(segmentFrame(memory, concat(frame, payload(5))).packets, [packet]);
    }
  });

  test('with NEEDS_CSUM the checksum is completed', () => {
    for (const version of [4, 6] as const) {
      for (const protocol of [TCP, UDP]) {
        for (let length = 0; length < 70; length++) {
          const shape: PacketShape = { version, protocol, options: timestamps, payload: payload(length) };
          const csumOffset = protocol === UDP ? 6 : 16;
          const header = buildVirtioHeader({ flags: 1, csumStart: transportOffset(shape), csumOffset });
          const frame = concat(header, buildPartialPacket(shape));
          assertSamePackets(segmentFrame(memory, frame, { shift: length % 3 }).packets, [buildPacket(shape)]);
        }
      }
    }
  });

  test('a UDP checksum of 0 is sent as 0xffff, in single packets and in segments', () => {
    for (const version of [4, 6] as const) {
      const shape: PacketShape = { version, protocol: UDP, payload: new Uint8Array(2) };
      const transport = transportOffset(shape);
      // The payload's only word makes the sum of all the rest 0xffff.
      const zeros = buildPacket(shape);
      zeros.fill(0, transport + 6, transport + 8);
      const sum = naiveSum(concat(pseudoHeader(shape, 10), zeros.subarray(transport)));
      const word = 0xffff - sum;
      const chosen = { ...shape, payload: new Uint8Array([word >> 8, word & 0xff]) };
      const header = buildVirtioHeader({ flags: 1, csumStart: transport, csumOffset: 6 });
      const [single] = segmentFrame(memory, concat(header, buildPartialPacket(chosen))).packets;
      assert.deepEqual([single[transport + 6], single[transport + 7]], [0xff, 0xff]);
      const twice = { ...chosen, payload: concat(chosen.payload, chosen.payload) };
      const { packets } = segmentFrame(memory, buildSuperFrame(twice, VIRTIO_GSO_UDP_L4, 2));
      assert.equal(packets.length, 2);
      for (const packet of packets) assert.deepEqual([packet[transport + 6], packet[transport + 7]], [0xff, 0xff]);
    }
  });

  test('checksum places outside the packet or inside the IP header are refused', () => {
    const shape: PacketShape = { version: 4, protocol: UDP, payload: payload(12) };
    const packet = buildPartialPacket(shape);
    const frame = (csumStart: number, csumOffset: number): Uint8Array =>
      concat(buildVirtioHeader({ flags: 1, csumStart, csumOffset }), packet);
    assert.ok(segmentFrame(memory, frame(20, 6)).used > 0);
    assert.ok(segmentFrame(memory, frame(20, 18)).used > 0);
    assert.ok(segmentFrame(memory, frame(38, 0)).used > 0);
    for (const [start, offset] of [
      [20, 20],
      [39, 0],
      [40, 0],
      [19, 6],
      [0, 10],
      [20, 7],
      [65535, 65534],
      [20, 65535],
    ]) {
      refuses(frame(start, offset), `${start} ${offset}`);
    }
    // Behind the packet, though inside the frame:
    refuses(concat(frame(20, 20), payload(8)));
  });
});

describe('malformed frames', () => {
  const tcp: PacketShape = { version: 4, protocol: TCP, options: timestamps, payload: payload(3000) };
  const udp: PacketShape = { version: 6, protocol: UDP, payload: payload(3000) };

  test('cut short anywhere', () => {
    for (const frame of [
      buildSuperFrame(tcp, VIRTIO_GSO_TCPV4, 1000),
      buildSuperFrame(udp, VIRTIO_GSO_UDP_L4, 1000),
      concat(buildVirtioHeader({}), buildPacket({ ...tcp, payload: payload(30) })),
    ]) {
      for (let length = 0; length < frame.length; length += length < 120 ? 1 : 97) {
        refuses(frame.slice(0, length), `${length}`);
      }
    }
  });

  test('lengths that end inside the headers', () => {
    for (const [shape, type] of [
      [tcp, VIRTIO_GSO_TCPV4],
      [udp, VIRTIO_GSO_UDP_L4],
    ] as const) {
      const header = buildPacket({ ...shape, payload: payload(0) }).length;
      for (let length = 0; length < header; length++) {
        const frame = buildSuperFrame(shape, type, 1000);
        const view = new DataView(frame.buffer);
        if (shape.version === 4) view.setUint16(12, length);
        else view.setUint16(14, Math.max(length - 40, 0));
        refuses(frame, `${length}`);
      }
    }
  });

  test('a size of 0, types that do not fit or are not known', () => {
    refuses(buildSuperFrame(tcp, VIRTIO_GSO_TCPV4, 0));
    refuses(buildSuperFrame(udp, VIRTIO_GSO_UDP_L4, 0));
    refuses(buildSuperFrame(tcp, VIRTIO_GSO_TCPV6, 100));
    refuses(buildSuperFrame({ ...tcp, version: 6 }, VIRTIO_GSO_TCPV4, 100));
    refuses(buildSuperFrame(tcp, VIRTIO_GSO_UDP_L4, 100));
    refuses(buildSuperFrame({ ...udp, version: 4 }, VIRTIO_GSO_TCPV4, 100));
    refuses(buildSuperFrame({ ...udp, version: 4 }, VIRTIO_GSO_UDP, 100));
    for (const type of [2, 6, 7, 0x7f]) refuses(buildSuperFrame(tcp, type, 100));
  });

  test('TCP data offsets below 5 or beyond the packet', () => {
    for (let words = 0; words < 16; words++) {
      const frame = buildSuperFrame({ ...tcp, payload: payload(10) }, VIRTIO_GSO_TCPV4, 4);
      frame[10 + 20 + 12] = words << 4;
      const { used } = segmentFrame(memory, frame);
      assert.equal(used >= 0, words >= 5 && 4 * words <= 42, `${words}`);
    }
  });

  test('fragments, and a routing header with segments left', () => {
    for (const word of [0x2000, 0x0001, 0x6000]) {
      const frame = buildSuperFrame(tcp, VIRTIO_GSO_TCPV4, 1000);
      new DataView(frame.buffer).setUint16(16, word);
      refuses(frame);
    }
    const fragment = { type: 44, bytes: new Uint8Array([0, 0, 0, 1, 0, 0, 0, 9]) };
    refuses(buildSuperFrame({ ...udp, extensions: [fragment] }, VIRTIO_GSO_UDP_L4, 1000));
    const routing = { type: 43, bytes: new Uint8Array([0, 2, 2, 1, ...new Uint8Array(20)]) };
    refuses(buildSuperFrame({ ...udp, extensions: [routing] }, VIRTIO_GSO_UDP_L4, 1000));
  });

  test('checksum places that are not those of the transport', () => {
    for (const [start, offset] of [
      [24, 16],
      [20, 6],
      [20, 18],
      [0, 0],
    ]) {
      const frame = buildSuperFrame(tcp, VIRTIO_GSO_TCPV4, 1000);
      const view = new DataView(frame.buffer);
      view.setUint16(6, start, true);
      view.setUint16(8, offset, true);
      refuses(frame, `${start} ${offset}`);
    }
  });
});
