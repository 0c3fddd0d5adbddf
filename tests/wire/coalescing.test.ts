import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { plainMemory, withSeed } from '@sallyport/testkit';
import type { SeededRandom } from '@sallyport/testkit';
import { Coalescer, VIRTIO_GSO_TCPV4, VIRTIO_GSO_TCPV6, VIRTIO_GSO_UDP_L4 } from '@sallyport/wire';
import { coalescePackets, kernelPackets, segmentFrame } from './frames.ts';
import {
  assertSamePackets,
  buildPacket,
  buildSuperFrame,
  naiveChecksum,
  parseVirtioHeader,
  TCP,
  UDP,
} from './packets.ts';
import type { PacketShape } from './packets.ts';
import { wasmMemory } from './wasm-memory.ts';

const memory = wasmMemory(16 * 65536);
const both = { tcp: true, udp: true };
const timestamps = new Uint8Array([1, 1, 8, 10, 0, 1, 2, 3, 4, 5, 6, 7]);

const ACK = 0x10;
const PSH = 0x08;

function payload(length: number, first = 0): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (first + i * 11) & 0xff);
}

/** `count` packets of one flow that follow each other, each as the last but for what `change` says. */
function train(
  shape: PacketShape,
  count: number,
  size: number,
  change?: (k: number) => Partial<PacketShape>,
): Uint8Array[] {
  let sequence = shape.sequence ?? 1000;
  return Array.from({ length: count }, (_, k) => {
    const changed = { ...shape, sequence, identification: 40 + k, payload: payload(size, k), ...change?.(k) };
    const packet = buildPacket(changed);
    sequence = (sequence + changed.payload.length) >>> 0;
    return packet;
  });
}

/** Joins, checks that the kernel gets the same packets in the same order, and returns how many each frame holds. */
function shapeOfFrames(packets: readonly Uint8Array[], options = both): number[] {
  const frames = coalescePackets(memory, packets, options);
  assertSamePackets(frames.flatMap(kernelPackets), packets);
  return frames.map((frame) => kernelPackets(frame).length);
}

const families: PacketShape[] = [
  { version: 4, protocol: TCP, options: timestamps },
  { version: 6, protocol: TCP, options: timestamps, flowLabel: 0xbeef, tos: 0x2a },
  { version: 4, protocol: UDP },
  { version: 6, protocol: UDP },
];

