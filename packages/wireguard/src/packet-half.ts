import {
  copyPath,
  DropReason,
  lock,
  PATH_BYTES,
  PATH_FAMILY,
  PATH_ORIGIN,
  samePath,
  unlock,
  type Instant,
  type Memory,
  type Outbox,
  type PacketBatch,
  type PacketHalf,
  type SealRoom,
} from '@sallyport/core';
import { outerEcn, tosOf } from '@sallyport/wire';
import type { PacketAead } from './aead.ts';
import {
  atLeast,
  LIMITS,
  PADDING_MULTIPLE,
  REPLAY_WINDOW,
  TAG_BYTES,
  TRANSPORT_HEADER_BYTES,
  type Limits,
} from './constants.ts';
import type { IndexTable } from './index-table.ts';
import {
  KEYPAIR_COUNTER_HIGH,
  KEYPAIR_COUNTER_LOW,
  KEYPAIR_CREATED,
  KEYPAIR_IS_INITIATOR,
  KEYPAIR_LOCAL_INDEX,
  KEYPAIR_PEER,
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_REMOTE_INDEX,
  KEYPAIR_SEND_KEY,
  KEYPAIR_WINDOW,
  LOCK,
  PEER_CONFIRMED,
  PEER_CURRENT,
  PEER_DATA_RECEIVED,
  PEER_DATA_SENT,
  PEER_ENDPOINT,
  PEER_LAST_DATA_RECEIVED,
  PEER_LAST_RECEIVED,
  PEER_LAST_TRAVERSAL,
  PEER_NEXT,
  PEER_PREVIOUS,
  PEER_RECEIVED_BYTES,
  PEER_REKEY_WANTED,
  PEER_SENT_BYTES,
  PEER_WATCHED,
} from './layout.ts';
import { MESSAGE_TRANSPORT } from './messages.ts';
import type { Tables } from './tables.ts';
import type { VariantTable } from './variant.ts';

/** In place of a message's length: it goes no further. */
const REFUSED = 0;

const MALFORMED_DATAGRAM = DropReason.malformedDatagram;
const UNKNOWN_MESSAGE_TYPE = DropReason.unknownMessageType;
const UNKNOWN_RECEIVER = DropReason.unknownReceiver;
const KEYPAIR_EXPIRED = DropReason.keypairExpired;
const AUTHENTICATION_FAILED = DropReason.authenticationFailed;
const REPLAYED = DropReason.replayed;
const NO_ENDPOINT = DropReason.noEndpoint;

/**
 * WireGuard's packet half: transport messages (section 5.4.6) against keypairs in shared memory. Everything else
 * that comes goes to the session half.
 */
export class WireGuardPackets implements PacketHalf, SealRoom {
  readonly headroom = TRANSPORT_HEADER_BYTES;
  readonly tailroom = TAG_BYTES;
  readonly #memory: Memory;
  readonly #aead: PacketAead;
  readonly #indices: IndexTable;
  readonly #variants: VariantTable;
  readonly #limits: Limits;
  /**
   * Copies of endpoints, of this thread's own: that of the run being sealed, and the one before, by which datagrams
   * may still be waiting to go.
   */
  #endpoint: number;
  #endpointBefore: number;

  /** `scratch` is {@link scratchBytes} zeroed bytes of this thread's own. */
  constructor(
    memory: Memory,
    aead: PacketAead,
    tables: Pick<Tables, 'indices' | 'variants'>,
    scratch: number,
    limits: Limits = LIMITS,
  ) {
    this.#memory = memory;
    this.#aead = aead;
    this.#indices = tables.indices;
    this.#variants = tables.variants;
    this.#endpoint = scratch;
    this.#endpointBefore = scratch + PATH_BYTES;
    this.#limits = limits;
  }

  static readonly scratchBytes = 2 * PATH_BYTES;

  /** All sessions need the same. */
  room(): SealRoom {
    return this;
  }

  /** Padded to a multiple of 16, but not above the MTU (as the Linux driver, so that a full packet stays one). */
  paddedLength(length: number, mtu: number): number {
    const padded = (length + PADDING_MULTIPLE - 1) & -PADDING_MULTIPLE;
    return padded > mtu ? (length > mtu ? length : mtu) : padded;
  }

  // --- out: IP packet -> transport message ----------------------------------------------------------------

