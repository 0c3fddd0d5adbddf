import {
  copyPath,
  lock,
  PATH_ORIGIN,
  unlock,
  type Instant,
  type Memory,
  type RecordPool,
  type SessionId,
} from '@sallyport/core';
import type { OpenVpnCrypto } from '../crypto.ts';
import type { DataKey, DataSessions, SessionActivity } from './data-sessions.ts';
import { EPOCH_SECRET_BYTES, EpochSchedule } from './epochs.ts';
import { cipherKeyBytes, cipherNumber, FORMAT_CBC, FORMAT_EPOCH, formatOf } from './format.ts';
import {
  EPOCHS_BYTES,
  EPOCHS_CURRENT,
  FUTURE_EPOCHS,
  KEY_BYTES,
  KEY_CIPHER,
  KEY_EPOCHS,
  KEY_HEARD,
  KEY_ID,
  KEY_IDS,
  KEY_RECEIVING,
  KEY_SENDING,
  KEY_SENDING_EPOCH,
  KEY_SENDING_USE,
  KEY_SENT,
  KEY_SESSION,
  KEY_WORN,
  LOCK,
  MAX_EPOCH,
  SECRET_IV,
  SESSION_ATTENDED,
  SESSION_BYTES,
  SESSION_EPOCHS_HELD,
  SESSION_FORMAT,
  SESSION_KEYS,
  SESSION_LAST_RECEIVED,
  SESSION_LAST_SENT,
  SESSION_PATH,
  SESSION_PEER_ID,
  SESSION_RECEIVED_BYTES,
  SESSION_SENDING_KEY,
  SESSION_SENT_BYTES,
  SESSION_WANTED,
} from './layout.ts';
import { DATA_LIMITS, type DataLimits } from './limits.ts';
import { openDataPools, openDataTables, type DataRegions, type DataTables } from './tables.ts';

/** Bytes of `DataKey.material`: for each direction 64 for the cipher and 64 for the HMAC. */
export const KEY_MATERIAL_BYTES = 256;
const DIRECTION_BYTES = 128;
const HMAC_PART = 64;
const IMPLICIT_IV_BYTES = 8;
const HMAC_KEY_BYTES = 32;

export interface SharedDataSessionsOptions {
  readonly memory: Memory;
  readonly regions: DataRegions;
  readonly crypto: Pick<OpenVpnCrypto, 'hmac'>;
  /** Runs a change while no packet half is in the middle of a batch. */
  readonly exclusive: (change: () => void) => void;
  /**
   * Takes closed sessions out of what packet halves have said and the session half has not heard yet. Called from
   * within `exclusive`; the ids are then given out again.
   */
  readonly forgetSessions: (gone: ReadonlySet<SessionId>) => void;
  /** Erases what the ciphers of all threads keep of keys from `first` to `end` in memory. Called from within `exclusive`. */
  readonly eraseKeys: (first: number, end: number) => void;
  readonly limits?: DataLimits;
}

/** {@link DataSessions} in memory that the packet half of every thread works on. */
export class SharedDataSessions implements DataSessions {
  readonly #options: SharedDataSessionsOptions;
  readonly #memory: Memory;
  readonly #regions: DataRegions;
  readonly #tables: DataTables;
  readonly #sessions: RecordPool;
  readonly #keys: RecordPool;
  readonly #epochRecords: RecordPool;
  readonly #epochs: EpochSchedule;
  readonly #limits: DataLimits;
  #count = 0;

  constructor(options: SharedDataSessionsOptions) {
    const { memory, regions } = options;
    this.#options = options;
    this.#memory = memory;
    this.#regions = regions;
    this.#tables = openDataTables(memory, regions);
    const pools = openDataPools(memory, regions);
    this.#sessions = pools.sessions;
    this.#keys = pools.keys;
    this.#epochRecords = pools.epochs;
    this.#epochs = new EpochSchedule(memory, options.crypto);
    this.#limits = options.limits ?? DATA_LIMITS;
  }

  get count(): number {
    return this.#count;
  }

  open(now: Instant): SessionId {
    const { f64 } = this.#memory;
    const session = this.#sessions.allocate();
    if (session === 0) return 0;
    this.#count++;
    f64[(session + SESSION_LAST_RECEIVED) >> 3] = now;
    f64[(session + SESSION_LAST_SENT) >> 3] = now;
    this.#tables.peerIds.set((session - this.#regions.sessions) / SESSION_BYTES, session);
    return session;
  }

  peerId(session: SessionId): number {
    return this.#memory.u32[(session + SESSION_PEER_ID) >> 2];
  }

