import {
  DropReason,
  PacketBatch,
  PATH_TOS,
  type Instant,
  type Memory,
  type Outbox,
  type PacketHalf,
  type RouteTable,
  type SessionId,
} from '@sallyport/core';
import { decapsulateEcn, ipLength, type Coalescer } from '@sallyport/wire';

const MALFORMED_PACKET = DropReason.malformedPacket;
const MALFORMED_DATAGRAM = DropReason.malformedDatagram;
const WRONG_SOURCE = DropReason.wrongSource;
const ECN_MISMATCH = DropReason.ecnMismatch;

const IPV4_SOURCE = 12;
const IPV6_SOURCE = 8;

/** Datagrams that are opened together. The kernel joins no more than 64 (128 from one sender on this machine). */
const BATCH = 128;

/**
 * The way in: UDP -> open -> source check -> (policy) -> coalesce -> TUN.
 *
 * Opened packets stay where they were received until {@link flush}; the memory may be used again after that.
 */
export class Inbound {
  readonly #memory: Memory;
  readonly #routes: RouteTable;
  readonly #packets: PacketHalf;
  readonly #coalescer: Coalescer;
  readonly #out: Outbox;
  readonly #batch = new PacketBatch(BATCH);
  /** The last IPv4 source that was looked up: packets of one flow come together. Not kept over {@link flush}. */
  #source = 0;
  #sourceSession: SessionId = 0;

  constructor(memory: Memory, routes: RouteTable, packets: PacketHalf, coalescer: Coalescer, out: Outbox) {
    this.#memory = memory;
    this.#routes = routes;
    this.#packets = packets;
    this.#coalescer = coalescer;
    this.#out = out;
  }

  /** Datagrams of `segmentSize` bytes, the last may be shorter, that came by one path: `length` bytes at `at`. */
  handleTrain(at: number, length: number, segmentSize: number, path: number, now: Instant): void {
    if (segmentSize <= 0) {
      this.#out.drop(MALFORMED_DATAGRAM);
      return;
    }
    const batch = this.#batch;
    batch.count = 0;
    for (let offset = 0; offset < length; offset += segmentSize) {
      const size = length - offset < segmentSize ? length - offset : segmentSize;
      if (batch.count === BATCH) {
        this.#packets.open(batch, now, this.#out);
        batch.count = 0;
      }
      batch.push(at + offset, size, path);
    }
    this.#packets.open(batch, now, this.#out);
  }

  /** An opened packet, as a protocol gives it. */
  handlePacket(at: number, available: number, session: SessionId, path: number): void {
    const length = ipLength(this.#memory, at, available);
    if (length === 0) {
      this.#out.drop(MALFORMED_PACKET);
      return;
    }
    if (!this.#isFrom(session, at)) {
      this.#out.drop(WRONG_SOURCE);
      return;
    }
    const outerTos = this.#memory.u32[(path + PATH_TOS) >> 2];
    if ((outerTos & 3) !== 0 && !decapsulateEcn(this.#memory, at, outerTos)) {
      this.#out.drop(ECN_MISMATCH);
      return;
    }
    this.#coalescer.add(at, length);
  }

  /** Writes what waits to TUN. */
  flush(): void {
    this.#coalescer.flush();
    this.#sourceSession = 0;
  }

  /** Only the session that an address belongs to may send from it. */
  #isFrom(session: SessionId, at: number): boolean {
    const { u8, view } = this.#memory;
    if (u8[at] >> 4 === 6) return this.#routes.lookup6(at + IPV6_SOURCE) === session;
    const source = view.getInt32(at + IPV4_SOURCE);
    if (source !== this.#source || this.#sourceSession === 0) {
      this.#sourceSession = this.#routes.lookup4(at + IPV4_SOURCE);
      this.#source = source;
    }
    return this.#sourceSession === session;
  }
}