  seal(plain: PacketBatch, now: Instant, out: Outbox, mtu: number): void {
    const { owner } = plain;
    let first = 0;
    while (first < plain.count) {
      const peer = owner[first];
      let end = first + 1;
      while (end < plain.count && owner[end] === peer) end++;
      this.#sealRun(plain, first, end, peer, now, out, mtu);
      first = end;
    }
  }

  #sealRun(plain: PacketBatch, first: number, end: number, peer: number, now: Instant, out: Outbox, mtu: number): void {
    const memory = this.#memory;
    const { u32, i32, f64 } = memory;
    const limits = this.#limits;
    const count = end - first;

    lock(memory, peer + LOCK);
    const keypair = u32[(peer + PEER_CURRENT) >> 2];
    let low = 0;
    let high = 0;
    let usable = false;
    let rekey = false;
    if (keypair !== 0) {
      low = u32[(keypair + KEYPAIR_COUNTER_LOW) >> 2];
      high = u32[(keypair + KEYPAIR_COUNTER_HIGH) >> 2];
      const age = now - f64[(keypair + KEYPAIR_CREATED) >> 3];
      const nextLow = (low + count) >>> 0;
      const nextHigh = nextLow < low ? high + 1 : high;
      usable =
        age < limits.rejectAfterTimeMs &&
        nextHigh <= 0xffffffff &&
        !atLeast(nextHigh, nextLow, limits.rejectAfterMessagesHigh, limits.rejectAfterMessagesLow);
      if (usable) {
        u32[(keypair + KEYPAIR_COUNTER_LOW) >> 2] = nextLow;
        u32[(keypair + KEYPAIR_COUNTER_HIGH) >> 2] = nextHigh;
        rekey =
          atLeast(nextHigh, nextLow, limits.rekeyAfterMessagesHigh, limits.rekeyAfterMessagesLow) ||
          (age >= limits.rekeyAfterTimeMs && i32[(keypair + KEYPAIR_IS_INITIATOR) >> 2] === 1);
      }
    }
    const hasEndpoint = memory.view.getUint16(peer + PEER_ENDPOINT + PATH_FAMILY, true) !== 0;
    if (usable && hasEndpoint) this.#takeEndpoint(peer + PEER_ENDPOINT);
    unlock(memory, peer + LOCK);

    if (!hasEndpoint || !usable) {
      for (let i = first; i < end; i++) {
        if (!hasEndpoint) out.undeliverable(plain.at[i], plain.length[i], NO_ENDPOINT);
        else out.hold(plain.at[i], plain.length[i], peer);
      }
      return;
    }

    this.#aead.useSealingKey(keypair + KEYPAIR_SEND_KEY);
    const receiver = u32[(keypair + KEYPAIR_REMOTE_INDEX) >> 2];
    const type = this.#variants.transportType(this.#endpoint);
    let sentBytes = 0;
    let sentData = false;
    for (let i = first; i < end; i++) {
      const length = plain.length[i];
      const ecn = length === 0 ? 0 : outerEcn(tosOf(memory, plain.at[i]));
      const sealed = this.#sealOne(plain.at[i], length, type, receiver, low, high, mtu);
      if (length !== 0) sentData = true;
      out.datagram(plain.at[i] - TRANSPORT_HEADER_BYTES, sealed, this.#endpoint, ecn);
      sentBytes += sealed;
      low = (low + 1) >>> 0;
      if (low === 0) high++;
    }
    this.#sent(peer, sentBytes, sentData, rekey, now, out);
  }

