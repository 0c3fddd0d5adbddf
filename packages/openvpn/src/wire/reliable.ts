import { DropReason, type Instant } from '@sallyport/core';
import { sameBytes } from './bytes.ts';
import type { ControlPacket } from './control-packet.ts';
import {
  HEADER_BYTES,
  P_ACK_V1,
  P_CONTROL_V1,
  P_CONTROL_WKC_V1,
  SESSION_ID_BYTES,
  type ControlOpcode,
} from './opcodes.ts';
import { AckQueue, MAX_SENT_ACKS } from './ack-queue.ts';

/*
 * The reliable layer of one key exchange ("Reliability layer"): packets with ids from 0, acknowledged one by one, sent
 * again until they are. The first in each direction is the reset, what follows are records of TLS, which is a stream of
 * bytes and cut as it fits.
 */

/** Unacknowledged packets at a time. OpenVPN 2 receives 8 and more ahead, OpenVPN 3 only 4. */
export const SEND_WINDOW = 4;
/** How far ahead of what is missing packets are kept. OpenVPN sends 6, before 2.6 4. */
export const RECEIVE_WINDOW = 12;
/** As OpenVPN's `--max-packet-size`: of a whole packet, from the IP header on. */
export const MAX_PACKET_BYTES = 1250;
/** What may wait to be sent: certificates of any sane length, or many pieces of a push reply. */
export const MAX_WAITING_BYTES = 65_536;

const INITIAL_TIMEOUT_MS = 2000;
/** So that a packet goes often enough within a handshake's minute, also where a fifth of all is lost. */
const MAX_TIMEOUT_MS = 8_000;
/** So many acknowledgements of later packets say that a packet was lost. */
const LATER_ACKS = 3;
/**
 * An acknowledgement waits this long for a packet that takes it along, unless others wait with it. Nobody waits for it but
 * who sends again after a second or more: no peer's window is full of fewer packets than go at once.
 */
const ACK_DELAY_MS = 20;
const IP_AND_UDP_BYTES = 48;
const PACKET_ID_BYTES = 4;
/** The least payload, whatever is asked for: a wrapped key may take nearly all of the packet. */
const MIN_PAYLOAD_BYTES = 16;
const LAST_PACKET_ID = 0xffffffff;
const NO_PAYLOAD = new Uint8Array(0);

export interface ReliableOptions {
  readonly keyId: number;
  /** Ours, 8 bytes. */
  readonly sessionId: Uint8Array;
  /** The peer's, where it is known. */
  readonly remoteSessionId?: Uint8Array | undefined;
  /** {@link MAX_PACKET_BYTES} unless said. */
  readonly maxPacketBytes?: number | undefined;
  /** `ControlWrap.overhead`. */
  readonly wrapOverhead: number;
  /** The resets were exchanged while nothing was kept: both ends go on with packet id 1. */
  readonly resumed?: boolean | undefined;
  /** Until the first repetition; it doubles with each. 2 seconds unless said. */
  readonly initialTimeoutMs?: number | undefined;
}

/** What the peer sent, in order. */
export interface Received {
  readonly opcode: ControlOpcode;
  readonly payload: Uint8Array;
}

interface Sent {
  readonly packetId: number;
  readonly opcode: ControlOpcode;
  readonly payload: Uint8Array;
  sendAt: Instant;
  timeoutMs: number;
  laterAcks: number;
}

export class ReliableLayer {
  readonly #keyId: number;
  readonly #sessionId: Uint8Array;
  readonly #maxPayload: number;
  readonly #initialTimeoutMs: number;
  #remoteSessionId: Uint8Array | undefined;
  #wrappedKeyBytes = 0;
  /** The peer's reset has come: only then does it take anything else. */
  #open: boolean;

