import type { Memory } from '@sallyport/core';
import { fold, pseudoHeaderSum, swap16, writeIpv4Checksum } from './checksum.ts';
import {
  IPV4_DONT_FRAGMENT,
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_IDENTIFICATION,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  isIpv4Fragment,
} from './ipv4.ts';
import {
  IPV6_HEADER_BYTES,
  IPV6_HOP_LIMIT,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  NEXT_HEADER_ICMPV6,
} from './ipv6.ts';
import {
  TCP_ACK,
  TCP_ACKNOWLEDGMENT,
  TCP_CHECKSUM,
  TCP_CWR,
  TCP_DATA_OFFSET,
  TCP_FIN,
  TCP_FLAGS,
  TCP_HEADER_BYTES,
  TCP_PSH,
  TCP_RST,
  TCP_SEQUENCE,
  TCP_SYN,
  TCP_URG,
  tcpHeaderLength,
} from './tcp.ts';
import { UDP_CHECKSUM, UDP_HEADER_BYTES, UDP_LENGTH } from './udp.ts';
import {
  VIRTIO_DATA_VALID,
  VIRTIO_GSO_NONE,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_HEADER_BYTES,
  writeVirtioNetHeader,
} from './virtio-net-header.ts';

/** Takes the frames that go to TUN. */
export interface FrameSink {
  /**
   * A frame in `count` parts at these places: first its virtio_net_hdr. The arrays and the header are the
   * coalescer's and change after the call. It must not call the coalescer.
   */
  frame(iovAt: Int32Array, iovLength: Int32Array, count: number): void;
}

export interface CoalescerOptions {
  /** Join TCP segments (the device has TUN_F_TSO4 and TUN_F_TSO6). */
  readonly tcp: boolean;
  /** Join UDP datagrams (the device has TUN_F_USO4 and TUN_F_USO6). */
  readonly udp: boolean;
}

/** Frames that may be open at once: packets of several streams interleave. The oldest one gives way. */
const MAX_OPEN_FRAMES = 16;
/** Packets in one frame: what the kernel takes as one UDP super-packet (UDP_MAX_SEGMENTS was 64 until Linux 6.9). */
const MAX_SEGMENTS = 64;
/** A virtio_net_hdr and the packets. */
export const MAX_FRAME_PARTS = 1 + MAX_SEGMENTS;
const MAX_PACKET_BYTES = 65535;

const HEADER_STRIDE = 16;
/** The room that a coalescer needs at `scratchAt`. */
export const COALESCER_SCRATCH_BYTES = (MAX_OPEN_FRAMES + 1) * HEADER_STRIDE;

/** A TCP segment with one of these stays alone. */
const TCP_ALONE = TCP_FIN | TCP_SYN | TCP_RST | TCP_URG | TCP_CWR;

/** One frame in the making: the first packet whole, then the payloads of those that continue it. */
class OpenFrame {
  readonly headerAt: number;
  readonly iovAt = new Int32Array(MAX_FRAME_PARTS);
  readonly iovLength = new Int32Array(MAX_FRAME_PARTS);
  /** Parts of the vector in use. */
  parts = 0;
  /** The first packet. */
  at = 0;
  key = 0;
  protocol = 0;
  ipHeader = 0;
  /** IP and transport header together. */
  header = 0;
  /** Payload of every packet but the last. */
  size = 0;
  /** Payload of all. */
  payload = 0;
  nextSequence = 0;

  constructor(headerAt: number) {
    this.headerAt = headerAt;
    this.iovAt[0] = headerAt;
    this.iovLength[0] = VIRTIO_NET_HEADER_BYTES;
  }
}

/**
 * Joins consecutive TCP segments, and UDP datagrams, of one batch to super-packets, as the kernel's GRO does, so
 * that TUN takes a train of packets in one write. Payloads stay where they are.
 *
 * Packets of a flow never change their order: one that can't continue its flow's open frame closes it first. Only
 * packets whose checksums are right are joined; every other packet goes through alone and unchanged.
 */
export class Coalescer {
  readonly #memory: Memory;
  readonly #sink: FrameSink;
  readonly #tcp: boolean;
  readonly #udp: boolean;
  /** The first `#openCount` are open, the oldest first; the others are free. */
  readonly #frames: OpenFrame[] = [];
  readonly #alone: OpenFrame;
  #openCount = 0;
  #recent = 0;

