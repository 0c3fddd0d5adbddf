import { DropReason, PacketBatch, type Instant, type Memory, type PacketProtocol } from '@sallyport/core';
import { Segmenter, VIRTIO_NET_HEADER_BYTES } from '@sallyport/wire';

const MALFORMED_FRAME = DropReason.malformedFrame;
const MALFORMED_PACKET = DropReason.malformedPacket;
const NO_ROUTE = DropReason.noRoute;

const IPV4_DESTINATION = 16;
const IPV4_HEADER_BYTES = 20;
const IPV6_DESTINATION = 24;
const IPV6_HEADER_BYTES = 40;

/** Segments that one frame may become: 64 KiB in the smallest segments that TCP makes in earnest. */
const MAX_SEGMENTS = 1024;

/** What a frame takes in the output area at most, beside its own bytes: headers, padding and tags of its segments. */
const AREA_BYTES = 512 * 1024;
/** Left free at either end: a cipher works on the surroundings of a packet too. */
const MARGIN_BYTES = 64;

/**
 * The way out: TUN -> route -> segment -> seal -> UDP.
 *
 * Sealed datagrams are laid one behind the other in an area of this thread's own, so that they leave in trains.
 */
export class Outbound {
  static readonly areaBytes = AREA_BYTES;

  mtu: number;
  readonly #memory: Memory;
  readonly #protocols: readonly PacketProtocol[];
  /** Whose the frame being handled is. */
  #protocol: PacketProtocol;
  readonly #flushTrains: () => void;
  readonly #segmenter: Segmenter;
  readonly #batch = new PacketBatch(MAX_SEGMENTS);
  readonly #area: number;
  readonly #areaEnd: number;
  #cursor: number;

  /** `area` is {@link areaBytes} of this thread's own; `flushTrains` sends what their outboxes have been given. */
  constructor(
    memory: Memory,
    protocols: readonly PacketProtocol[],
    flushTrains: () => void,
    area: number,
    mtu: number,
  ) {
    this.#memory = memory;
    this.#protocols = protocols;
    this.#protocol = protocols[0];
    this.#flushTrains = flushTrains;
    this.#segmenter = new Segmenter(memory);
    this.#area = area + MARGIN_BYTES;
    this.#areaEnd = area + AREA_BYTES - MARGIN_BYTES;
    this.#cursor = this.#area;
    this.mtu = mtu;
  }

  /** A frame as TUN gives it: a virtio-net header and an IP packet, which may be a super-packet of many segments. */
  handleFrame(at: number, length: number, now: Instant): void {
    const packet = at + VIRTIO_NET_HEADER_BYTES;
    const packetLength = length - VIRTIO_NET_HEADER_BYTES;
    const session = this.#route(packet, packetLength);
    if (session <= 0) {
      const { out } = this.#protocols[0];
      if (session === 0) out.undeliverable(packet, packetLength, NO_ROUTE);
      else out.drop(MALFORMED_PACKET);
      return;
    }
    let used = this.#segment(at, length, session);
    if (used < 0 && this.#cursor !== this.#area) {
      // Perhaps it only lacked room.
      this.flush();
      used = this.#segment(at, length, session);
    }
    if (used < 0) {
      this.#protocol.out.drop(MALFORMED_FRAME);
      return;
    }
    this.#cursor += used;
    this.#protocol.packets.seal(this.#batch, now, this.#protocol.out, this.mtu);
  }

  /** Sends what waits; the area is free again. */
  flush(): void {
    this.#flushTrains();
    this.#cursor = this.#area;
  }

  #segment(at: number, length: number, session: number): number {
    this.#batch.count = 0;
    return this.#segmenter.segment(
      at,
      length,
      this.#cursor,
      this.#areaEnd,
      this.#protocol.packets.room(session),
      this.mtu,
      this.#batch,
      session,
    );
  }

  /** The session for the packet's destination, 0 for none, -1 where it is no IP packet. Sets whose it is. */
  #route(packet: number, length: number): number {
    const protocols = this.#protocols;
    const version = this.#memory.u8[packet] >> 4;
    const four = version === 4 && length >= IPV4_HEADER_BYTES;
    if (!four && (version !== 6 || length < IPV6_HEADER_BYTES)) return -1;
    for (let i = 0; i < protocols.length; i++) {
      const protocol = protocols[i];
      const session = four
        ? protocol.routes.lookup4(packet + IPV4_DESTINATION)
        : protocol.routes.lookup6(packet + IPV6_DESTINATION);
      if (session === 0) continue;
      this.#protocol = protocol;
      return session;
    }
    return 0;
  }
}
