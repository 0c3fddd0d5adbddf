import type { Memory, PacketBatch, SealRoom } from '@sallyport/core';
import { fold, networkSum, pseudoHeaderSum } from './checksum.ts';
import {
  IPV4_CHECKSUM,
  IPV4_IDENTIFICATION,
  IPV4_PROTOCOL,
  IPV4_TOTAL_LENGTH,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  ipv4HeaderLength,
  isIpv4Fragment,
} from './ipv4.ts';
import {
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  ipv6PlainUpperOffset,
  ipv6UpperProtocol,
} from './ipv6.ts';
import { ipLength } from './packet.ts';
import { TCP_CHECKSUM, TCP_CWR, TCP_DATA_OFFSET, TCP_FIN, TCP_PSH, TCP_SEQUENCE, tcpHeaderLength } from './tcp.ts';
import { UDP_CHECKSUM, UDP_HEADER_BYTES, UDP_LENGTH } from './udp.ts';
import {
  VIRTIO_CSUM_OFFSET,
  VIRTIO_CSUM_START,
  VIRTIO_FLAGS,
  VIRTIO_GSO_ECN,
  VIRTIO_GSO_NONE,
  VIRTIO_GSO_SIZE,
  VIRTIO_GSO_TCPV4,
  VIRTIO_GSO_TCPV6,
  VIRTIO_GSO_TYPE,
  VIRTIO_GSO_UDP_L4,
  VIRTIO_NEEDS_CSUM,
  VIRTIO_NET_HEADER_BYTES,
} from './virtio-net-header.ts';

/** What {@link Segmenter.segment} returns for a frame that is not valid. */
export const FRAME_MALFORMED = -1;
/** What it returns where the out area or the batch can't take all of the frame's packets: try again when empty. */
export const FRAME_TOO_LARGE = -2;

/**
 * Turns the frames that TUN gives (a virtio_net_hdr, then an IP packet, which may be a TCP or UDP super-packet of
 * up to 64 KiB) into IP packets, complete with checksums, each with room around it to be sealed in place.
 *
 * Packets lie so that their sealed datagrams touch: headroom, packet, padding (zeroed), tailroom, and again. Each
 * byte is copied once, and the payload's checksum comes out of that copy.
 */
export class Segmenter {
  readonly #memory: Memory;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /**
   * Adds the packets of the frame of `frameLength` bytes at `frameAt` to `batch`, laid out from `outAt` up to
   * `outEnd` (not overlapping the frame) for a protocol that needs `room` on an interface of this MTU. Returns how
   * many bytes of the out area they take, or {@link FRAME_MALFORMED} or {@link FRAME_TOO_LARGE}, in both cases
   * with nothing added. Reads nothing outside the frame, and writes nothing outside the out area.
   */
  segment(
    frameAt: number,
    frameLength: number,
    outAt: number,
    outEnd: number,
    room: SealRoom,
    mtu: number,
    batch: PacketBatch,
    owner: number,
  ): number {
    const memory = this.#memory;
    const ip = frameAt + VIRTIO_NET_HEADER_BYTES;
    const length = ipLength(memory, ip, frameLength - VIRTIO_NET_HEADER_BYTES);
    if (length === 0) return FRAME_MALFORMED;
    const gsoType = memory.u8[frameAt + VIRTIO_GSO_TYPE] & ~VIRTIO_GSO_ECN;
    return gsoType === VIRTIO_GSO_NONE
      ? this.#copy(frameAt, length, outAt, outEnd, room, mtu, batch, owner)
      : this.#split(frameAt, length, gsoType, outAt, outEnd, room, mtu, batch, owner);
  }

