// Nanoseconds a packet for splitting and joining, with the checksum in WebAssembly: node bench/micro/wire.ts
import { PacketBatch } from '@sallyport/core';
import {
  COALESCER_SCRATCH_BYTES,
  Coalescer,
  Segmenter,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  VIRTIO_GSO_UDP_L4,
} from '@sallyport/wire';
import type { FrameSink } from '@sallyport/wire';
import { buildPacket, buildSuperFrame } from '../../tests/wire/packets.ts';
import type { PacketShape } from '../../tests/wire/packets.ts';
import { wasmMemory } from '../../tests/wire/wasm-memory.ts';

const MTU = 1420;
const ROUNDS = 7;
const MS_PER_ROUND = 60;
const FRAME_AT = 65536 + 6;
const OUT_AT = 4 * 65536;
const OUT_END = 8 * 65536;
const SCRATCH_AT = 1024;

const room = {
  headroom: 16,
  tailroom: 16,
  paddedLength: (length: number, mtu: number) => Math.max(length, Math.min((length + 15) & -16, mtu)),
};

const memory = wasmMemory(8 * 65536);
const segmenter = new Segmenter(memory);
const batch = new PacketBatch(1024);

/** Median over the rounds of the nanoseconds that one of `packets` takes when `work` handles them all. */
function measure(packets: number, work: () => void): string {
  const samples: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    let turns = 0;
    for (; performance.now() - start < MS_PER_ROUND; turns++) work();
    samples.push(((performance.now() - start) * 1e6) / turns / packets);
  }
  return samples.sort((a, b) => a - b)[ROUNDS >> 1].toFixed(0);
}

let frames = 0;
const sink: FrameSink = {
  frame() {
    frames++;
  },
};

function row(name: string, shape: PacketShape, gsoType: number, size: number, payload: number): void {
  const frame = buildSuperFrame({ ...shape, payload: new Uint8Array(payload).fill(0x5a) }, gsoType, size);
  memory.u8.set(frame, FRAME_AT);
  const segment = (): void => {
    batch.count = 0;
    if (segmenter.segment(FRAME_AT, frame.length, OUT_AT, OUT_END, room, MTU, batch, 1) < 0) throw new Error('refused');
  };
  segment();
  const packets = batch.count;
  const segmenting = measure(packets, segment);

  segment();
  const coalescer = new Coalescer(memory, SCRATCH_AT, sink, { tcp: true, udp: true });
  // Joining rewrites the first packet's headers, so they are put back each turn.
  const headers = memory.u8.slice(batch.at[0], batch.at[0] + 128);
  const coalescing = measure(packets, () => {
    memory.u8.set(headers, batch.at[0]);
    for (let i = 0; i < packets; i++) coalescer.add(batch.at[i], batch.length[i]);
    coalescer.flush();
  });
  console.log(
    `${name.padEnd(28)} ${String(packets).padStart(4)} ${segmenting.padStart(10)} ${coalescing.padStart(10)}`,
  );
}

console.log('ns a packet                packets segmenting coalescing');
const timestamps = new Uint8Array([1, 1, 8, 10, 0, 1, 2, 3, 4, 5, 6, 7]);
row('TCP IPv4, MSS 1368', { version: 4, protocol: 6, options: timestamps }, VIRTIO_GSO_TCPV4, 1368, 45 * 1368);
row('TCP IPv6, MSS 1348', { version: 6, protocol: 6, options: timestamps }, VIRTIO_GSO_TCPV6, 1348, 45 * 1348);
row('UDP IPv4, 1392 bytes', { version: 4, protocol: 17 }, VIRTIO_GSO_UDP_L4, 1392, 45 * 1392);
row('UDP IPv4, 64 bytes', { version: 4, protocol: 17 }, VIRTIO_GSO_UDP_L4, 64, 60 * 64);

// A stream of 16 flows that take turns, one packet each: the worst case for the table of open frames.
const flows: { at: number; length: number }[] = [];
let at = OUT_AT;
for (let n = 0; n < 4; n++) {
  for (let flow = 0; flow < 16; flow++) {
    const packet = buildPacket({
      version: 4,
      protocol: 6,
      sourcePort: 1000 + flow,
      sequence: n * 1368,
      payload: new Uint8Array(1368),
    });
    memory.u8.set(packet, at);
    flows.push({ at, length: packet.length });
    at += packet.length;
  }
}
const saved = memory.u8.slice(OUT_AT, at);
const interleaved = new Coalescer(memory, SCRATCH_AT + COALESCER_SCRATCH_BYTES, sink, { tcp: true, udp: false });
const interleaving = measure(flows.length, () => {
  for (let flow = 0; flow < 16; flow++) {
    const first = flows[flow].at;
    for (let i = 0; i < 40; i++) memory.u8[first + i] = saved[first + i - OUT_AT];
  }
  for (const packet of flows) interleaved.add(packet.at, packet.length);
  interleaved.flush();
});
console.log(
  `${'TCP IPv4, 16 flows in turn'.padEnd(28)} ${String(flows.length).padStart(4)} ${''.padStart(10)} ${interleaving.padStart(10)}`,
);
if (frames === 0) throw new Error('nothing came out');
