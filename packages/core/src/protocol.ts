import type { Instant } from './instant.ts';
import type { PacketBatch } from './packet-batch.ts';
import type { Listener } from './path.ts';

/**
 * A session is one peer's tunnel, named by a number that its protocol gives out: the offset of the session's
 * shared record. 0 is no session.
 */
export type SessionId = number;

/** Where the packet half of a protocol puts what it makes of a batch. Called once per packet: it must not allocate. */
export interface Outbox {
  /**
   * A sealed datagram, ready to go out by the path record at `path`, with the ECN bits `ecn` in its outer header. The
   * record stays as it is until a datagram comes with another one.
   */
  datagram(at: number, length: number, path: number, ecn: number): void;
  /** An opened IP packet of `session`; `length` may include padding behind the IP packet. */
  packet(at: number, length: number, session: SessionId, path: number): void;
  /** A datagram that only the session half can handle: a handshake. */
  control(at: number, length: number, path: number): void;
  /** An IP packet for a session that has no key yet: the session half keeps it, bounded, and negotiates. */
  hold(at: number, length: number, session: SessionId): void;
  /** What the session's peer says inside the tunnel, authenticated and no IP packet: for the session half. */
  inner(at: number, length: number, session: SessionId): void;
  /** An IP packet that can't go to its session now; the sender is to be told by ICMP. `reason` is a `DropReason`. */
  undeliverable(at: number, length: number, reason: number): void;
  /**
   * The session half has to look at this session: a timer began, a key is old, a handshake was confirmed. False
   * where the way there is full and it has to be said again.
   */
  attend(session: SessionId): boolean;
  /** A packet goes no further. `reason` is one of `DropReason`. */
  drop(reason: number): void;
}

/** The room that a packet needs to be sealed in place. */
export interface SealRoom {
  /** Bytes before its payload. */
  readonly headroom: number;
  /** Bytes behind its padded payload. */
  readonly tailroom: number;
  /** The length that a payload of `length` bytes has once padded, for an interface of this MTU. */
  paddedLength(length: number, mtu: number): number;
}

/** The half of a protocol that every packet passes. It runs in any worker, on keys and counters in shared memory. */
export interface PacketHalf {
  /** What the packets of a session need around them, one of a few objects that stay. */
  room(session: SessionId): SealRoom;
  /** Opens datagrams, in place. `wire.owner` is the path that each came by. */
  open(wire: PacketBatch, now: Instant, out: Outbox): void;
  /** Seals IP packets, in place; around each there is room as {@link room} says. `plain.owner` is each one's session. */
  seal(plain: PacketBatch, now: Instant, out: Outbox, mtu: number): void;
}

/** Where the session half of a protocol puts what it decides. */
export interface SessionOutbox {
  /**
   * Send this datagram, a part of a negotiation, by the path record at `path`. `unmarked`: it must not show by its outer
   * header that it is one.
   */
  message(message: Uint8Array, path: number, unmarked?: boolean): void;
  /** Seal these IP packets (an empty one is a keepalive) with the session's current key and send them. */
  seal(session: SessionId, packets: readonly Uint8Array[]): void;
  /** A datagram or packet goes no further. `reason` is one of `DropReason`. */
  drop(reason: number): void;
  /** Something happened that operators or other parts want to know. */
  event(event: SessionEvent): void;
}

export type SessionEvent =
  | { readonly kind: 'established'; readonly session: SessionId }
  | { readonly kind: 'handshakeStarted'; readonly session: SessionId; readonly attempt: number }
  | { readonly kind: 'handshakeGivenUp'; readonly session: SessionId }
  | { readonly kind: 'keysErased'; readonly session: SessionId };

/** The half of a protocol that negotiates: it runs in one place, and takes what the packet half could not decide. */
export interface SessionHalf {
  /** How many control datagrams wait: under load a protocol asks for proof of the source before it computes. */
  noteBacklog(waiting: number, now: Instant): void;
  handleControl(message: Uint8Array, path: number, now: Instant, out: SessionOutbox): void;
  handleHold(packet: Uint8Array, session: SessionId, now: Instant, out: SessionOutbox): void;
  /** What a packet half gave to {@link Outbox.inner}; protocols that never do leave it out. */
  handleInner?(message: Uint8Array, session: SessionId, now: Instant, out: SessionOutbox): void;
  handleAttend(session: SessionId, now: Instant, out: SessionOutbox): void;
  handleTimeout(now: Instant, out: SessionOutbox): void;
  /** The next moment at which handleTimeout has work, and why. */
  pollTimeout(): { readonly at: Instant; readonly reason: string } | undefined;
}

/** One tunnel protocol, as the gateway sees it. */
export interface TunnelProtocol {
  readonly name: string;
  readonly packets: PacketHalf;
  readonly sessions: SessionHalf;
}

/** One protocol as a thread that moves packets uses it. Several share a data plane. */
export interface PacketProtocol {
  readonly packets: PacketHalf;
  /** No two protocols' prefixes overlap: the first whose table knows an address has it. */
  readonly routes: RouteTable;
  /** Where its packet half puts what it makes. */
  readonly out: Outbox;
  /** Whose datagrams are its. */
  readonly listeners: readonly Listener[];
}

/** Which session an address belongs to: the longest prefix that holds it. */
export interface RouteTable {
  /** The session for the IPv4 address at `at` (4 bytes), or 0. */
  lookup4(at: number): SessionId;
  /** The session for the IPv6 address at `at` (16 bytes), or 0. */
  lookup6(at: number): SessionId;
}
