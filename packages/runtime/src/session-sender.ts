import {
  DROP_REASONS,
  DropReason,
  PacketBatch,
  type Outbox,
  type PacketHalf,
  type SessionEvent,
  type SessionHalf,
  type SessionId,
  type SessionOutbox,
} from '@sallyport/core';
import { DatagramTrains, type TrainSink } from '@sallyport/gateway';
import { Clock, DatagramSender, type Arena, type UdpSockets } from '@sallyport/io';

/** The largest message that a session half sends: room for what protocols to come need. */
const MESSAGE_BYTES = 65_536;
/** DSCP AF41, as the Linux driver marks handshakes: they should get through a congested path. */
const NEGOTIATION_TOS = 0x88;

/** One packet that the main thread seals, with room around it. */
const PACKET_BYTES = 65_536 + 1024;
const PACKET_OFFSET = 256;

/** Sends what a session half decides: handshake messages, keepalives, and packets that waited for a key. */
export class SessionSender implements SessionOutbox, Outbox, TrainSink {
  readonly drops = new Float64Array(DROP_REASONS.length);
  readonly #arena: Arena;
  readonly #sender: DatagramSender;
  readonly #trains: DatagramTrains;
  readonly #clock: Clock;
  readonly #mtu: () => number;
  readonly #onEvent: (event: SessionEvent) => void;
  readonly #onAttend: (session: SessionId) => void;
  readonly #message: number;
  readonly #packet: number;
  readonly #batch = new PacketBatch(1);
  #sessions: SessionHalf | undefined;
  #packets: PacketHalf | undefined;

  /** `onAttend` is called from within the session half's own calls: it has to answer later. */
  constructor(
    arena: Arena,
    mtu: () => number,
    onEvent: (event: SessionEvent) => void,
    onAttend: (session: SessionId) => void,
  ) {
    this.#arena = arena;
    this.#mtu = mtu;
    this.#onEvent = onEvent;
    this.#onAttend = onAttend;
    this.#sender = new DatagramSender(arena, arena.allocate(DatagramSender.scratchBytes), false);
    this.#trains = new DatagramTrains(this);
    this.#clock = new Clock(arena, arena.allocate(16));
    this.#message = arena.allocate(MESSAGE_BYTES);
    this.#packet = arena.allocate(PACKET_BYTES);
  }

  attach(sessions: SessionHalf, packets: PacketHalf): void {
    this.#sessions = sessions;
    this.#packets = packets;
  }

  /** By listener. */
  setSockets(sockets: readonly UdpSockets[]): void {
    sockets.forEach((pair, listener) => {
      this.#sender.sockets[listener] = pair;
    });
  }

  // --- SessionOutbox ---------------------------------------------------------------------------------------

  message(message: Uint8Array, path: number, unmarked = false): void {
    this.#arena.u8.set(message, this.#message);
    this.send(this.#message, message.length, message.length, path, unmarked ? 0 : NEGOTIATION_TOS);
  }

  seal(session: SessionId, packets: readonly Uint8Array[]): void {
    const now = this.#clock.now();
    for (const packet of packets) {
      const at = this.#packet + PACKET_OFFSET;
      this.#arena.u8.set(packet, at);
      this.#batch.count = 0;
      this.#batch.push(at, packet.length, session);
      this.#packets?.seal(this.#batch, now, this, this.#mtu());
      this.#trains.flush();
    }
  }

  event(event: SessionEvent): void {
    this.#onEvent(event);
  }

  // --- Outbox: what the packet half makes of it -------------------------------------------------------------

  datagram(at: number, length: number, path: number, ecn: number): void {
    this.#trains.add(at, length, path, ecn);
  }

  hold(at: number, length: number, session: SessionId): void {
    this.#sessions?.handleHold(this.#arena.u8.slice(at, at + length), session, this.#clock.now(), this);
  }

  attend(session: SessionId): boolean {
    this.#onAttend(session);
    return true;
  }

  undeliverable(_at: number, _length: number, reason: number): void {
    this.drop(reason);
  }

  packet(): void {
    throw new Error('the main thread opens no datagrams');
  }

  inner(): void {
    throw new Error('the main thread opens no datagrams');
  }

  control(): void {
    throw new Error('the main thread opens no datagrams');
  }

  drop(reason: number): void {
    this.drops[reason]++;
  }

  // --- TrainSink --------------------------------------------------------------------------------------------

  send(at: number, length: number, segmentSize: number, path: number, ecn: number): void {
    if (this.#sender.send(at, length, segmentSize, path, ecn) !== 0) this.drop(DropReason.sendFailed);
  }
}
