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
} from '@sallyport/core';
import { outerEcn, tosOf } from '@sallyport/wire';
import { P_DATA_V2 } from '../wire/opcodes.ts';
import type { DataPacketCipher } from './cipher.ts';
import {
  cbcPaddedLength,
  CIPHER_AES_128_GCM,
  CIPHER_AES_256_GCM,
  EPOCH_HEADER_BYTES,
  FORMAT_EPOCH,
  FORMAT_V2,
  PACKET_ID_BYTES,
  ROOMS,
  sealedLength,
  TAG_BYTES,
  V2_AUTHENTICATED_BYTES,
  V2_HEADER_BYTES,
} from './format.ts';
import {
  KEY_CIPHER,
  KEY_ID,
  KEY_SENDING,
  KEY_SENDING_EPOCH,
  KEY_SENDING_USE,
  KEY_SENT,
  KEY_WORN,
  LOCK,
  SECRET_IV,
  SESSION_ATTENDED,
  SESSION_FORMAT,
  SESSION_LAST_SENT,
  SESSION_PATH,
  SESSION_PEER_ID,
  SESSION_SENDING_KEY,
  SESSION_SENT_BYTES,
  SESSION_WANTED,
} from './layout.ts';
import type { DataLimits } from './limits.ts';
import { PING_BYTES, writePing } from './ping.ts';

const NO_ENDPOINT = DropReason.noEndpoint;
const KEYPAIR_EXPIRED = DropReason.keypairExpired;

const TWO_TO_32 = 4_294_967_296;

/** The way out of the packet half: IP packet -> P_DATA_V2. */
export class Sealer {
  static readonly scratchBytes = 2 * PATH_BYTES;

  readonly #memory: Memory;
  readonly #cipher: DataPacketCipher;
  readonly #limits: DataLimits;
  /**
   * Copies of paths, of this thread's own: that of the run being sealed, and the one before, by which datagrams may
   * still be waiting to go.
   */
  #path: number;
  #pathBefore: number;

  constructor(memory: Memory, cipher: DataPacketCipher, scratch: number, limits: DataLimits) {
    this.#memory = memory;
    this.#cipher = cipher;
    this.#limits = limits;
    this.#path = scratch;
    this.#pathBefore = scratch + PATH_BYTES;
  }