for (const shape of families) {
  describe(`IPv${shape.version}, ${shape.protocol === TCP ? 'TCP' : 'UDP'}`, () => {
    const isTcp = shape.protocol === TCP;

    test('packets that follow each other become one frame', () => {
      for (const size of [1, 2, 33, 1367, 1368]) {
        for (const count of [2, 3, 17]) assert.deepEqual(shapeOfFrames(train(shape, count, size)), [count]);
      }
    });

    test('a frame ends with a smaller packet, and before a larger one', () => {
      const sizes = [100, 100, 40, 100, 100, 101, 101];
      const packets = train(shape, 7, 0, (k) => ({ payload: payload(sizes[k], k) }));
      assert.deepEqual(shapeOfFrames(packets), [3, 2, 2]);
    });

    test('one packet alone is unchanged, and said to be verified', () => {
      const packets = train(shape, 1, 700);
      const [frame] = coalescePackets(memory, packets, both);
      assertSamePackets(kernelPackets(frame), packets);
      assert.equal(parseVirtioHeader(frame).flags, 2);
    });

    test('at most 64 packets and 65,535 bytes a frame', () => {
      assert.deepEqual(shapeOfFrames(train(shape, 130, 10)), [64, 64, 2]);
      const header = buildPacket({ ...shape, payload: new Uint8Array(0) }).length;
      const most = Math.floor((65535 - header) / 1400);
      assert.deepEqual(shapeOfFrames(train(shape, 60, 1400)), [most, 60 - most]);
      const exact = 65535 - header - 46 * 1400;
      const packets = train(shape, 47, 1400, (k) => (k === 46 ? { payload: payload(exact) } : {}));
      assert.deepEqual(shapeOfFrames(packets), [47]);
    });

    test('a wrong checksum goes through alone and unchanged', () => {
      for (const flip of shape.version === 4 ? [10, 40, 60] : [44, 60, 80]) {
        const packets = train(shape, 5, 100);
        packets[2][flip] ^= 0x10;
        const frames = coalescePackets(memory, packets, both);
        assertSamePackets(frames.flatMap(kernelPackets), packets);
        const broken = frames.find((frame) => frame.length === packets[2].length + 10);
        assert.ok(broken);
        assert.equal(parseVirtioHeader(broken).flags, 0);
        assert.ok(frames.length >= 3);
      }
    });

    test('what has to be the same', () => {
      const changes: Partial<PacketShape>[] = [{ tos: 1 }, { ttl: 63 }];
      if (shape.version === 4) changes.push({ dontFragment: false });
      else changes.push({ flowLabel: 7 });
      if (isTcp) {
        changes.push({ acknowledgment: 9 }, { window: 500 }, { flags: ACK | 0x40 }, { reserved: 1 });
        changes.push({ options: timestamps.map((byte, i) => (i === 7 ? 99 : byte)) }, { options: new Uint8Array(0) });
      }
      for (const change of changes) {
        const packets = train(shape, 6, 100, (k) => (k >= 3 ? change : {}));
        assert.deepEqual(shapeOfFrames(packets), [3, 3], JSON.stringify(change));
      }
    });

    test('other flows do not join, and the same goes on behind them', () => {
      const other = (k: number): Partial<PacketShape> =>
        [
          { sourcePort: 5 },
          { destinationPort: 5 },
          { source: new Uint8Array(shape.version === 4 ? 4 : 16).fill(9) },
          { destination: new Uint8Array(shape.version === 4 ? 4 : 16).fill(9) },
        ][k];
      const packets = train(shape, 8, 100);
      const strangers = Array.from({ length: 4 }, (_, k) =>
        buildPacket({ ...shape, ...other(k), payload: payload(100) }),
      );
      const mixed = packets.flatMap((packet, k) => (k < 4 ? [packet, strangers[k]] : [packet]));
      const frames = coalescePackets(memory, mixed, both);
      assert.deepEqual(
        frames.map((frame) => kernelPackets(frame).length),
        [8, 1, 1, 1, 1],
      );
      assertSamePackets(kernelPackets(frames[0]), packets);
    });

    test('switched off, packets go through at once and in order', () => {
      const packets = train(shape, 5, 100);
      const off = isTcp ? { tcp: false, udp: true } : { tcp: true, udp: false };
      assert.deepEqual(shapeOfFrames(packets, off), [1, 1, 1, 1, 1]);
    });

    test('packets at any alignment', () => {
      const packets = train(shape, 20, 101);
      for (const alignment of [1, 2, 3, 8]) {
        const frames = coalescePackets(memory, packets, both, alignment);
        assert.equal(frames.length, 1);
        assertSamePackets(frames.flatMap(kernelPackets), packets);
      }
    });

    test('more flows than may be open: the oldest goes first', () => {
      const flows = Array.from({ length: 20 }, (_, flow) => train({ ...shape, sourcePort: 100 + flow }, 3, 50));
      const interleaved = [0, 1, 2].flatMap((k) => flows.map((packets) => packets[k]));
      const frames = coalescePackets(memory, interleaved, both);
      const got = frames.flatMap(kernelPackets);
      assert.equal(got.length, 60);
      for (const packets of flows) assertSamePackets(sameFlow(got, packets[0]), packets);
      const few = coalescePackets(
        memory,
        interleaved.filter((packet) => portOf(packet) < 116),
        both,
      );
      assert.equal(few.length, 16);
    });

    test('the oldest frame gives way, alone, and the others keep their age', () => {
      const flows = Array.from({ length: 17 }, (_, flow) => train({ ...shape, sourcePort: 100 + flow }, 2, 50));
      const smaller = train({ ...shape, sourcePort: 103 }, 2, 50, (k) => (k === 1 ? { payload: payload(9) } : {}));
      const sixteen = flows.slice(0, 16).map((packets) => packets[0]);
      // The fourth ends its frame; two more flows then fill the table and push the first out. The second goes on.
      const last = buildPacket({ ...shape, sourcePort: 99, payload: payload(50) });
      const packets = [...sixteen, smaller[1], flows[16][0], last, flows[1][1]];
      const frames = coalescePackets(memory, packets, both).map(kernelPackets);
      const order = [103, 100, 101, 102, 104, 105, 106, 107, 108, 109, 110, 111, 112, 113, 114, 115, 116, 99];
      assert.deepEqual(
        frames.map(([first]) => portOf(first)),
        order,
      );
      assert.deepEqual(
        frames.map((joined) => joined.length),
        order.map((port) => (port === 103 || port === 101 ? 2 : 1)),
      );
    });

    test('flows that a hash of their addresses and ports would confuse stay apart', () => {
      const source = new Uint8Array(shape.version === 4 ? 4 : 16).fill(9);
      const other = source.slice();
      other[0] ^= 1;
      const end = source.length - 4;
      const word = (bytes: Uint8Array): number => new DataView(bytes.buffer).getInt32(end, true);
      const ports = new DataView(new ArrayBuffer(4));
      ports.setUint32(0, 0x9c4001bb);
      const mixed = Math.imul(word(source), 0x9e3779b1) ^ Math.imul(word(other), 0x9e3779b1);
      ports.setInt32(0, ports.getInt32(0, true) ^ mixed, true);
      const one = train({ ...shape, source }, 4, 100);
      const two = train(
        { ...shape, source: other, sourcePort: ports.getUint16(0), destinationPort: ports.getUint16(2) },
        4,
        100,
      );
      const frames = coalescePackets(memory, [one[0], two[0], one[1], two[1], two[2], one[2]], both);
      assert.equal(frames.length, 2);
      assertSamePackets(frames.flatMap(kernelPackets), [...one.slice(0, 3), ...two.slice(0, 3)]);
    });

    test('options and extension headers keep their place', () => {
      const odd: PacketShape =
        shape.version === 4
          ? { ...shape, ipOptions: new Uint8Array([1, 1, 1, 0]) }
          : { ...shape, extensions: [{ type: 60, bytes: new Uint8Array([0, 0, 1, 4, 0, 0, 0, 0]) }] };
      const packets = train(shape, 6, 100);
      packets.splice(3, 0, buildPacket({ ...odd, payload: payload(100) }));
      assert.deepEqual(shapeOfFrames(packets), [3, 1, 3]);
    });
  });
}

