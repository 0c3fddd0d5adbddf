// Mutated TUN frames and opened packets through the whole of packages/wire. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import { DropReason, PacketBatch } from '@sallyport/core';
import { SeededRandom } from '@sallyport/testkit';
import {
  buildUnreachable,
  Coalescer,
  COALESCER_SCRATCH_BYTES,
  decapsulateEcn,
  FRAME_MALFORMED,
  FRAME_TOO_LARGE,
  ipLength,
  MAX_FRAME_PARTS,
  MAX_ICMP_ERROR_BYTES,
  Segmenter,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  VIRTIO_GSO_UDP_L4,
} from '@sallyport/wire';
import { wireguardRoom } from '../wire/frames.ts';
import {
  buildPacket,
  buildPartialPacket,
  buildSuperFrame,
  buildVirtioHeader,
  concat,
  TCP,
  UDP,
} from '../wire/packets.ts';
import type { PacketShape } from '../wire/packets.ts';
import { wasmMemory } from '../wire/wasm-memory.ts';

const MEMORY_BYTES = 6 * 65536;
const SCRATCH_AT = 1024;
const ERROR_AT = 4096;
const OUT_AT = 65536;
const OUT_BYTES = 3 * 65536;
const CANARY_BYTES = 64;
const CANARY = 0xc3;
/** Few enough that some frames do not fit. */
const BATCH = 200;

export interface FuzzResult {
  /** Frames and packets that went through. */
  readonly accepted: number;
  /** Frames and packets that were refused. */
  readonly dropped: number;
}

/**
 * Runs `iterations` mutated frames through the segmenter, and what comes out, mutated again, through `ipLength`,
 * ECN, ICMP errors and the coalescer. Every frame ends where the memory ends, so that a read behind it is caught.
 * Throws, naming the iteration, where anything is read or written that must not be, or a packet is lost.
 */
export function fuzzWire(iterations: number, seed: number): FuzzResult {
  const random = new SeededRandom(seed);
  const memory = wasmMemory(MEMORY_BYTES);
  const { u8 } = memory;
  const templates = buildTemplates(random);
  const segmenter = new Segmenter(memory);
  const batch = new PacketBatch(BATCH);
  let accepted = 0;
  let dropped = 0;
  let packetsOut = 0;

  const sink = {
    frame(iovAt: Int32Array, iovLength: Int32Array, count: number): void {
      assert.ok(count >= 2 && count <= MAX_FRAME_PARTS);
      assert.ok(iovAt[0] >= SCRATCH_AT && iovAt[0] + 10 <= SCRATCH_AT + COALESCER_SCRATCH_BYTES);
      assert.equal(iovLength[0], 10);
      let length = 0;
      for (let i = 1; i < count; i++) {
        assert.ok(iovLength[i] > 0 && iovAt[i] >= OUT_AT && iovAt[i] + iovLength[i] <= MEMORY_BYTES);
        length += iovLength[i];
      }
      assert.ok(length <= 65575);
      if (count > 2) assert.equal(ipLength(memory, iovAt[1], length), length);
      packetsOut += count - 1;
    },
  };
  const coalescer = new Coalescer(memory, SCRATCH_AT, sink, { tcp: true, udp: true });

  for (let i = 0; i < iterations; i++) {
    try {
      one();
    } catch (cause) {
      throw new Error(`iteration ${i} of seed ${seed}`, { cause });
    }
  }
  return { accepted, dropped };

  function one(): void {
    const frame = mutateFrame(random, random.pick(templates));
    const frameAt = MEMORY_BYTES - frame.length;
    u8.set(frame, frameAt);
    const outAt = OUT_AT + random.below(16);
    const outEnd = outAt + (random.chance(0.9) ? OUT_BYTES : random.below(4096));
    u8.fill(CANARY, outAt - CANARY_BYTES, outAt);
    u8.fill(CANARY, outEnd, outEnd + CANARY_BYTES);
    const mtu = random.pick([576, 1280, 1420, 1425, 9000, 65535]);
    batch.count = 0;
    const used = segmenter.segment(frameAt, frame.length, outAt, outEnd, wireguardRoom, mtu, batch, i32(random));
    assertAll(outAt - CANARY_BYTES, outAt, CANARY);
    assertAll(outEnd, outEnd + CANARY_BYTES, CANARY);
    for (let k = 0; k < frame.length; k++) if (u8[frameAt + k] !== frame[k]) assert.fail('the frame was written to');
    if (used < 0) {
      assert.ok(used === FRAME_MALFORMED || used === FRAME_TOO_LARGE);
      assert.equal(batch.count, 0);
      dropped++;
      return;
    }
    accepted++;
    assert.ok(used <= outEnd - outAt && batch.count > 0);
    let cursor = outAt;
    for (let k = 0; k < batch.count; k++) {
      const length = batch.length[k];
      const padded = wireguardRoom.paddedLength(length, mtu);
      assert.equal(batch.at[k], cursor + 16);
      assert.equal(ipLength(memory, batch.at[k], length), length);
      assertAll(batch.at[k] + length, batch.at[k] + padded, 0);
      cursor += 16 + padded + 16;
    }
    assert.equal(cursor, outAt + used);
    open();
  }

  /** What was segmented, as if it had been received, some of it mutated. */
  function open(): void {
    let added = 0;
    packetsOut = 0;
    const wild = random.chance(0.3);
    const count = Math.min(batch.count, 60);
    for (let k = 0; k < count; k++) {
      const at = batch.at[k];
      let available = batch.length[k];
      if (wild && random.chance(0.2)) {
        for (let n = random.below(4); n >= 0; n--) u8[at + random.below(Math.min(available, 80))] = random.below(256);
        if (random.chance(0.3)) available = random.below(available + 1);
      }
      const length = ipLength(memory, at, available);
      if (length === 0) {
        dropped++;
        continue;
      }
      if (wild) {
        u8.fill(CANARY, ERROR_AT - CANARY_BYTES, ERROR_AT + MAX_ICMP_ERROR_BYTES + CANARY_BYTES);
        const error = buildUnreachable(memory, ERROR_AT, at, available, random.below(DropReason.noEndpoint + 1));
        assert.ok(error >= 0 && error <= MAX_ICMP_ERROR_BYTES);
        assertAll(ERROR_AT - CANARY_BYTES, ERROR_AT, CANARY);
        assertAll(ERROR_AT + error, ERROR_AT + MAX_ICMP_ERROR_BYTES + CANARY_BYTES, CANARY);
        if (error > 0) assert.equal(ipLength(memory, ERROR_AT, error), error);
        if (!decapsulateEcn(memory, at, random.below(256))) {
          dropped++;
          continue;
        }
      }
      coalescer.add(at, length);
      added++;
    }
    coalescer.flush();
    assert.equal(packetsOut, added, 'every packet goes through');
    accepted += added;
  }

  function assertAll(from: number, end: number, value: number): void {
    for (let k = from; k < end; k++) if (u8[k] !== value) assert.fail(`byte ${k} is ${u8[k]}, not ${value}`);
  }
}