  /** `scratchAt` is the place of {@link COALESCER_SCRATCH_BYTES} bytes of the coalescer's own. */
  constructor(memory: Memory, scratchAt: number, sink: FrameSink, options: CoalescerOptions) {
    this.#memory = memory;
    this.#sink = sink;
    this.#tcp = options.tcp;
    this.#udp = options.udp;
    for (let i = 0; i < MAX_OPEN_FRAMES; i++) this.#frames.push(new OpenFrame(scratchAt + i * HEADER_STRIDE));
    this.#alone = new OpenFrame(scratchAt + MAX_OPEN_FRAMES * HEADER_STRIDE);
  }

  /**
   * Takes the IP packet of exactly `length` bytes (see `ipLength`) at `at`. It must stay there untouched until
   * {@link Coalescer.flush}; its headers may be rewritten by then.
   */
  add(at: number, length: number): void {
    const { u8, view } = this.#memory;
    const first = u8[at];
    let ipHeader = 0;
    let protocol = 0;
    if (first === 0x45 && length >= IPV4_HEADER_BYTES) {
      protocol = u8[at + IPV4_PROTOCOL];
      if (view.getUint16(at + IPV4_TOTAL_LENGTH) === length && !isIpv4Fragment(this.#memory, at)) {
        ipHeader = IPV4_HEADER_BYTES;
      }
    } else if (first >> 4 === 6 && length >= IPV6_HEADER_BYTES) {
      protocol = u8[at + IPV6_NEXT_HEADER];
      if (view.getUint16(at + IPV6_PAYLOAD_LENGTH) === length - IPV6_HEADER_BYTES) ipHeader = IPV6_HEADER_BYTES;
    }

    if (ipHeader !== 0 && protocol === PROTOCOL_TCP) {
      if (this.#tcp) this.#addTcp(at, length, ipHeader);
      else this.#pass(at, length, 0);
    } else if (ipHeader !== 0 && protocol === PROTOCOL_UDP) {
      if (this.#udp) this.#addUdp(at, length, ipHeader);
      else this.#pass(at, length, 0);
    } else {
      // Fragments, IP options and extension headers hide which flow a packet belongs to: to be sure of its order,
      // what is open goes first. ICMP has no flow.
      if (ipHeader === 0 || (ipHeader === IPV6_HEADER_BYTES && protocol !== NEXT_HEADER_ICMPV6)) this.flush();
      this.#pass(at, length, 0);
    }
  }

  /** Writes every open frame. */
  flush(): void {
    const count = this.#openCount;
    for (let i = 0; i < count; i++) this.#write(this.#frames[i]);
    this.#openCount = 0;
  }

  #addTcp(at: number, length: number, ipHeader: number): void {
    const memory = this.#memory;
    const { view } = memory;
    const transport = at + ipHeader;
    const tcpHeader = tcpHeaderLength(memory, transport, length - ipHeader);
    if (tcpHeader === 0) {
      this.flush();
      this.#pass(at, length, 0);
      return;
    }
    const header = ipHeader + tcpHeader;
    const payload = length - header;
    const flags = memory.u8[transport + TCP_FLAGS];
    const key = this.#keyOf(at, ipHeader, PROTOCOL_TCP);
    const index = this.#find(at, ipHeader, PROTOCOL_TCP, key);

    const joinable = payload > 0 && (flags & (TCP_ALONE | TCP_ACK)) === TCP_ACK;
    if (!joinable || !this.#verify(at, length, ipHeader, PROTOCOL_TCP)) {
      if (index >= 0) this.#close(index);
      this.#pass(at, length, 0);
      return;
    }

    const sequence = view.getInt32(transport + TCP_SEQUENCE);
    const ends = (flags & TCP_PSH) !== 0;
    if (index >= 0) {
      const frame = this.#frames[index];
      if (
        sequence === frame.nextSequence &&
        payload <= frame.size &&
        frame.header + frame.payload + payload <= MAX_PACKET_BYTES &&
        this.#sameIp(at, frame) &&
        this.#sameTcp(transport, tcpHeader, frame.at + ipHeader)
      ) {
        frame.nextSequence = (sequence + payload) | 0;
        if (ends) memory.u8[frame.at + ipHeader + TCP_FLAGS] |= TCP_PSH;
        this.#join(index, at, payload, ends);
        return;
      }
      this.#close(index);
    }
    if (ends) this.#pass(at, length, VIRTIO_DATA_VALID);
    else this.#open(at, length, ipHeader, header, PROTOCOL_TCP, key).nextSequence = (sequence + payload) | 0;
  }

  #addUdp(at: number, length: number, ipHeader: number): void {
    const { view } = this.#memory;
    const header = ipHeader + UDP_HEADER_BYTES;
    if (length < header) {
      this.flush();
      this.#pass(at, length, 0);
      return;
    }
    const payload = length - header;
    const key = this.#keyOf(at, ipHeader, PROTOCOL_UDP);
    const index = this.#find(at, ipHeader, PROTOCOL_UDP, key);

    const joinable =
      payload > 0 &&
      view.getUint16(at + ipHeader + UDP_LENGTH) === length - ipHeader &&
      view.getUint16(at + ipHeader + UDP_CHECKSUM) !== 0;
    if (!joinable || !this.#verify(at, length, ipHeader, PROTOCOL_UDP)) {
      if (index >= 0) this.#close(index);
      this.#pass(at, length, 0);
      return;
    }

    if (index >= 0) {
      const frame = this.#frames[index];
      if (
        payload <= frame.size &&
        frame.header + frame.payload + payload <= MAX_PACKET_BYTES &&
        this.#sameIp(at, frame)
      ) {
        this.#join(index, at, payload, false);
        return;
      }
      this.#close(index);
    }
    this.#open(at, length, ipHeader, header, PROTOCOL_UDP, key);
  }

  /** A number that packets of one flow share, and others seldom. */
  #keyOf(at: number, ipHeader: number, protocol: number): number {
    const { view } = this.#memory;
    const ports = view.getInt32(at + ipHeader, true);
    const source = view.getInt32(at + ipHeader - (ipHeader === IPV4_HEADER_BYTES ? 8 : 20), true);
    const destination = view.getInt32(at + ipHeader - 4, true);
    return ports ^ Math.imul(source, 0x9e3779b1) ^ Math.imul(destination, 0x85ebca6b) ^ protocol;
  }

