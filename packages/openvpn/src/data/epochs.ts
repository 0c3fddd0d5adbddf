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
  const result = new Uint8Array(block.subarray(0, bytes));
  block.fill(0);
  return result;
}

/** What takes a key's epochs on: keys that were derived, and are put in their places by {@link EpochSchedule.apply}. */
export interface EpochStep {
  /** To receive by, the first epoch first. */
  readonly receiving: readonly { readonly epoch: number; readonly secret: Uint8Array }[];
  /** The secret of the last of them, from which those after it come. */
  readonly lastSecret: Uint8Array;
  /** To send by from now on, where it is another epoch. */
  readonly sending: { readonly epoch: number; readonly secret: Uint8Array; readonly from: Uint8Array } | undefined;
}

/**
 * The key schedule of epochs, in a key's record and that of its epochs. What takes time, `derive`, disturbs no packet half;
 * `begin` is for a key that none knows yet, and `apply` is called while none is in the middle of a batch.
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
    u32[(epochs + EPOCHS_CURRENT) >> 2] = 1;
    u32[(epochs + EPOCHS_LAST) >> 2] = 1;
    const cipher = u32[(key + KEY_CIPHER) >> 2];
    const first = this.#secretOf(cipher, receiving);
    this.#place(first, this.#freeSlot(epochs, 1));
    this.#sendBy(key, { epoch: 1, secret: this.#secretOf(cipher, sending), from: new Uint8Array(sending) });
    this.apply(key, this.derive(key, 1));
  }

  /** Whether epochs ahead of the one that is received have no keys yet. */
  lacksFuture(key: number): boolean {
    const { u32 } = this.#memory;
    const epochs = u32[(key + KEY_EPOCHS) >> 2];
    return u32[(epochs + EPOCHS_LAST) >> 2] < this.#lastWanted(epochs);
  }

  /** Derives keys for the epochs ahead of the one that is received, and those of the epoch to send by. Changes nothing. */
  derive(key: number, sendingEpoch: number): EpochStep {
    const { u8, u32 } = this.#memory;
    const epochs = u32[(key + KEY_EPOCHS) >> 2];
    const cipher = u32[(key + KEY_CIPHER) >> 2];
    const secretAt = (at: number): Uint8Array => new Uint8Array(u8.subarray(at, at + EPOCH_SECRET_BYTES));
    const receiving: { epoch: number; secret: Uint8Array }[] = [];
    const lastSecret = secretAt(epochs + EPOCHS_RECEIVING_SECRET);
    const last = this.#lastWanted(epochs);
    for (let epoch = u32[(epochs + EPOCHS_LAST) >> 2] + 1; epoch <= last; epoch++) {
      this.#iterate(lastSecret);
      receiving.push({ epoch, secret: this.#secretOf(cipher, lastSecret) });
    }
    const before = u32[(key + KEY_SENDING_EPOCH) >> 2];
    if (sendingEpoch === before) return { receiving, lastSecret, sending: undefined };
    const from = secretAt(epochs + EPOCHS_SENDING_SECRET);
    for (let at = before; at < sendingEpoch; at++) this.#iterate(from);
    return { receiving, lastSecret, sending: { epoch: sendingEpoch, secret: this.#secretOf(cipher, from), from } };
  }

  /** Takes a step that was derived since the one before it, erases it, and the keys of epochs that are over. */
  apply(key: number, { receiving, lastSecret, sending }: EpochStep): void {
    const { u8, u32 } = this.#memory;
    const epochs = u32[(key + KEY_EPOCHS) >> 2];
    const current = u32[(epochs + EPOCHS_CURRENT) >> 2];
    const previous = u32[(epochs + EPOCHS_PREVIOUS) >> 2];
    for (let i = 0; i < EPOCH_SLOTS; i++) {
      const slot = epochs + EPOCHS_SLOTS + i * SECRET_BYTES;
      const epoch = u32[(slot + SLOT_EPOCH) >> 2];
      if (epoch < current && epoch !== previous) u8.fill(0, slot, slot + SECRET_BYTES);
    }
    for (const { epoch, secret } of receiving) {
      this.#place(secret, this.#freeSlot(epochs, epoch));
      u32[(epochs + EPOCHS_LAST) >> 2] = epoch;
    }
    u8.set(lastSecret, epochs + EPOCHS_RECEIVING_SECRET);
    lastSecret.fill(0);
    if (sending !== undefined) this.#sendBy(key, sending);
  }

  #sendBy(key: number, { epoch, secret, from }: NonNullable<EpochStep['sending']>): void {
    const { u8, u32 } = this.#memory;
    u8.set(from, u32[(key + KEY_EPOCHS) >> 2] + EPOCHS_SENDING_SECRET);
    from.fill(0);
    u32[(key + KEY_SENDING_EPOCH) >> 2] = epoch;
    this.#place(secret, key + KEY_SENDING);
  }

  #lastWanted(epochs: number): number {
    return Math.min(this.#memory.u32[(epochs + EPOCHS_CURRENT) >> 2] + FUTURE_EPOCHS, MAX_EPOCH);
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
  #iterate(secret: Uint8Array): void {
    const next = expandLabel(this.#crypto, secret, 'datakey upd', EPOCH_SECRET_BYTES);
    secret.set(next);
    next.fill(0);
  }

  /** An epoch's key and implicit IV, from its secret, as they lie in a record: a cipher's key is short of the IV's place. */
  #secretOf(cipher: number, from: Uint8Array): Uint8Array {
    const secret = new Uint8Array(SECRET_IV + EPOCH_IV_BYTES);
    const bytes = expandLabel(this.#crypto, from, 'data_key', cipherKeyBytes(cipher));
    const iv = expandLabel(this.#crypto, from, 'data_iv', EPOCH_IV_BYTES);
    secret.set(bytes);
    secret.set(iv, SECRET_IV);
    bytes.fill(0);
    iv.fill(0);
    return secret;
  }

  /** Puts an epoch's key and IV where they are used from. */
  #place(secret: Uint8Array, to: number): void {
    this.#memory.u8.set(secret, to);
    secret.fill(0);
  }
}
