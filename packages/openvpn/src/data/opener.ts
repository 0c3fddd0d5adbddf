import {
  copyPath,
  DropReason,
  lock,
  samePath,
  unlock,
  type Instant,
  type Memory,
  type Outbox,
  type PacketBatch,
} from '@sallyport/core';
import type { DataPacketCipher } from './cipher.ts';
import {
  CBC_HEADER_BYTES,
  EPOCH_HEADER_BYTES,
  FORMAT_CBC,
  FORMAT_EPOCH,
  FORMAT_V2,
  PACKET_ID_BYTES,
  sealedLength,
  TAG_BYTES,
  V2_AUTHENTICATED_BYTES,
  V2_HEADER_BYTES,
} from './format.ts';
import {
  EPOCH_SLOTS,
  EPOCHS_CURRENT,
  EPOCHS_LAST,
  EPOCHS_PREVIOUS,
  EPOCHS_SLOTS,
  EPOCHS_WINDOW,
  EPOCHS_WINDOW_USED,
  FUTURE_EPOCHS,
  KEY_CIPHER,
  KEY_EPOCHS,
  KEY_FAILURES,
  KEY_HEARD,
  KEY_RECEIVING,
  KEY_RECEIVING_USE,
  KEY_SENDING_EPOCH,
  KEY_WINDOW,
  KEY_WORN,
  LOCK,
  MAX_EPOCH,
  REPLAY_WINDOW,
  SECRET_BYTES,
  SECRET_IV,
  SESSION_ATTENDED,
  SESSION_FORMAT,
  SESSION_KEYS,
  SESSION_LAST_RECEIVED,
  SESSION_PATH,
  SESSION_RECEIVED_BYTES,
  SESSION_WANTED,
  SLOT_EPOCH,
} from './layout.ts';
import type { DataLimits } from './limits.ts';
import { isPingAt } from './ping.ts';
import { isGcm } from './sealer.ts';
import type { PeerIdTable } from './tables.ts';

/** In place of a datagram's length: it goes no further. A payload has at least one byte. */
const REFUSED = 0;

const MALFORMED_DATAGRAM = DropReason.malformedDatagram;
const UNKNOWN_RECEIVER = DropReason.unknownReceiver;
const AUTHENTICATION_FAILED = DropReason.authenticationFailed;
const REPLAYED = DropReason.replayed;
const KEYPAIR_EXPIRED = DropReason.keypairExpired;

/** What a datagram has at the least, by format: a payload of one byte. */
const LEAST_BYTES = [V2_HEADER_BYTES + 1, EPOCH_HEADER_BYTES + 1 + TAG_BYTES, CBC_HEADER_BYTES - PACKET_ID_BYTES + 16];

/** The way in of the packet half: P_DATA_V2 -> IP packet. */
export class Opener {
  readonly #memory: Memory;
  readonly #cipher: DataPacketCipher;
  readonly #peerIds: PeerIdTable;
  readonly #limits: DataLimits;

  constructor(memory: Memory, cipher: DataPacketCipher, peerIds: PeerIdTable, limits: DataLimits) {
    this.#memory = memory;
    this.#cipher = cipher;
    this.#peerIds = peerIds;
    this.#limits = limits;
  }