function portOf(packet: Uint8Array): number {
  const at = packet[0] >> 4 === 4 ? 20 : 40;
  return packet[at] * 256 + packet[at + 1];
}

function sameFlow(packets: readonly Uint8Array[], like: Uint8Array): Uint8Array[] {
  return packets.filter((packet) => packet[0] >> 4 === like[0] >> 4 && portOf(packet) === portOf(like));
}

describe('TCP', () => {
  const shape = families[0];

  test('PSH ends a frame and stays set', () => {
    const packets = train(shape, 7, 100, (k) => ({ flags: k === 2 || k === 3 ? ACK | PSH : ACK }));
    assert.deepEqual(shapeOfFrames(packets), [3, 1, 3]);
  });

  test('SYN, FIN, RST, URG, CWR and segments without ACK stay alone', () => {
    for (const flags of [0x12, 0x11, 0x14, 0x30, 0x90, 0x00, 0xff]) {
      const packets = train(shape, 5, 100, (k) => ({ flags: k === 2 ? flags : ACK }));
      assert.deepEqual(shapeOfFrames(packets), [2, 1, 2], `flags ${flags}`);
    }
  });

  test('segments with ECE join if all have it', () => {
    assert.deepEqual(shapeOfFrames(train(shape, 4, 100, () => ({ flags: ACK | 0x40 }))), [4]);
  });

  test('acknowledgments without payload keep their place', () => {
    const packets = train(shape, 5, 100, (k) => (k === 2 ? { payload: new Uint8Array(0) } : {}));
    assert.deepEqual(shapeOfFrames(packets), [2, 1, 2]);
    assert.deepEqual(shapeOfFrames(train(shape, 3, 0)), [1, 1, 1]);
  });

  test('gaps, repetitions and what comes out of order do not join', () => {
    const packets = train(shape, 8, 100);
    for (const order of [
      [0, 1, 3, 4, 2, 5],
      [0, 1, 1, 2],
      [3, 2, 1, 0],
    ]) {
      const chosen = order.map((k) => packets[k]);
      const frames = coalescePackets(memory, chosen, both);
      assert.deepEqual(frames.flatMap(kernelPackets).map(sequenceOf), chosen.map(sequenceOf));
      assert.ok(frames.length > 1);
    }
  });

  test('the sequence number wraps', () => {
    assert.deepEqual(shapeOfFrames(train({ ...shape, sequence: 0xffff_ff80 }, 5, 100)), [5]);
  });

  test('a data offset that lies goes through alone', () => {
    for (const words of [0, 4, 15]) {
      const packets = train(shape, 3, 8);
      packets[1][32] = words << 4;
      assert.deepEqual(shapeOfFrames(packets), [1, 1, 1]);
    }
  });
});