  #nextToSend: number;
  /** Unacknowledged, by packet id. */
  #sent: Sent[] = [];
  /** Records that no packet was made of yet; `#cut` bytes of the first are gone. */
  #waiting: Uint8Array[] = [];
  #waitingBytes = 0;
  #cut = 0;

  #nextToRead: number;
  readonly #received = new Map<number, Received>();
  readonly #acks = new AckQueue();
  #ackAt: Instant | undefined;

  constructor(options: ReliableOptions) {
    const { keyId, sessionId, remoteSessionId, maxPacketBytes, wrapOverhead, resumed, initialTimeoutMs } = options;
    this.#keyId = keyId;
    this.#sessionId = new Uint8Array(sessionId);
    this.#remoteSessionId = remoteSessionId && new Uint8Array(remoteSessionId);
    const acks = 1 + MAX_SENT_ACKS * PACKET_ID_BYTES + SESSION_ID_BYTES;
    const around = IP_AND_UDP_BYTES + HEADER_BYTES + wrapOverhead + acks + PACKET_ID_BYTES;
    this.#maxPayload = Math.max(MIN_PAYLOAD_BYTES, (maxPacketBytes ?? MAX_PACKET_BYTES) - around);
    this.#initialTimeoutMs = initialTimeoutMs ?? INITIAL_TIMEOUT_MS;
    this.#open = resumed === true;
    this.#nextToSend = this.#nextToRead = resumed === true ? 1 : 0;
  }

  /** The peer's session id, once a packet of it came. */
  get remoteSessionId(): Uint8Array | undefined {
    return this.#remoteSessionId;
  }

  /** Everything was sent and acknowledged. */
  get idle(): boolean {
    return this.#sent.length === 0 && this.#waitingBytes === 0;
  }

  /** Sends the reset with which this end begins. */
  start(opcode: ControlOpcode, now: Instant): void {
    this.#push(opcode, NO_PAYLOAD, now);
  }