  /** Opens datagrams [first, end), which came by one path and begin with the same 4 bytes. */
  openRun(wire: PacketBatch, first: number, end: number, now: Instant, out: Outbox): void {
    const { u32, view } = this.#memory;
    const opcode = view.getUint32(wire.at[first]);
    const session = this.#peerIds.lookup(opcode & 0xffffff);
    const key = session === 0 ? 0 : u32[(session + SESSION_KEYS + ((opcode >>> 24) & 7) * 4) >> 2];
    if (key === 0) {
      for (let i = first; i < end; i++) out.drop(UNKNOWN_RECEIVER);
      return;
    }
    const format = u32[(session + SESSION_FORMAT) >> 2];
    if (format !== FORMAT_EPOCH) {
      this.#openBy(wire, first, end, session, key, format, key + KEY_RECEIVING, 0, now, out);
      return;
    }
    while (first < end) {
      const epoch = epochOf(this.#memory, wire, first);
      let to = first + 1;
      while (to < end && epochOf(this.#memory, wire, to) === epoch) to++;
      const secret = this.#secretOf(key, epoch);
      if (secret !== 0) this.#openBy(wire, first, to, session, key, format, secret, epoch, now, out);
      else for (let i = first; i < to; i++) out.drop(epoch < 0 ? MALFORMED_DATAGRAM : UNKNOWN_RECEIVER);
      first = to;
    }
  }

  /** The secret of an epoch that may be received, or 0. */
  #secretOf(key: number, epoch: number): number {
    const { u32 } = this.#memory;
    if (epoch <= 0) return 0;
    let slot = u32[(key + KEY_EPOCHS) >> 2] + EPOCHS_SLOTS;
    for (let i = 0; i < EPOCH_SLOTS; i++, slot += SECRET_BYTES)
      if (u32[(slot + SLOT_EPOCH) >> 2] === epoch) return slot;
    return 0;
  }

  /** Opens datagrams [first, end) by one secret. */
  #openBy(
    wire: PacketBatch,
    first: number,
    end: number,
    session: number,
    key: number,
    format: number,
    secret: number,
    epoch: number,
    now: Instant,
    out: Outbox,
  ): void {
    const memory = this.#memory;
    const { u32, f64 } = memory;
    if (f64[(key + KEY_FAILURES) >> 3] > this.#limits.failures) {
      for (let i = first; i < end; i++) out.drop(KEYPAIR_EXPIRED);
      return;
    }
    this.#cipher.useOpeningKey(u32[(key + KEY_CIPHER) >> 2], secret);
    this.#beginNonce(format, secret);
    let failures = 0;
    for (let i = first; i < end; i++) {
      if (wire.length[i] < LEAST_BYTES[format]) {
        wire.length[i] = REFUSED;
        out.drop(MALFORMED_DATAGRAM);
      } else if (!this.#openOne(wire, i, format, secret)) {
        wire.length[i] = REFUSED;
        failures++;
        out.drop(AUTHENTICATION_FAILED);
      } else if (wire.length[i] === REFUSED) out.drop(MALFORMED_DATAGRAM);
    }

    const worn = this.#acceptAll(wire, first, end, key, format, epoch, failures, out);
    // The session's bookkeeping comes before its packets are handed on, so that an answer finds the new path.
    this.#received(wire, first, end, session, key, format, epoch, worn, now, out);
    for (let i = first; i < end; i++) {
      const length = wire.length[i];
      if (length === REFUSED) continue;
      const at = wire.at[i];
      const version = memory.u8[at] >> 4;
      if (version === 4 || version === 6) out.packet(at, length, session, wire.owner[i]);
      else if (!isPingAt(memory, at, length)) out.inner(at, length, session);
    }
  }

  /** Writes the part of the nonce that all datagrams of a run have in common. */
  #beginNonce(format: number, secret: number): void {
    const { u32 } = this.#memory;
    const nonce = this.#cipher.nonce >> 2;
    const iv = (secret + SECRET_IV) >> 2;
    if (format === FORMAT_V2) {
      u32[nonce + 1] = u32[iv];
      u32[nonce + 2] = u32[iv + 1];
    } else if (format === FORMAT_EPOCH) {
      u32[nonce + 2] = u32[iv + 2];
    }
  }