  /** A packet that is one already: copied, and its checksum completed where the kernel left that to us. */
  #copy(
    frameAt: number,
    length: number,
    outAt: number,
    outEnd: number,
    room: SealRoom,
    mtu: number,
    batch: PacketBatch,
    owner: number,
  ): number {
    const memory = this.#memory;
    const { view } = memory;
    const ip = frameAt + VIRTIO_NET_HEADER_BYTES;
    const needsChecksum = (memory.u8[frameAt + VIRTIO_FLAGS] & VIRTIO_NEEDS_CSUM) !== 0;
    let start = 0;
    let field = 0;
    if (needsChecksum) {
      start = view.getUint16(frameAt + VIRTIO_CSUM_START, true);
      const offset = view.getUint16(frameAt + VIRTIO_CSUM_OFFSET, true);
      field = start + offset;
      const header = memory.u8[ip] >> 4 === 4 ? ipv4HeaderLength(memory, ip, length) : IPV6_HEADER_BYTES;
      if (start < header || field + 2 > length || (offset & 1) !== 0) return FRAME_MALFORMED;
    }

    const padded = room.paddedLength(length, mtu);
    const used = room.headroom + padded + room.tailroom;
    const to = outAt + room.headroom;
    if (outAt + used > outEnd || !batch.push(to, length, owner)) return FRAME_TOO_LARGE;

    if (needsChecksum) {
      // The field holds the pseudo-header's sum, so it is summed with the rest. A sum of 0 is sent as 0xffff:
      // to UDP 0 means no checksum, and to the others both are the same.
      memory.copyAndSum(to, ip, start);
      const sum = memory.copyAndSum(to + start, ip + start, length - start);
      view.setUint16(to + field, ~networkSum(sum) & 0xffff || 0xffff);
    } else {
      memory.copyAndSum(to, ip, length);
    }
    this.#zero(to + length, to + padded);
    return used;
  }

  /** A super-packet: every segment gets the headers, with what differs patched, and its part of the payload. */
  #split(
    frameAt: number,
    length: number,
    gsoType: number,
    outAt: number,
    outEnd: number,
    room: SealRoom,
    mtu: number,
    batch: PacketBatch,
    owner: number,
  ): number {
    const memory = this.#memory;
    const { view } = memory;
    const ip = frameAt + VIRTIO_NET_HEADER_BYTES;
    const isIpv4 = memory.u8[ip] >> 4 === 4;
    const isTcp = gsoType !== VIRTIO_GSO_UDP_L4;
    if (isTcp && gsoType !== (isIpv4 ? VIRTIO_GSO_TCPV4 : VIRTIO_GSO_TCPV6)) return FRAME_MALFORMED;

    const ipHeader = this.#superPacketIpHeader(ip, length, isIpv4, isTcp ? PROTOCOL_TCP : PROTOCOL_UDP);
    if (ipHeader === 0) return FRAME_MALFORMED;
    const transport = ip + ipHeader;
    const transportHeader = isTcp
      ? tcpHeaderLength(memory, transport, length - ipHeader)
      : length - ipHeader < UDP_HEADER_BYTES
        ? 0
        : UDP_HEADER_BYTES;
    if (transportHeader === 0 || !this.#checksumAgrees(frameAt, ipHeader, isTcp)) return FRAME_MALFORMED;

    // hdr_len is a hint only: what counts is what the headers themselves say.
    const size = view.getUint16(frameAt + VIRTIO_GSO_SIZE, true);
    if (size === 0) return FRAME_MALFORMED;
    const header = ipHeader + transportHeader;
    const payload = length - header;
    const last = payload === 0 ? 0 : Math.floor((payload - 1) / size);

    const { headroom, tailroom } = room;
    const padded = last === 0 ? 0 : room.paddedLength(header + size, mtu);
    const stride = headroom + padded + tailroom;
    const lastLength = header + payload - last * size;
    const lastPadded = room.paddedLength(lastLength, mtu);
    const used = last * stride + headroom + lastPadded + tailroom;
    if (outAt + used > outEnd || batch.count + last >= batch.capacity) return FRAME_TOO_LARGE;

    // The sums of all that the segments' headers have in common: the whole, and the words that differ taken out
    // again by adding their complements. Each is far below 2^32, so that the rest can be added before it is folded.
    let ipSum = 0;
    let identification = 0;
    if (isIpv4) {
      identification = view.getUint16(ip + IPV4_IDENTIFICATION);
      ipSum =
        networkSum(memory.sum(ip, ipHeader)) +
        (~view.getUint16(ip + IPV4_TOTAL_LENGTH) & 0xffff) +
        (~identification & 0xffff) +
        (~view.getUint16(ip + IPV4_CHECKSUM) & 0xffff);
    }
    let transportSum =
      pseudoHeaderSum(memory, ip, isIpv4 ? 4 : 6, isTcp ? PROTOCOL_TCP : PROTOCOL_UDP) +
      networkSum(memory.sum(transport, transportHeader));
    let sequence = 0;
    let flags = 0;
    if (isTcp) {
      sequence = view.getInt32(transport + TCP_SEQUENCE);
      flags = view.getUint16(transport + TCP_DATA_OFFSET);
      transportSum +=
        (~(sequence >>> 16) & 0xffff) +
        (~sequence & 0xffff) +
        (~flags & 0xffff) +
        (~view.getUint16(transport + TCP_CHECKSUM) & 0xffff);
    } else {
      transportSum +=
        (~view.getUint16(transport + UDP_LENGTH) & 0xffff) + (~view.getUint16(transport + UDP_CHECKSUM) & 0xffff);
    }

    let to = outAt + headroom;
    let from = ip + header;
    for (let k = 0; k <= last; k++) {
      const segmentLength = k === last ? lastLength : header + size;
      const transportLength = segmentLength - ipHeader;
      memory.copyAndSum(to, ip, header);
      const payloadSum = networkSum(memory.copyAndSum(to + header, from, segmentLength - header));

      if (isIpv4) {
        const id = (identification + k) & 0xffff;
        view.setUint16(to + IPV4_TOTAL_LENGTH, segmentLength);
        view.setUint16(to + IPV4_IDENTIFICATION, id);
        view.setUint16(to + IPV4_CHECKSUM, ~fold(ipSum + segmentLength + id));
      } else {
        view.setUint16(to + IPV6_PAYLOAD_LENGTH, segmentLength - IPV6_HEADER_BYTES);
      }

      const at = to + ipHeader;
      if (isTcp) {
        // CWR belongs to the first segment alone, FIN and PSH to the last.
        let segmentFlags = flags;
        if (k > 0) segmentFlags &= ~TCP_CWR;
        if (k < last) segmentFlags &= ~(TCP_FIN | TCP_PSH);
        view.setInt32(at + TCP_SEQUENCE, sequence);
        view.setUint16(at + TCP_DATA_OFFSET, segmentFlags);
        const sum = transportSum + transportLength + (sequence >>> 16) + (sequence & 0xffff) + segmentFlags;
        view.setUint16(at + TCP_CHECKSUM, ~fold(sum + payloadSum));
        sequence = (sequence + size) | 0;
      } else {
        view.setUint16(at + UDP_LENGTH, transportLength);
        const sum = fold(transportSum + 2 * transportLength + payloadSum);
        view.setUint16(at + UDP_CHECKSUM, ~sum & 0xffff || 0xffff);
      }

      const end = to + segmentLength;
      this.#zero(end, to + (k === last ? lastPadded : padded));
      batch.push(to, segmentLength, owner);
      to += stride;
      from += size;
    }
    return used;
  }

  /** The IP header's length, extension headers included, of a super-packet of this protocol; 0 if it is not one. */
  #superPacketIpHeader(ip: number, length: number, isIpv4: boolean, protocol: number): number {
    const memory = this.#memory;
    const { u8 } = memory;
    if (isIpv4) {
      if (u8[ip + IPV4_PROTOCOL] !== protocol || isIpv4Fragment(memory, ip)) return 0;
      return ipv4HeaderLength(memory, ip, length);
    }
    if (u8[ip + IPV6_NEXT_HEADER] === protocol) return IPV6_HEADER_BYTES;
    const upper = ipv6PlainUpperOffset(memory, ip, length);
    return upper !== 0 && ipv6UpperProtocol(memory, ip, upper) === protocol ? upper : 0;
  }

  /** Whether the frame's header, where it asks for a checksum, means the one that its packet has. */
  #checksumAgrees(frameAt: number, ipHeader: number, isTcp: boolean): boolean {
    const { u8, view } = this.#memory;
    if ((u8[frameAt + VIRTIO_FLAGS] & VIRTIO_NEEDS_CSUM) === 0) return true;
    return (
      view.getUint16(frameAt + VIRTIO_CSUM_START, true) === ipHeader &&
      view.getUint16(frameAt + VIRTIO_CSUM_OFFSET, true) === (isTcp ? TCP_CHECKSUM : UDP_CHECKSUM)
    );
  }

  #zero(from: number, end: number): void {
    const { u8 } = this.#memory;
    for (let i = from; i < end; i++) u8[i] = 0;
  }
}