  #takeEndpoint(endpoint: number): void {
    const { u32 } = this.#memory;
    if (samePath(this.#memory, this.#endpoint, endpoint) && u32[(this.#endpoint + PATH_ORIGIN) >> 2] === endpoint)
      return;
    const to = this.#endpointBefore;
    this.#endpointBefore = this.#endpoint;
    this.#endpoint = to;
    copyPath(this.#memory, to, endpoint);
    u32[(to + PATH_ORIGIN) >> 2] = endpoint;
  }

  #sealOne(at: number, length: number, type: number, receiver: number, low: number, high: number, mtu: number): number {
    const { u8, view } = this.#memory;
    const padded = this.paddedLength(length, mtu);
    for (let i = at + length; i < at + padded; i++) u8[i] = 0;
    const header = at - TRANSPORT_HEADER_BYTES;
    view.setUint32(header, type, true);
    view.setUint32(header + 4, receiver, true);
    view.setUint32(header + 8, low, true);
    view.setUint32(header + 12, high, true);
    this.#aead.seal(low, high, at, padded);
    return TRANSPORT_HEADER_BYTES + padded + TAG_BYTES;
  }

  /** Timers of section 6 that a sent packet starts and stops; the session half reads these fields. */
  #sent(peer: number, bytes: number, data: boolean, rekey: boolean, now: Instant, out: Outbox): void {
    const memory = this.#memory;
    const { f64, i32 } = memory;
    let attend = false;
    lock(memory, peer + LOCK);
    f64[(peer + PEER_SENT_BYTES) >> 3] += bytes;
    f64[(peer + PEER_LAST_TRAVERSAL) >> 3] = now;
    f64[(peer + PEER_DATA_RECEIVED) >> 3] = 0;
    if (data && f64[(peer + PEER_DATA_SENT) >> 3] === 0) f64[(peer + PEER_DATA_SENT) >> 3] = now;
    if (data && i32[(peer + PEER_WATCHED) >> 2] === 0) attend = true;
    if (rekey && i32[(peer + PEER_REKEY_WANTED) >> 2] === 0) {
      i32[(peer + PEER_REKEY_WANTED) >> 2] = 1;
      attend = true;
    }
    if (attend) i32[(peer + PEER_WATCHED) >> 2] = 1;
    unlock(memory, peer + LOCK);
    if (attend) this.#attend(peer, out);
  }

  /** Where the session half could not be told, the next packet of the peer tells it again. */
  #attend(peer: number, out: Outbox): void {
    if (!out.attend(peer)) Atomics.store(this.#memory.i32, (peer + PEER_WATCHED) >> 2, 0);
  }

  // --- in: transport message -> IP packet -----------------------------------------------------------------

  open(wire: PacketBatch, now: Instant, out: Outbox): void {
    const { view } = this.#memory;
    let first = 0;
    while (first < wire.count) {
      const at = wire.at[first];
      const length = wire.length[first];
      const path = wire.owner[first];
      const type = this.#variants.transportType(path);
      if (length < TRANSPORT_HEADER_BYTES + TAG_BYTES) {
        out.drop(MALFORMED_DATAGRAM);
        first++;
      } else if (view.getUint32(at, true) !== type) {
        this.#openOther(at, length, path, type, out);
        first++;
      } else {
        const receiver = view.getUint32(at + 4, true);
        let end = first + 1;
        while (
          end < wire.count &&
          wire.owner[end] === path &&
          wire.length[end] >= TRANSPORT_HEADER_BYTES + TAG_BYTES &&
          view.getUint32(wire.at[end], true) === type &&
          view.getUint32(wire.at[end] + 4, true) === receiver
        )
          end++;
        this.#openRun(wire, first, end, receiver, now, out);
        first = end;
      }
    }
  }

  /** A datagram that is no transport message: for the session half, or for nobody. */
  #openOther(at: number, length: number, path: number, type: number, out: Outbox): void {
    if (this.#variants.isControl(at, length, path)) out.control(at, length, path);
    // Of a transport message only the reserved bytes are wrong: that can't come from an honest peer.
    else if (type === MESSAGE_TRANSPORT && this.#memory.u8[at] === MESSAGE_TRANSPORT) out.drop(MALFORMED_DATAGRAM);
    else out.drop(UNKNOWN_MESSAGE_TYPE);
  }

  /** Opens messages [first, end), which came by one path for one receiver index. */
  #openRun(wire: PacketBatch, first: number, end: number, receiver: number, now: Instant, out: Outbox): void {
    const memory = this.#memory;
    const { u32, f64, view } = memory;
    const keypair = this.#indices.lookup(receiver);
    const known = keypair !== 0 && u32[(keypair + KEYPAIR_LOCAL_INDEX) >> 2] === receiver;
    const age = known ? now - f64[(keypair + KEYPAIR_CREATED) >> 3] : 0;
    if (!known || age >= this.#limits.rejectAfterTimeMs) {
      for (let i = first; i < end; i++) out.drop(known ? KEYPAIR_EXPIRED : UNKNOWN_RECEIVER);
      return;
    }

    this.#aead.useOpeningKey(keypair + KEYPAIR_RECEIVE_KEY);
    for (let i = first; i < end; i++) this.#openOne(wire, i, out);

    // Only now, with the messages authenticated, may they move the window (section 5.4.6).
    let bytes = 0;
    let data = false;
    lock(memory, keypair + LOCK);
    for (let i = first; i < end; i++) {
      if (wire.length[i] === REFUSED) continue;
      const at = wire.at[i];
      const low = view.getUint32(at + 8, true);
      const high = view.getUint32(at + 12, true);
      if (REPLAY_WINDOW.accept(memory, keypair + KEYPAIR_WINDOW, low, high)) {
        bytes += wire.length[i];
        if (wire.length[i] !== TRANSPORT_HEADER_BYTES + TAG_BYTES) data = true;
      } else {
        wire.length[i] = REFUSED;
        out.drop(REPLAYED);
      }
    }
    unlock(memory, keypair + LOCK);
    if (bytes === 0) return;

    // The session's bookkeeping comes before its packets are handed on, so that an answer finds the new key.
    const peer = u32[(keypair + KEYPAIR_PEER) >> 2];
    this.#received(peer, keypair, wire.owner[first], bytes, data, age, now, out);
    for (let i = first; i < end; i++) {
      const payload = wire.length[i] - TRANSPORT_HEADER_BYTES - TAG_BYTES;
      if (payload > 0) out.packet(wire.at[i] + TRANSPORT_HEADER_BYTES, payload, peer, wire.owner[i]);
    }
  }