  /** Decrypts the i-th datagram in place and has the batch name its payload; false if forged. */
  #openOne(wire: PacketBatch, i: number, format: number, secret: number): boolean {
    const { view } = this.#memory;
    const cipher = this.#cipher;
    const { nonce } = cipher;
    const header = wire.at[i];
    if (format === FORMAT_CBC) return this.#openCbc(wire, i);
    if (format === FORMAT_V2) {
      const at = header + V2_HEADER_BYTES;
      const length = wire.length[i] - V2_HEADER_BYTES;
      wire.at[i] = at;
      wire.length[i] = length;
      view.setUint32(nonce, view.getUint32(header + 4));
      return cipher.open(header, V2_AUTHENTICATED_BYTES, at, length, at - TAG_BYTES);
    }
    const at = header + EPOCH_HEADER_BYTES;
    const length = wire.length[i] - EPOCH_HEADER_BYTES - TAG_BYTES;
    wire.at[i] = at;
    wire.length[i] = length;
    view.setUint32(nonce, view.getUint32(header + 4) ^ view.getUint32(secret + SECRET_IV));
    view.setUint32(nonce + 4, view.getUint32(header + 8) ^ view.getUint32(secret + SECRET_IV + 4));
    return cipher.open(header, EPOCH_HEADER_BYTES, at, length, at + length);
  }

  /** As {@link #openOne}; a payload that is not padded as it should be, or empty, becomes {@link REFUSED}. */
  #openCbc(wire: PacketBatch, i: number): boolean {
    const { u8 } = this.#memory;
    const at = wire.at[i] + CBC_HEADER_BYTES;
    const length = wire.length[i] - CBC_HEADER_BYTES;
    wire.at[i] = at;
    wire.length[i] = REFUSED;
    if (((length + PACKET_ID_BYTES) & 15) !== 0) return true;
    if (!this.#cipher.openCbc(at - PACKET_ID_BYTES, length + PACKET_ID_BYTES)) return false;
    // It is authenticated: what these bytes say is the peer's own, and tells nobody anything.
    const padding = u8[at + length - 1];
    if (padding === 0 || padding > 16 || padding >= length) return true;
    for (let k = 1; k <= padding; k++) if (u8[at + length - k] !== padding) return true;
    wire.length[i] = length - padding;
    return true;
  }

  /**
   * Only now, with the packets authenticated, may they move the replay window and the epoch. True where the key is worn
   * out by what came.
   */
  #acceptAll(
    wire: PacketBatch,
    first: number,
    end: number,
    key: number,
    format: number,
    epoch: number,
    failures: number,
    out: Outbox,
  ): boolean {
    const memory = this.#memory;
    const { u32, f64 } = memory;
    let use = 0;
    lock(memory, key + LOCK);
    let window = 0; // asked for by the first packet that is authentic
    for (let i = first; i < end; i++) {
      if (wire.length[i] === REFUSED) continue;
      if (window === 0) window = format === FORMAT_EPOCH ? this.#windowOf(key, epoch) : key + KEY_WINDOW;
      const low = packetIdLow(memory, wire.at[i], format);
      const high = packetIdHigh(memory, wire.at[i], format);
      // There is no packet id 0.
      if (window > 0 && (low | high) !== 0 && REPLAY_WINDOW.accept(memory, window, low, high)) {
        use += 1 + ((wire.length[i] + 15) >> 4);
      } else {
        wire.length[i] = REFUSED;
        out.drop(REPLAYED);
      }
    }
    f64[(key + KEY_FAILURES) >> 3] += failures;
    f64[(key + KEY_RECEIVING_USE) >> 3] += use;
    const worn =
      (isGcm(u32[(key + KEY_CIPHER) >> 2]) && f64[(key + KEY_RECEIVING_USE) >> 3] > this.#limits.renewUse) ||
      f64[(key + KEY_FAILURES) >> 3] > this.#limits.renewFailures;
    unlock(memory, key + LOCK);
    return worn;
  }

  /** The replay window of an epoch that something authentic came by, which may be the first of it; -1 where it is over. */
  #windowOf(key: number, epoch: number): number {
    const memory = this.#memory;
    const { u32, f64 } = memory;
    const epochs = u32[(key + KEY_EPOCHS) >> 2];
    const current = u32[(epochs + EPOCHS_CURRENT) >> 2];
    const used = u32[(epochs + EPOCHS_WINDOW_USED) >> 2];
    if (epoch === current) return used === 0 ? key + KEY_WINDOW : epochs + EPOCHS_WINDOW;
    const other = used === 0 ? epochs + EPOCHS_WINDOW : key + KEY_WINDOW;
    if (epoch === u32[(epochs + EPOCHS_PREVIOUS) >> 2]) return other;
    if (epoch < current) return -1;
    REPLAY_WINDOW.reset(memory, other);
    u32[(epochs + EPOCHS_WINDOW_USED) >> 2] = 1 - used;
    u32[(epochs + EPOCHS_PREVIOUS) >> 2] = current;
    u32[(epochs + EPOCHS_CURRENT) >> 2] = epoch;
    f64[(key + KEY_RECEIVING_USE) >> 3] = 0;
    f64[(key + KEY_FAILURES) >> 3] = 0;
    return other;
  }

  /** Counts a run, follows the peer to where it is now, and asks the session half to look where there is something new. */
  #received(
    wire: PacketBatch,
    first: number,
    end: number,
    session: number,
    key: number,
    format: number,
    epoch: number,
    worn: boolean,
    now: Instant,
    out: Outbox,
  ): void {
    const memory = this.#memory;
    const { u32, i32, f64 } = memory;
    let bytes = 0;
    for (let i = first; i < end; i++) if (wire.length[i] !== REFUSED) bytes += sealedLength(format, wire.length[i]);
    if (bytes === 0 && !worn) return;
    lock(memory, session + LOCK);
    let wanted = false;
    if (bytes !== 0) {
      const path = wire.owner[first];
      if (!samePath(memory, session + SESSION_PATH, path)) copyPath(memory, session + SESSION_PATH, path);
      f64[(session + SESSION_RECEIVED_BYTES) >> 3] += bytes;
      f64[(session + SESSION_LAST_RECEIVED) >> 3] = now;
      if (i32[(key + KEY_HEARD) >> 2] === 0) {
        i32[(key + KEY_HEARD) >> 2] = 1;
        wanted = true;
      }
      if (format === FORMAT_EPOCH && this.#isNew(key, epoch)) wanted = true;
    }
    // With epochs, one that was received for long is answered by a newer one, once: so the peer goes over to that.
    if (
      worn &&
      (format !== FORMAT_EPOCH || epoch === u32[(key + KEY_SENDING_EPOCH) >> 2]) &&
      i32[(key + KEY_WORN) >> 2] === 0
    ) {
      i32[(key + KEY_WORN) >> 2] = 1;
      wanted = true;
    }
    if (wanted) i32[(session + SESSION_WANTED) >> 2] = 1;
    const attend = i32[(session + SESSION_WANTED) >> 2] === 1 && i32[(session + SESSION_ATTENDED) >> 2] === 0;
    if (attend) i32[(session + SESSION_ATTENDED) >> 2] = 1;
    unlock(memory, session + LOCK);
    // Where the session half could not be told, the next packet of the session tells it again.
    if (attend && !out.attend(session)) Atomics.store(i32, (session + SESSION_ATTENDED) >> 2, 0);
  }

  /** Whether the peer has gone over to this epoch: so shall we, and the keys ahead of it have to be derived. */
  #isNew(key: number, epoch: number): boolean {
    const { u32 } = this.#memory;
    const last = u32[(u32[(key + KEY_EPOCHS) >> 2] + EPOCHS_LAST) >> 2];
    return epoch > u32[(key + KEY_SENDING_EPOCH) >> 2] || (last - epoch < FUTURE_EPOCHS && last < MAX_EPOCH);
  }
}

/** The epoch of the i-th datagram; -1 where it is too short to have one. */
function epochOf({ view }: Memory, wire: PacketBatch, i: number): number {
  return wire.length[i] < LEAST_BYTES[FORMAT_EPOCH] ? -1 : view.getUint16(wire.at[i] + 4);
}

/** The low 32 bits of an opened packet's id, from the place before its payload where its format has it. */
function packetIdLow({ view }: Memory, at: number, format: number): number {
  return view.getUint32(format === FORMAT_V2 ? at - TAG_BYTES - PACKET_ID_BYTES : at - PACKET_ID_BYTES);
}

/** What is above those: an epoch counts to 2^48. */
function packetIdHigh({ view }: Memory, at: number, format: number): number {
  return format === FORMAT_EPOCH ? view.getUint16(at - 6) : 0;
}