  /**
   * Takes records to send; they wait until the peer's reset has been read. The bytes are kept, not copied. False where
   * more than {@link MAX_WAITING_BYTES} would wait: then nothing is taken, and the connection can only end.
   */
  write(records: Uint8Array): boolean {
    if (records.length === 0) return true;
    if (this.#waitingBytes + records.length > MAX_WAITING_BYTES) return false;
    this.#waiting.push(records);
    this.#waitingBytes += records.length;
    return true;
  }

  /** The server wants the wrapped key once more: packet 1 goes as P_CONTROL_WKC_V1 and has less room. */
  resendWrappedKey(wrappedKeyBytes: number): void {
    this.#wrappedKeyBytes = wrappedKeyBytes;
  }

  /** Takes a packet that was authenticated; copies of it what it keeps. Otherwise the `DropReason`. */
  receive(packet: ControlPacket, now: Instant): number | undefined {
    const { acks, remoteSessionId, packetId, payload, opcode } = packet;
    if (packet.keyId !== this.#keyId) return DropReason.unknownReceiver;
    if (remoteSessionId !== undefined && !sameBytes(remoteSessionId, this.#sessionId))
      return DropReason.unknownReceiver;
    this.#remoteSessionId ??= new Uint8Array(packet.sessionId);
    if (!sameBytes(packet.sessionId, this.#remoteSessionId)) return DropReason.unknownReceiver;
    for (const id of acks) this.#acknowledged(id);
    if (packetId === undefined) return undefined;

    // Not acknowledged: it will come again once there is room for it.
    if (packetId >= this.#nextToRead + RECEIVE_WINDOW) return DropReason.queueFull;
    if (this.#acks.add(packetId)) this.#ackAt ??= now + ACK_DELAY_MS;
    if (packetId < this.#nextToRead || this.#received.has(packetId)) return DropReason.replayed;
    this.#received.set(packetId, { opcode, payload: new Uint8Array(payload) });
    return undefined;
  }

  /** The next that the peer sent, once all before it are there. */
  read(): Received | undefined {
    const next = this.#received.get(this.#nextToRead);
    if (next === undefined) return undefined;
    this.#received.delete(this.#nextToRead);
    this.#nextToRead++;
    this.#open = true;
    return next;
  }

  /** What is to be wrapped and sent now. The packets' payloads are views. */
  poll(now: Instant): ControlPacket[] {
    if (this.#open) this.#fillWindow(now);
    const packets: ControlPacket[] = [];
    for (const sent of this.#sent) {
      if (now < sent.sendAt && sent.laterAcks < LATER_ACKS) continue;
      sent.sendAt = now + sent.timeoutMs;
      sent.timeoutMs = Math.min(2 * sent.timeoutMs, MAX_TIMEOUT_MS);
      sent.laterAcks = 0;
      packets.push(this.#packet(sent.opcode, sent.packetId, sent.payload));
    }
    while (this.#acks.waiting >= MAX_SENT_ACKS || (this.#acks.waiting > 0 && now >= (this.#ackAt ?? now)))
      packets.push(this.#packet(P_ACK_V1, undefined, NO_PAYLOAD));
    if (this.#acks.waiting === 0) this.#ackAt = undefined;
    return packets;
  }

  /** When {@link poll} has something to do; 0 for now. */
  pollTimeout(): Instant | undefined {
    let at = this.#ackAt ?? Infinity;
    if (this.#open && this.#waitingBytes > 0 && this.#hasRoom()) at = 0;
    for (const { sendAt, laterAcks } of this.#sent) at = Math.min(at, laterAcks < LATER_ACKS ? sendAt : 0);
    return at === Infinity ? undefined : at;
  }

  #acknowledged(id: number): void {
    const at = this.#sent.findIndex(({ packetId }) => packetId === id);
    if (at < 0) return;
    this.#sent.splice(at, 1);
    for (const sent of this.#sent) if (sent.packetId < id) sent.laterAcks++;
  }

  #hasRoom(): boolean {
    if (this.#nextToSend > LAST_PACKET_ID) return false;
    return this.#sent.length === 0 || this.#nextToSend < this.#sent[0].packetId + SEND_WINDOW;
  }

  #fillWindow(now: Instant): void {
    while (this.#waitingBytes > 0 && this.#hasRoom()) {
      const withKey = this.#nextToSend === 1 && this.#wrappedKeyBytes > 0;
      const limit = withKey ? Math.max(MIN_PAYLOAD_BYTES, this.#maxPayload - this.#wrappedKeyBytes) : this.#maxPayload;
      this.#push(withKey ? P_CONTROL_WKC_V1 : P_CONTROL_V1, this.#take(limit), now);
    }
  }

  #push(opcode: ControlOpcode, payload: Uint8Array, now: Instant): void {
    const timeoutMs = this.#initialTimeoutMs;
    this.#sent.push({ packetId: this.#nextToSend++, opcode, payload, sendAt: now, timeoutMs, laterAcks: 0 });
  }

  #take(limit: number): Uint8Array {
    const bytes = new Uint8Array(Math.min(limit, this.#waitingBytes));
    let at = 0;
    while (at < bytes.length) {
      const piece = this.#waiting[0].subarray(this.#cut, this.#cut + bytes.length - at);
      bytes.set(piece, at);
      at += piece.length;
      this.#cut += piece.length;
      if (this.#cut < this.#waiting[0].length) continue;
      this.#waiting.shift();
      this.#cut = 0;
    }
    this.#waitingBytes -= bytes.length;
    return bytes;
  }

  #packet(opcode: ControlOpcode, packetId: number | undefined, payload: Uint8Array): ControlPacket {
    const acks = this.#acks.take();
    return {
      opcode,
      keyId: this.#keyId,
      sessionId: this.#sessionId,
      acks,
      remoteSessionId: acks.length > 0 ? this.#remoteSessionId : undefined,
      packetId,
      payload,
    };
  }
}
