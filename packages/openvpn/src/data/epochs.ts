import type { Memory } from '@sallyport/core';
import type { OpenVpnCrypto } from '../crypto.ts';
import { cipherKeyBytes } from './format.ts';
import {
  EPOCH_SLOTS,
  EPOCHS_CURRENT,
  EPOCHS_LAST,
  EPOCHS_PREVIOUS,
  EPOCHS_RECEIVING_SECRET,
  EPOCHS_SENDING_SECRET,
  EPOCHS_SLOTS,
  FUTURE_EPOCHS,
  KEY_CIPHER,
  KEY_EPOCHS,
  KEY_SENDING,
  KEY_SENDING_EPOCH,
  MAX_EPOCH,
  SECRET_BYTES,
  SECRET_IV,
  SLOT_EPOCH,
} from './layout.ts';

/** Bytes of an epoch's secret, and of its implicit IV. */
export const EPOCH_SECRET_BYTES = 32;
const EPOCH_IV_BYTES = 12;

type Hmac = Pick<OpenVpnCrypto, 'hmac'>;

/**
 * OVPN-Expand-Label of the wire protocol's section on epoch keys: HKDF-Expand (RFC 5869) with SHA-256 and the info of
 * TLS 1.3 (RFC 8446, section 7.1), its prefix being "ovpn ". No context; at most one block of 32 bytes.
 */
export function expandLabel(crypto: Hmac, secret: Uint8Array, label: string, bytes: number): Uint8Array {
  const name = `ovpn ${label}`;
  const info = Uint8Array.from([0, bytes, name.length, ...Array.from(name, (c) => c.charCodeAt(0)), 0, 1]);
  const block = crypto.hmac('sha256', secret, [info]);
  const result = block.slice(0, bytes);
  block.fill(0);
  return result;
}

/**
 * The key schedule of epochs, in a key's record and that of its epochs. Everything is called while no packet half is in
 * the middle of a batch.
 */
export class EpochSchedule {
  readonly #memory: Memory;
  readonly #crypto: Hmac;

  constructor(memory: Memory, crypto: Hmac) {
    this.#memory = memory;
    this.#crypto = crypto;
  }

  /** Begins both directions with epoch 1; its secrets are the two of {@link EPOCH_SECRET_BYTES} bytes. */
  begin(key: number, sending: Uint8Array, receiving: Uint8Array): void {
    const { u8, u32 } = this.#memory;
    const epochs = u32[(key + KEY_EPOCHS) >> 2];
    u8.set(sending, epochs + EPOCHS_SENDING_SECRET);
    u8.set(receiving, epochs + EPOCHS_RECEIVING_SECRET);
    u32[(key + KEY_SENDING_EPOCH) >> 2] = 1;
    this.#derive(key, epochs + EPOCHS_SENDING_SECRET, key + KEY_SENDING);
    u32[(epochs + EPOCHS_CURRENT) >> 2] = 1;
    u32[(epochs + EPOCHS_LAST) >> 2] = 1;
    this.#derive(key, epochs + EPOCHS_RECEIVING_SECRET, this.#freeSlot(epochs, 1));
    this.deriveFuture(key);
  }

  /** Sends by a later epoch from now on; its packets are counted from the start. */
  sendBy(key: number, epoch: number): void {
    const { u32 } = this.#memory;
    const secret = u32[(key + KEY_EPOCHS) >> 2] + EPOCHS_SENDING_SECRET;
    for (let at = u32[(key + KEY_SENDING_EPOCH) >> 2]; at < epoch; at++) this.#iterate(secret);
    u32[(key + KEY_SENDING_EPOCH) >> 2] = epoch;
    this.#derive(key, secret, key + KEY_SENDING);
  }

  /** Whether epochs ahead of the one that is received have no keys yet. */
  lacksFuture(key: number): boolean {
    const { u32 } = this.#memory;
    const epochs = u32[(key + KEY_EPOCHS) >> 2];
    const wanted = Math.min(u32[(epochs + EPOCHS_CURRENT) >> 2] + FUTURE_EPOCHS, MAX_EPOCH);
    return u32[(epochs + EPOCHS_LAST) >> 2] < wanted;
  }

  /** Gives the epochs ahead of the one that is received their keys, and erases those of epochs that are over. */
  deriveFuture(key: number): void {
    const { u8, u32 } = this.#memory;
    const epochs = u32[(key + KEY_EPOCHS) >> 2];
    const current = u32[(epochs + EPOCHS_CURRENT) >> 2];
    const previous = u32[(epochs + EPOCHS_PREVIOUS) >> 2];
    for (let i = 0; i < EPOCH_SLOTS; i++) {
      const slot = epochs + EPOCHS_SLOTS + i * SECRET_BYTES;
      const epoch = u32[(slot + SLOT_EPOCH) >> 2];
      if (epoch < current && epoch !== previous) u8.fill(0, slot, slot + SECRET_BYTES);
    }
    while (this.lacksFuture(key)) {
      const epoch = ++u32[(epochs + EPOCHS_LAST) >> 2];
      this.#iterate(epochs + EPOCHS_RECEIVING_SECRET);
      this.#derive(key, epochs + EPOCHS_RECEIVING_SECRET, this.#freeSlot(epochs, epoch));
    }
  }

  /** A free slot, given to an epoch. There is one: only so many epochs are ever of use. */
  #freeSlot(epochs: number, epoch: number): number {
    const { u32 } = this.#memory;
    let slot = epochs + EPOCHS_SLOTS;
    while (u32[(slot + SLOT_EPOCH) >> 2] !== 0) slot += SECRET_BYTES;
    u32[(slot + SLOT_EPOCH) >> 2] = epoch;
    return slot;
  }

  /** E_N+1 in the place of E_N. */
  #iterate(secretAt: number): void {
    const { u8 } = this.#memory;
    const secret = u8.slice(secretAt, secretAt + EPOCH_SECRET_BYTES);
    const next = expandLabel(this.#crypto, secret, 'datakey upd', EPOCH_SECRET_BYTES);
    u8.set(next, secretAt);
    secret.fill(0);
    next.fill(0);
  }

  /** An epoch's key and implicit IV, from its secret. */
  #derive(key: number, secretAt: number, to: number): void {
    const { u8, u32 } = this.#memory;
    const secret = u8.slice(secretAt, secretAt + EPOCH_SECRET_BYTES);
    const bytes = expandLabel(this.#crypto, secret, 'data_key', cipherKeyBytes(u32[(key + KEY_CIPHER) >> 2]));
    const iv = expandLabel(this.#crypto, secret, 'data_iv', EPOCH_IV_BYTES);
    u8.set(bytes, to);
    u8.set(iv, to + SECRET_IV);
    for (const part of [secret, bytes, iv]) part.fill(0);
  }
}