  /** Seals packets [first, end) of one session. */
  sealRun(plain: PacketBatch, first: number, end: number, session: number, now: Instant, out: Outbox): void {
    const memory = this.#memory;
    const { u32, i32, f64, view } = memory;
    const limits = this.#limits;
    const count = end - first;
    const format = u32[(session + SESSION_FORMAT) >> 2];
    let bytes = 0;
    let use = count;
    for (let i = first; i < end; i++) {
      const length = plain.length[i] === 0 ? PING_BYTES : plain.length[i];
      bytes += sealedLength(format, length);
      use += (length + 15) >> 4;
    }

    // All packet ids of the run are taken at once; what is counted is counted here too, as nothing below can fail.
    lock(memory, session + LOCK);
    const key = u32[(session + SESSION_SENDING_KEY) >> 2];
    const hasPath = view.getUint16(session + SESSION_PATH + PATH_FAMILY, true) !== 0;
    let sent = 0;
    let usable = false;
    let attend = false;
    if (key !== 0 && hasPath) {
      sent = f64[(key + KEY_SENT) >> 3];
      use = isGcm(u32[(key + KEY_CIPHER) >> 2]) ? use + f64[(key + KEY_SENDING_USE) >> 3] : 0;
      usable = use <= limits.use && sent + count <= (format === FORMAT_EPOCH ? limits.epochPackets : limits.packets);
      const worn =
        use > limits.renewUse ||
        sent + count > (format === FORMAT_EPOCH ? limits.renewEpochPackets : limits.renewPackets);
      if (worn && i32[(key + KEY_WORN) >> 2] === 0) {
        i32[(key + KEY_WORN) >> 2] = 1;
        i32[(session + SESSION_WANTED) >> 2] = 1;
      }
      if (usable) {
        f64[(key + KEY_SENT) >> 3] = sent + count;
        f64[(key + KEY_SENDING_USE) >> 3] = use;
        f64[(session + SESSION_SENT_BYTES) >> 3] += bytes;
        f64[(session + SESSION_LAST_SENT) >> 3] = now;
        this.#takePath(session + SESSION_PATH);
      }
      attend = i32[(session + SESSION_WANTED) >> 2] === 1 && i32[(session + SESSION_ATTENDED) >> 2] === 0;
      if (attend) i32[(session + SESSION_ATTENDED) >> 2] = 1;
    }
    unlock(memory, session + LOCK);
    // Where the session half could not be told, the next packet of the session tells it again.
    if (attend && !out.attend(session)) Atomics.store(i32, (session + SESSION_ATTENDED) >> 2, 0);

    if (!usable) {
      const reason = key !== 0 && hasPath ? KEYPAIR_EXPIRED : NO_ENDPOINT;
      for (let i = first; i < end; i++) out.undeliverable(plain.at[i], plain.length[i], reason);
      return;
    }

    this.#cipher.useSealingKey(u32[(key + KEY_CIPHER) >> 2], key + KEY_SENDING);
    this.#beginNonce(format, key);
    const opcode =
      ((((P_DATA_V2 << 3) | u32[(key + KEY_ID) >> 2]) << 24) | u32[(session + SESSION_PEER_ID) >> 2]) >>> 0;
    const epoch = u32[(key + KEY_SENDING_EPOCH) >> 2];
    const { headroom } = ROOMS[format];
    for (let i = first; i < end; i++) {
      const at = plain.at[i];
      let length = plain.length[i];
      if (length === 0) {
        writePing(memory, at);
        length = PING_BYTES;
      }
      const version = memory.u8[at] >> 4;
      const ecn = version === 4 || version === 6 ? outerEcn(tosOf(memory, at)) : 0;
      view.setUint32(at - headroom, opcode);
      sent++;
      if (format === FORMAT_V2) this.#sealV2(at, length, sent);
      else if (format === FORMAT_EPOCH) this.#sealEpoch(at, length, key, epoch, sent);
      else this.#sealCbc(at, length, sent);
      out.datagram(at - headroom, sealedLength(format, length), this.#path, ecn);
    }
  }

  #takePath(path: number): void {
    const { u32 } = this.#memory;
    if (samePath(this.#memory, this.#path, path) && u32[(this.#path + PATH_ORIGIN) >> 2] === path) return;
    const to = this.#pathBefore;
    this.#pathBefore = this.#path;
    this.#path = to;
    copyPath(this.#memory, to, path);
    u32[(to + PATH_ORIGIN) >> 2] = path;
  }

  /** Writes the part of the nonce that all packets of a run have in common. */
  #beginNonce(format: number, key: number): void {
    const { u32 } = this.#memory;
    const nonce = this.#cipher.nonce >> 2;
    const iv = (key + KEY_SENDING + SECRET_IV) >> 2;
    if (format === FORMAT_V2) {
      u32[nonce + 1] = u32[iv];
      u32[nonce + 2] = u32[iv + 1];
    } else if (format === FORMAT_EPOCH) {
      u32[nonce + 2] = u32[iv + 2];
    }
  }

  #sealV2(at: number, length: number, packetId: number): void {
    const { view } = this.#memory;
    const header = at - V2_HEADER_BYTES;
    view.setUint32(header + 4, packetId);
    view.setUint32(this.#cipher.nonce, packetId);
    this.#cipher.seal(header, V2_AUTHENTICATED_BYTES, at, length, at - TAG_BYTES);
  }

  #sealEpoch(at: number, length: number, key: number, epoch: number, counter: number): void {
    const { view } = this.#memory;
    const { nonce } = this.#cipher;
    const header = at - EPOCH_HEADER_BYTES;
    const iv = key + KEY_SENDING + SECRET_IV;
    view.setUint16(header + 4, epoch);
    view.setUint16(header + 6, counter / TWO_TO_32);
    view.setUint32(header + 8, counter);
    view.setUint32(nonce, view.getUint32(header + 4) ^ view.getUint32(iv));
    view.setUint32(nonce + 4, view.getUint32(header + 8) ^ view.getUint32(iv + 4));
    this.#cipher.seal(header, EPOCH_HEADER_BYTES, at, length, at + length);
  }

  #sealCbc(at: number, length: number, packetId: number): void {
    const { u8, view } = this.#memory;
    const padded = cbcPaddedLength(length);
    for (let i = at + length; i < at + padded; i++) u8[i] = padded - length;
    view.setUint32(at - PACKET_ID_BYTES, packetId);
    this.#cipher.sealCbc(at - PACKET_ID_BYTES, PACKET_ID_BYTES + padded);
  }
}

/** Whose keys wear out by use. */
export function isGcm(cipher: number): boolean {
  return cipher === CIPHER_AES_256_GCM || cipher === CIPHER_AES_128_GCM;
}