  /** Decrypts the i-th message in place, or marks it as refused. */
  #openOne(wire: PacketBatch, i: number, out: Outbox): void {
    const { view } = this.#memory;
    const at = wire.at[i];
    const low = view.getUint32(at + 8, true);
    const high = view.getUint32(at + 12, true);
    // A counter past the limit can't come from an honest peer.
    if (atLeast(high, low, this.#limits.rejectAfterMessagesHigh, this.#limits.rejectAfterMessagesLow)) {
      wire.length[i] = REFUSED;
      out.drop(MALFORMED_DATAGRAM);
    } else if (
      !this.#aead.open(low, high, at + TRANSPORT_HEADER_BYTES, wire.length[i] - TRANSPORT_HEADER_BYTES - TAG_BYTES)
    ) {
      wire.length[i] = REFUSED;
      out.drop(AUTHENTICATION_FAILED);
    }
  }

  /**
   * An authenticated run: confirms the next keypair, follows the peer to where it is now, and sees to the timers of
   * section 6 that a received packet starts and stops.
   */
  #received(
    peer: number,
    keypair: number,
    path: number,
    bytes: number,
    data: boolean,
    age: number,
    now: Instant,
    out: Outbox,
  ): void {
    const memory = this.#memory;
    const { f64, i32, u32 } = memory;
    const limits = this.#limits;
    let attend = false;
    lock(memory, peer + LOCK);
    if (u32[(peer + PEER_NEXT) >> 2] === keypair) {
      u32[(peer + PEER_PREVIOUS) >> 2] = u32[(peer + PEER_CURRENT) >> 2];
      u32[(peer + PEER_CURRENT) >> 2] = keypair;
      u32[(peer + PEER_NEXT) >> 2] = 0;
      i32[(peer + PEER_CONFIRMED) >> 2] = 1;
      attend = true;
    }
    if (!samePath(memory, peer + PEER_ENDPOINT, path)) copyPath(memory, peer + PEER_ENDPOINT, path);
    f64[(peer + PEER_RECEIVED_BYTES) >> 3] += bytes;
    f64[(peer + PEER_LAST_TRAVERSAL) >> 3] = now;
    f64[(peer + PEER_LAST_RECEIVED) >> 3] = now;
    f64[(peer + PEER_DATA_SENT) >> 3] = 0;
    if (data) {
      f64[(peer + PEER_LAST_DATA_RECEIVED) >> 3] = now;
      if (f64[(peer + PEER_DATA_RECEIVED) >> 3] === 0) f64[(peer + PEER_DATA_RECEIVED) >> 3] = now;
      if (i32[(peer + PEER_WATCHED) >> 2] === 0) attend = true;
    }
    // The initiator renews in time for the responder not to run dry, even if it only receives (section 6.2).
    if (
      keypair === u32[(peer + PEER_CURRENT) >> 2] &&
      i32[(keypair + KEYPAIR_IS_INITIATOR) >> 2] === 1 &&
      age >= limits.rejectAfterTimeMs - limits.keepaliveTimeoutMs - limits.rekeyTimeoutMs &&
      i32[(peer + PEER_REKEY_WANTED) >> 2] === 0
    ) {
      i32[(peer + PEER_REKEY_WANTED) >> 2] = 1;
      attend = true;
    }
    if (attend) i32[(peer + PEER_WATCHED) >> 2] = 1;
    unlock(memory, peer + LOCK);
    if (attend) this.#attend(peer, out);
  }
}