function sequenceOf(packet: Uint8Array): number {
  return new DataView(packet.buffer, packet.byteOffset).getUint32(24);
}

describe('UDP', () => {
  test('datagrams without checksum, empty ones and lying lengths stay alone', () => {
    for (const spoil of [
      (packet: Uint8Array) => packet.fill(0, 26, 28),
      (packet: Uint8Array) => (packet[25] ^= 1),
      (packet: Uint8Array) => (packet[24] = 0xff),
    ]) {
      const packets = train(families[2], 5, 100);
      spoil(packets[2]);
      assert.deepEqual(shapeOfFrames(packets), [2, 1, 2]);
    }
    const packets = train(families[3], 5, 100, (k) => (k === 2 ? { payload: new Uint8Array(0) } : {}));
    assert.deepEqual(shapeOfFrames(packets), [2, 1, 2]);
  });
});

describe('UDP datagrams whose checksum would hold all the same', () => {
  test('a length that is not the packet’s', () => {
    for (const shape of families.slice(2)) {
      const packets = train(shape, 5, 100);
      const at = shape.version === 4 ? 20 : 40;
      const view = new DataView(packets[2].buffer);
      view.setUint16(at + 4, view.getUint16(at + 4) - 1);
      view.setUint16(at + 6, view.getUint16(at + 6) + 1);
      assert.deepEqual(shapeOfFrames(packets), [2, 1, 2]);
    }
  });

  test('none, where it would be 0', () => {
    for (const shape of families.slice(2)) {
      const at = shape.version === 4 ? 20 : 40;
      const packets = train(shape, 5, 100, (k) => {
        if (k !== 2) return {};
        // The checksum of this packet, put into its payload, leaves 0 for the field.
        const zeros = new Uint8Array(100);
        const checksum = new DataView(buildPacket({ ...shape, payload: zeros }).buffer).getUint16(at + 6);
        zeros.set([checksum >> 8, checksum & 0xff]);
        return { payload: zeros };
      });
      assert.deepEqual([packets[2][at + 6], packets[2][at + 7]], [0xff, 0xff]);
      assert.deepEqual(shapeOfFrames(packets), [5]);
      packets[2].fill(0, at + 6, at + 8);
      assert.deepEqual(shapeOfFrames(packets), [2, 1, 2]);
    }
  });
});