  /** The index of the open frame of the packet's flow, or -1. */
  #find(at: number, ipHeader: number, protocol: number, key: number): number {
    const recent = this.#recent;
    const open = this.#openCount;
    const frames = this.#frames;
    if (recent < open && frames[recent].key === key && this.#sameFlow(at, ipHeader, protocol, frames[recent])) {
      return recent;
    }
    for (let i = 0; i < open; i++) {
      const frame = frames[i];
      if (frame.key === key && this.#sameFlow(at, ipHeader, protocol, frame)) {
        this.#recent = i;
        return i;
      }
    }
    return -1;
  }

  #sameFlow(at: number, ipHeader: number, protocol: number, frame: OpenFrame): boolean {
    if (ipHeader !== frame.ipHeader || protocol !== frame.protocol) return false;
    const { view } = this.#memory;
    // Addresses and ports: the last bytes of the IP header and the first 4 of the transport's, which adjoin.
    const from = ipHeader === IPV4_HEADER_BYTES ? IPV4_SOURCE : IPV6_SOURCE;
    const other = frame.at;
    for (let i = from; i <= ipHeader; i += 4) {
      if (view.getInt32(at + i, true) !== view.getInt32(other + i, true)) return false;
    }
    return true;
  }

  /** Whether all of the IP header but lengths, checksum and what a flow has in common anyway lets a packet join. */
  #sameIp(at: number, frame: OpenFrame): boolean {
    const { u8, view } = this.#memory;
    const other = frame.at;
    if (frame.ipHeader === IPV6_HEADER_BYTES) {
      return view.getInt32(at) === view.getInt32(other) && u8[at + IPV6_HOP_LIMIT] === u8[other + IPV6_HOP_LIMIT];
    }
    const fragment = view.getUint16(at + IPV4_FRAGMENT);
    if (
      view.getUint16(at) !== view.getUint16(other) ||
      u8[at + IPV4_TTL] !== u8[other + IPV4_TTL] ||
      fragment !== view.getUint16(other + IPV4_FRAGMENT)
    ) {
      return false;
    }
    // With DF the identification means nothing (RFC 6864); without, segmentation has to give the same ones again.
    if ((fragment & IPV4_DONT_FRAGMENT) !== 0) return true;
    const expected = view.getUint16(other + IPV4_IDENTIFICATION) + frame.parts - 1;
    return view.getUint16(at + IPV4_IDENTIFICATION) === (expected & 0xffff);
  }

  /** Whether acknowledgment, data offset, flags but PSH, window and options are those of the first segment. */
  #sameTcp(transport: number, tcpHeader: number, other: number): boolean {
    const { view } = this.#memory;
    if (view.getInt32(transport + TCP_ACKNOWLEDGMENT) !== view.getInt32(other + TCP_ACKNOWLEDGMENT)) return false;
    const difference = view.getInt32(transport + TCP_DATA_OFFSET) ^ view.getInt32(other + TCP_DATA_OFFSET);
    if ((difference & ~(TCP_PSH << 16)) !== 0) return false;
    for (let i = TCP_HEADER_BYTES; i < tcpHeader; i += 4) {
      if (view.getInt32(transport + i) !== view.getInt32(other + i)) return false;
    }
    return true;
  }

  /** Whether the checksums of the IPv4 header and of the transport are right. */
  #verify(at: number, length: number, ipHeader: number, protocol: number): boolean {
    const memory = this.#memory;
    let addresses = IPV6_SOURCE;
    if (ipHeader === IPV4_HEADER_BYTES) {
      if (fold(memory.sum(at, IPV4_HEADER_BYTES)) !== 0xffff) return false;
      addresses = IPV4_SOURCE;
    }
    // The addresses are part of the pseudo-header and adjoin the transport's header: one sum takes both.
    const sum = memory.sum(at + addresses, length - addresses);
    return fold(sum + swap16(protocol) + swap16(length - ipHeader)) === 0xffff;
  }

  #open(at: number, length: number, ipHeader: number, header: number, protocol: number, key: number): OpenFrame {
    if (this.#openCount === MAX_OPEN_FRAMES) this.#close(0);
    const index = this.#openCount++;
    this.#recent = index;
    const frame = this.#frames[index];
    frame.iovAt[1] = at;
    frame.iovLength[1] = length;
    frame.parts = 2;
    frame.at = at;
    frame.key = key;
    frame.protocol = protocol;
    frame.ipHeader = ipHeader;
    frame.header = header;
    frame.size = length - header;
    frame.payload = length - header;
    return frame;
  }

  #join(index: number, at: number, payload: number, ends: boolean): void {
    const frame = this.#frames[index];
    const part = frame.parts;
    frame.iovAt[part] = at + frame.header;
    frame.iovLength[part] = payload;
    frame.parts = part + 1;
    frame.payload += payload;
    if (ends || payload < frame.size || part + 1 === MAX_FRAME_PARTS) this.#close(index);
  }

  /** Writes an open frame; it becomes the first of the free ones. */
  #close(index: number): void {
    const frames = this.#frames;
    const frame = frames[index];
    this.#write(frame);
    const last = --this.#openCount;
    if (index !== last) {
      for (let i = index; i < last; i++) frames[i] = frames[i + 1];
      frames[last] = frame;
    }
  }

  #write(frame: OpenFrame): void {
    const memory = this.#memory;
    const { view } = memory;
    const { at, ipHeader, header, headerAt } = frame;
    if (frame.parts === 2) {
      writeVirtioNetHeader(memory, headerAt, VIRTIO_DATA_VALID, VIRTIO_GSO_NONE, 0, 0, 0, 0);
    } else {
      const length = header + frame.payload;
      const isIpv4 = ipHeader === IPV4_HEADER_BYTES;
      const isTcp = frame.protocol === PROTOCOL_TCP;
      if (isIpv4) {
        view.setUint16(at + IPV4_TOTAL_LENGTH, length);
        writeIpv4Checksum(memory, at, IPV4_HEADER_BYTES);
      } else {
        view.setUint16(at + IPV6_PAYLOAD_LENGTH, length - IPV6_HEADER_BYTES);
      }
      if (!isTcp) view.setUint16(at + ipHeader + UDP_LENGTH, length - ipHeader);
      const checksum = isTcp ? TCP_CHECKSUM : UDP_CHECKSUM;
      const sum = fold(pseudoHeaderSum(memory, at, isIpv4 ? 4 : 6, frame.protocol) + length - ipHeader);
      view.setUint16(at + ipHeader + checksum, sum);
      const gsoType = !isTcp ? VIRTIO_GSO_UDP_L4 : isIpv4 ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_TCPV6;
      writeVirtioNetHeader(memory, headerAt, VIRTIO_NEEDS_CSUM, gsoType, header, frame.size, ipHeader, checksum);
    }
    this.#sink.frame(frame.iovAt, frame.iovLength, frame.parts);
  }

  #pass(at: number, length: number, flags: number): void {
    const frame = this.#alone;
    frame.iovAt[1] = at;
    frame.iovLength[1] = length;
    writeVirtioNetHeader(this.#memory, frame.headerAt, flags, VIRTIO_GSO_NONE, 0, 0, 0, 0);
    this.#sink.frame(frame.iovAt, frame.iovLength, 2);
  }
}
