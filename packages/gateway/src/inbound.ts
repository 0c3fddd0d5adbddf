import {
  DropReason,
  LISTENERS,
  PacketBatch,
  PATH_LISTENER,
  PATH_TOS,
  type Instant,
  type Listener,
  type Memory,
  type PacketProtocol,
  type SessionId,
} from '@sallyport/core';
import { decapsulateEcn, ipLength, type Coalescer } from '@sallyport/wire';

const MALFORMED_PACKET = DropReason.malformedPacket;
const MALFORMED_DATAGRAM = DropReason.malformedDatagram;
const WRONG_SOURCE = DropReason.wrongSource;
const ECN_MISMATCH = DropReason.ecnMismatch;

const IPV4_SOURCE = 12;
const IPV6_SOURCE = 8;

/** Datagrams that are opened together at the most. The kernel joins up to 64, and 128 from one sender on this machine. */
const BATCH = 128;

/**
 * The way in: UDP -> open -> source check -> (policy) -> coalesce -> TUN.
 *
 * Datagrams wait until many can be opened together: they stay where they were received, as do the records of their
 * paths, and the packets in them until {@link flush}; the memory may be used again after that.
 */
export class Inbound {
  readonly #memory: Memory;
  /** By listener. */
  readonly #protocols: readonly PacketProtocol[];
  readonly #coalescer: Coalescer;
  /** Whose datagrams are being opened. */
  #protocol: PacketProtocol;
  readonly #batch = new PacketBatch(BATCH);
  /** The last IPv4 source that was looked up: packets of one flow come together. Not kept over {@link flush}. */
  #source = 0;
  #sourceSession: SessionId = 0;

  constructor(memory: Memory, protocols: readonly PacketProtocol[], coalescer: Coalescer) {
    this.#memory = memory;
    const [first] = protocols;
    this.#protocol = first;
    this.#protocols = Array.from(
      { length: LISTENERS },
      (_, listener) => protocols.find(({ listeners }) => listeners.includes(listener as Listener)) ?? first,
    );
    this.#coalescer = coalescer;
  }

  /** Datagrams of `segmentSize` bytes, the last may be shorter, that came by one path: `length` bytes at `at`. */
  handleTrain(at: number, length: number, segmentSize: number, path: number, now: Instant): void {
    const protocol = this.#protocols[this.#memory.u32[(path + PATH_LISTENER) >> 2]];
    if (protocol !== this.#protocol) {
      this.#open(now);
      this.#protocol = protocol;
      this.#sourceSession = 0;
    }
    if (segmentSize <= 0) {
      protocol.out.drop(MALFORMED_DATAGRAM);
      return;
    }
    for (let offset = 0; offset < length; offset += segmentSize) {
      const size = length - offset < segmentSize ? length - offset : segmentSize;
      if (this.#batch.count === BATCH) this.#open(now);
      this.#batch.push(at + offset, size, path);
    }
  }

  #open(now: Instant): void {
    const { packets, out } = this.#protocol;
    packets.open(this.#batch, now, out);
    this.#batch.count = 0;
  }

  /** An opened packet, as the protocol whose datagrams are being opened gives it. */
  handlePacket(at: number, available: number, session: SessionId, path: number): void {
    const length = ipLength(this.#memory, at, available);
    if (length === 0) {
      this.#protocol.out.drop(MALFORMED_PACKET);
      return;
    }
    if (!this.#isFrom(session, at)) {
      this.#protocol.out.drop(WRONG_SOURCE);
      return;
    }
    const outerTos = this.#memory.u32[(path + PATH_TOS) >> 2];
    if ((outerTos & 3) !== 0 && !decapsulateEcn(this.#memory, at, outerTos)) {
      this.#protocol.out.drop(ECN_MISMATCH);
      return;
    }
    this.#coalescer.add(at, length);
  }

  /** Opens what waits to be opened, and writes what waits for it to TUN. */
  flush(now: Instant): void {
    this.#open(now);
    this.#coalescer.flush();
    this.#sourceSession = 0;
  }

  /** Only the session that an address belongs to may send from it. */
  #isFrom(session: SessionId, at: number): boolean {
    const { u8, view } = this.#memory;
    const { routes } = this.#protocol;
    if (u8[at] >> 4 === 6) return routes.lookup6(at + IPV6_SOURCE) === session;
    const source = view.getInt32(at + IPV4_SOURCE);
    if (source !== this.#source || this.#sourceSession === 0) {
      this.#sourceSession = routes.lookup4(at + IPV4_SOURCE);
      this.#source = source;
    }
    return this.#sourceSession === session;
  }
}