describe('IPv4', () => {
  test('fragments stay alone and keep their place', () => {
    for (const word of [0x2000, 0x0010, 0x6000]) {
      const packets = train(families[2], 5, 100);
      const view = new DataView(packets[2].buffer);
      view.setUint16(6, word);
      view.setUint16(10, 0);
      view.setUint16(10, naiveChecksum(packets[2].subarray(0, 20)));
      assert.deepEqual(shapeOfFrames(packets), [2, 1, 2]);
    }
  });

  test('without DF the identification has to count on', () => {
    const shape: PacketShape = { ...families[0], dontFragment: false };
    assert.deepEqual(shapeOfFrames(train(shape, 4, 100, (k) => ({ identification: (0xfffe + k) & 0xffff }))), [4]);
    assert.deepEqual(shapeOfFrames(train(shape, 4, 100, (k) => ({ identification: k < 2 ? k : k + 5 }))), [2, 2]);
    assert.deepEqual(shapeOfFrames(train(shape, 3, 100, () => ({ identification: 7 }))), [1, 1, 1]);
  });

  test('with DF it does not matter', () => {
    const frames = coalescePackets(
      memory,
      train(families[0], 4, 100, () => ({ identification: 0 })),
      both,
    );
    assert.equal(frames.length, 1);
  });
});

test('ICMP does not end the frames of others', () => {
  for (const shape of families) {
    const packets = train(shape, 4, 100);
    const ping = buildPacket({ version: shape.version, protocol: shape.version === 4 ? 1 : 58, payload: payload(64) });
    const frames = coalescePackets(memory, [packets[0], packets[1], ping, packets[2], packets[3]], both);
    assert.deepEqual(
      frames.map((frame) => kernelPackets(frame).length),
      [1, 4],
    );
    assertSamePackets(kernelPackets(frames[0]), [ping]);
  }
});

test('the batch is gone after flush: the next starts anew', () => {
  const frames = [train(families[0], 3, 100), train(families[0], 3, 100)].map((packets) =>
    coalescePackets(memory, packets, both),
  );
  assertSamePackets(frames[0], frames[1]);
});

test('segmented and joined again, a super-packet is the same', () => {
  withSeed((random) => {
    for (const shape of families) {
      for (let i = 0; i < 60; i++) {
        const size = 1 + random.below(1400);
        const segments = 2 + random.below(Math.min(44, Math.floor(64000 / size)));
        const length = Math.max(size * (segments - 1) + 1 + random.below(size), size + 1);
        const whole: PacketShape = {
          ...shape,
          sequence: random.u32(),
          identification: random.below(65536),
          flags: random.chance(0.5) ? ACK : ACK | PSH,
          payload: random.bytes(length),
        };
        const type =
          shape.protocol === UDP ? VIRTIO_GSO_UDP_L4 : shape.version === 4 ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_TCPV6;
        const frame = buildSuperFrame(whole, type, size);
        const { packets } = segmentFrame(memory, frame);
        assertSamePackets(coalescePackets(memory, packets, both), [frame]);
      }
    }
  });
});