  setPeerId(session: SessionId, peerId: number): void {
    this.#options.exclusive(() => {
      this.#tables.peerIds.set(peerId, session);
    });
  }

  pathOf(session: SessionId): number {
    const to = this.#regions.sessionPath;
    lock(this.#memory, session + LOCK);
    copyPath(this.#memory, to, session + SESSION_PATH);
    unlock(this.#memory, session + LOCK);
    this.#memory.u32[(to + PATH_ORIGIN) >> 2] = session + SESSION_PATH;
    return to;
  }

  setPath(session: SessionId, path: number): void {
    lock(this.#memory, session + LOCK);
    copyPath(this.#memory, session + SESSION_PATH, path);
    unlock(this.#memory, session + LOCK);
  }

  setAddresses(
    session: SessionId,
    addresses: { ipv4?: Uint8Array | undefined; ipv6?: Uint8Array | undefined } | 'everything',
  ): void {
    const { routes } = this.#tables;
    this.#options.exclusive(() => {
      routes.removeSession(session);
      if (addresses === 'everything') routes.setEverything(session);
      else for (const one of [addresses.ipv4, addresses.ipv6]) if (one !== undefined) routes.add(session, one);
    });
  }

  installKey(session: SessionId, keyId: number, key: DataKey): boolean {
    const { u8, u32 } = this.#memory;
    const format = formatOf(key);
    const slot = (session + SESSION_KEYS + keyId * 4) >> 2;
    if (keyId < 0 || keyId >= KEY_IDS || u32[slot] !== 0) throw new RangeError('this key id is taken, or is none');
    if (format === undefined || key.material.length !== KEY_MATERIAL_BYTES)
      throw new RangeError('a data key of a kind that there is not');
    if (this.#keysOf(session).length === 0) u32[(session + SESSION_FORMAT) >> 2] = format;
    else if (u32[(session + SESSION_FORMAT) >> 2] !== format)
      throw new RangeError('a session keeps the packet format that it began with');
    const record = this.#keys.allocate();
    if (record === 0) return false;
    u32[(record + KEY_SESSION) >> 2] = session;
    u32[(record + KEY_ID) >> 2] = keyId;
    u32[(record + KEY_CIPHER) >> 2] = cipherNumber(key.cipher);
    const direction = (second: boolean): Uint8Array =>
      key.material.subarray(second ? DIRECTION_BYTES : 0, second ? 2 * DIRECTION_BYTES : DIRECTION_BYTES);
    const sending = direction(key.server);
    const receiving = direction(!key.server);
    if (format === FORMAT_EPOCH) {
      const epochs = this.#epochRecords.allocate();
      if (epochs === 0) {
        free(this.#keys, record);
        return false;
      }
      u32[(record + KEY_EPOCHS) >> 2] = epochs;
      this.#epochs.begin(record, sending.subarray(0, EPOCH_SECRET_BYTES), receiving.subarray(0, EPOCH_SECRET_BYTES));
    } else {
      const bytes = cipherKeyBytes(u32[(record + KEY_CIPHER) >> 2]);
      const second = format === FORMAT_CBC ? HMAC_KEY_BYTES : IMPLICIT_IV_BYTES;
      for (const [from, to] of [
        [sending, record + KEY_SENDING],
        [receiving, record + KEY_RECEIVING],
      ] as const) {
        u8.set(from.subarray(0, bytes), to);
        u8.set(from.subarray(HMAC_PART, HMAC_PART + second), to + SECRET_IV);
      }
    }
    // Who sees the key sees all of it.
    Atomics.store(u32, slot, record);
    return true;
  }

  sendWith(session: SessionId, keyId: number): void {
    const { u32 } = this.#memory;
    lock(this.#memory, session + LOCK);
    u32[(session + SESSION_SENDING_KEY) >> 2] = this.#key(session, keyId);
    unlock(this.#memory, session + LOCK);
  }

  removeKey(session: SessionId, keyId: number): void {
    if (this.#key(session, keyId) === 0) return;
    this.#options.exclusive(() => {
      this.#erase(session, keyId);
    });
  }

  heardBy(session: SessionId, keyId: number): boolean {
    const key = this.#key(session, keyId);
    return key !== 0 && Atomics.load(this.#memory.i32, (key + KEY_HEARD) >> 2) === 1;
  }

  wornOut(session: SessionId, keyId: number): boolean {
    const { i32, u32 } = this.#memory;
    const key = this.#key(session, keyId);
    if (key === 0) return false;
    return u32[(key + KEY_EPOCHS) >> 2] === 0
      ? Atomics.load(i32, (key + KEY_WORN) >> 2) === 1
      : u32[(key + KEY_SENDING_EPOCH) >> 2] >= this.#limits.renewEpoch;
  }

  attend(session: SessionId, now: Instant): Instant | undefined {
    const { i32, u32, f64 } = this.#memory;
    const moving = this.#keysOf(session).filter(
      (key) =>
        u32[(key + KEY_EPOCHS) >> 2] !== 0 &&
        (this.#epochs.lacksFuture(key) || this.#sendingEpochOf(key) !== u32[(key + KEY_SENDING_EPOCH) >> 2]),
    );
    const heldUntil = f64[(session + SESSION_EPOCHS_HELD) >> 3];
    const held = moving.length !== 0 && now < heldUntil;
    lock(this.#memory, session + LOCK);
    i32[(session + SESSION_WANTED) >> 2] = 0;
    i32[(session + SESSION_ATTENDED) >> 2] = held ? 1 : 0;
    unlock(this.#memory, session + LOCK);
    if (held) return heldUntil;
    if (moving.length !== 0) f64[(session + SESSION_EPOCHS_HELD) >> 3] = now + this.#limits.epochSpacingMs;
    for (const key of moving) this.#advance(key);
    return undefined;
  }

  /**
   * The epoch to send by: the peer's where that is newer, and another where this one is nearly used up. But none that is
   * too far ahead of what the peer sent last: it answers by ours or the next one, and we receive by so many epochs ahead
   * alone.
   */
  #sendingEpochOf(key: number): number {
    const { i32, u32 } = this.#memory;
    const sending = u32[(key + KEY_SENDING_EPOCH) >> 2];
    const current = u32[(u32[(key + KEY_EPOCHS) >> 2] + EPOCHS_CURRENT) >> 2];
    const wanted = Atomics.load(i32, (key + KEY_WORN) >> 2) === 1 ? sending + 1 : sending;
    return Math.min(Math.max(wanted, current), current + FUTURE_EPOCHS - 1, MAX_EPOCH);
  }

  #advance(key: number): void {
    const { i32, f64 } = this.#memory;
    const step = this.#epochs.derive(key, this.#sendingEpochOf(key));
    this.#options.exclusive(() => {
      this.#epochs.apply(key, step);
      this.#eraseCiphers(key);
      if (step.sending === undefined) return;
      i32[(key + KEY_WORN) >> 2] = 0;
      f64[(key + KEY_SENT) >> 3] = 0;
      f64[(key + KEY_SENDING_USE) >> 3] = 0;
    });
  }

  activity(session: SessionId): SessionActivity {
    const { f64 } = this.#memory;
    return {
      lastReceivedAt: f64[(session + SESSION_LAST_RECEIVED) >> 3],
      lastSentAt: f64[(session + SESSION_LAST_SENT) >> 3],
      receivedBytes: f64[(session + SESSION_RECEIVED_BYTES) >> 3],
      sentBytes: f64[(session + SESSION_SENT_BYTES) >> 3],
    };
  }

  close(session: SessionId): void {
    this.#options.exclusive(() => {
      for (let keyId = 0; keyId < KEY_IDS; keyId++) this.#erase(session, keyId);
      this.#tables.routes.removeSession(session);
      this.#tables.peerIds.remove(session);
      this.#options.forgetSessions(new Set([session]));
      free(this.#sessions, session);
    });
    this.#count--;
  }

  #key(session: SessionId, keyId: number): number {
    return this.#memory.u32[(session + SESSION_KEYS + keyId * 4) >> 2];
  }

  #keysOf(session: SessionId): number[] {
    const at = (session + SESSION_KEYS) >> 2;
    return [...this.#memory.u32.subarray(at, at + KEY_IDS)].filter((key) => key !== 0);
  }

  #erase(session: SessionId, keyId: number): void {
    const { u32 } = this.#memory;
    const key = this.#key(session, keyId);
    if (key === 0) return;
    u32[(session + SESSION_KEYS + keyId * 4) >> 2] = 0;
    if (u32[(session + SESSION_SENDING_KEY) >> 2] === key) u32[(session + SESSION_SENDING_KEY) >> 2] = 0;
    this.#eraseCiphers(key);
    const epochs = u32[(key + KEY_EPOCHS) >> 2];
    if (epochs !== 0) free(this.#epochRecords, epochs);
    free(this.#keys, key);
  }

  /** Erases what ciphers keep of a key that is changed or removed. */
  #eraseCiphers(key: number): void {
    const epochs = this.#memory.u32[(key + KEY_EPOCHS) >> 2];
    this.#options.eraseKeys(key, key + KEY_BYTES);
    if (epochs !== 0) this.#options.eraseKeys(epochs, epochs + EPOCHS_BYTES);
  }
}

/** Wipes a record that nobody names any more, and takes it back. */
function free(pool: RecordPool, record: number): void {
  pool.release(record);
  pool.recycle();
}