function i32(random: SeededRandom): number {
  return random.u32() | 0;
}

function buildTemplates(random: SeededRandom): Uint8Array[] {
  const extensions = [{ type: 60, bytes: new Uint8Array([0, 0, 1, 4, 0, 0, 0, 0]) }];
  const shapes: PacketShape[] = [];
  for (const version of [4, 6] as const) {
    for (const protocol of [TCP, UDP]) {
      shapes.push({ version, protocol, options: random.bytes(12), tos: random.below(256) });
      shapes.push({ version, protocol, dontFragment: false, ipOptions: new Uint8Array(8).fill(1), extensions });
    }
  }
  return shapes.flatMap((shape) => {
    const gsoType =
      shape.protocol === UDP ? VIRTIO_GSO_UDP_L4 : shape.version === 4 ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_TCPV6;
    const sizes: [payload: number, gsoSize: number][] = [
      [40, 7],
      [900, 64],
      [3000, 536],
      [9000, 1368],
    ];
    const empty = buildPacket(shape).length;
    const csumStart = empty - (shape.protocol === UDP ? 8 : 20 + (shape.options?.length ?? 0));
    const csumOffset = shape.protocol === UDP ? 6 : 16;
    const small = { ...shape, payload: random.bytes(random.below(100)) };
    return [
      ...sizes.map(([length, size]) => buildSuperFrame({ ...shape, payload: random.bytes(length) }, gsoType, size)),
      concat(buildVirtioHeader({}), buildPacket(small)),
      concat(buildVirtioHeader({ flags: 1, csumStart, csumOffset }), buildPartialPacket(small)),
      concat(
        buildVirtioHeader({}),
        buildPacket({ version: shape.version, protocol: shape.version === 4 ? 1 : 58, payload: random.bytes(60) }),
      ),
    ];
  });
}

/** A copy with some of: bytes set at random (mostly in the headers), fields at their edges, cut, lengthened. */
function mutateFrame(random: SeededRandom, template: Uint8Array): Uint8Array {
  let frame: Uint8Array = template.slice();
  if (random.chance(0.1)) return frame;
  const edges = [0, 1, 0x7f, 0x80, 0xff];
  for (let n = random.below(5); n > 0; n--) {
    const at = random.chance(0.9) ? random.below(Math.min(frame.length, 90)) : random.below(frame.length);
    frame[at] = random.chance(0.4) ? random.pick(edges) : random.below(256);
  }
  if (random.chance(0.2)) {
    const view = new DataView(frame.buffer);
    view.setUint16(2 * random.below(5), random.pick([0, 1, 20, 40, 65535, random.below(3000)]), true);
  }
  if (random.chance(0.15)) frame = frame.slice(0, random.below(frame.length + 1));
  if (random.chance(0.05)) frame = concat(frame, random.bytes(random.below(64)));
  return frame;
}