function randomTraffic(random: SeededRandom, count: number): Uint8Array[] {
  const flows = Array.from({ length: 1 + random.below(20) }, (_, flow) => ({
    shape: { ...random.pick(families), sourcePort: 2000 + flow, dontFragment: random.chance(0.5) },
    sequence: random.u32(),
    identification: random.below(65536),
    size: 1 + random.below(300),
  }));
  return Array.from({ length: count }, () => {
    const flow = random.pick(flows.slice(0, 1 + random.below(flows.length)));
    const size = random.chance(0.1) ? random.below(300) : flow.size;
    const packet = buildPacket({
      ...flow.shape,
      sequence: flow.sequence,
      identification: flow.identification,
      flags: random.chance(0.1) ? random.below(256) : random.chance(0.1) ? ACK | PSH : ACK,
      ...(random.chance(0.03) ? { tos: random.below(256) } : {}),
      ...(random.chance(0.03) ? { window: random.below(65536) } : {}),
      ...(random.chance(0.03) ? { acknowledgment: random.u32() } : {}),
      ...(random.chance(0.03) ? { options: random.bytes(4 * random.below(6)) } : {}),
      payload: random.bytes(size),
    });
    flow.sequence = (flow.sequence + size + (random.chance(0.03) ? random.below(100) : 0)) >>> 0;
    flow.identification = (flow.identification + (random.chance(0.97) ? 1 : 5)) & 0xffff;
    if (random.chance(0.03)) packet[random.below(packet.length)] ^= 1 << random.below(8);
    return packet;
  });
}

/** A packet without the one thing that joining may change: the identification of a packet that has DF set. */
function comparable(packet: Uint8Array): string {
  const copy = packet.slice();
  if (copy[0] === 0x45 && (copy[6] & 0x40) !== 0) {
    copy.fill(0, 4, 6);
    copy.fill(0, 10, 12);
  }
  return Buffer.from(copy).toString('hex');
}

/** Protocol, addresses and ports where they are in a packet without options. */
function flowOf(packet: Uint8Array): string {
  const isIpv4 = packet[0] >> 4 === 4;
  const tuple = packet.subarray(isIpv4 ? 12 : 8, isIpv4 ? 24 : 44);
  return `${packet[isIpv4 ? 9 : 6]} ${Buffer.from(tuple).toString('hex')}`;
}

test('any traffic arrives whole, unchanged, and each flow in order', () => {
  withSeed((random) => {
    const other = plainMemory(16 * 65536);
    let packetsSeen = 0;
    let framesSeen = 0;
    for (let i = 0; i < 60; i++) {
      const packets = randomTraffic(random, 1 + random.below(200));
      const frames = coalescePackets(memory, packets, both);
      assertSamePackets(coalescePackets(other, packets, both), frames);
      const got = frames.flatMap(kernelPackets);
      assert.equal(got.length, packets.length);
      for (const flow of new Set(packets.map(flowOf))) {
        const of = (list: readonly Uint8Array[]): string[] =>
          list.filter((packet) => flowOf(packet) === flow).map(comparable);
        assert.equal(of(got).join('\n') === of(packets).join('\n'), true, `flow ${flow}`);
      }
      packetsSeen += packets.length;
      framesSeen += frames.length;
    }
    assert.ok(framesSeen < packetsSeen * 0.9, 'some were joined');
  });
});

test('random bytes: nothing is read behind a packet, and all go through', () => {
  withSeed((random) => {
    for (let i = 0; i < 3000; i++) {
      const frames: number[] = [];
      const { u8 } = memory;
      const length = 1 + random.below(100);
      const at = u8.length - length;
      const packet = random.bytes(length);
      packet[0] = random.pick([0x45, 0x60, 0x46, random.below(256)]);
      if (length > 9) packet[packet[0] === 0x45 ? 9 : 6] = random.pick([TCP, UDP]);
      if (length > 6 && packet[0] === 0x45) new DataView(packet.buffer).setUint16(2, length);
      if (length > 8 && packet[0] === 0x45) packet.fill(0, 6, 8);
      if (length > 40 && packet[0] === 0x60) new DataView(packet.buffer).setUint16(4, length - 40);
      u8.set(packet, at);
      const sink = { frame: (_: Int32Array, iovLength: Int32Array) => void frames.push(iovLength[1]) };
      const coalescer = new Coalescer(memory, 64, sink, both);
      coalescer.add(at, length);
      coalescer.flush();
      assert.deepEqual(frames, [length]);
      assert.deepEqual(u8.slice(at, at + length), packet);
    }
  });
});
