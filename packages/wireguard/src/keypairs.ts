import { lock, unlock, type Instant, type Memory, type RecordPool } from '@sallyport/core';
import { atLeast, type Limits } from './constants.ts';
import type { TransportKeys } from './handshake.ts';
import type { IndexTable } from './index-table.ts';
import {
  KEYPAIR_COUNTER_HIGH,
  KEYPAIR_COUNTER_LOW,
  KEYPAIR_CREATED,
  KEYPAIR_IS_AGREED,
  KEYPAIR_IS_INITIATOR,
  KEYPAIR_LOCAL_INDEX,
  KEYPAIR_PEER,
  KEYPAIR_RECEIVE_KEY,
  KEYPAIR_REMOTE_INDEX,
  KEYPAIR_SEND_KEY,
  LOCK,
  PEER_CURRENT,
  PEER_NEXT,
  PEER_PREVIOUS,
} from './layout.ts';
import type { Peer } from './peer.ts';

/** Makes keypair records, moves them through a peer's three slots, and frees them when no worker can hold one. */
export class Keypairs {
  readonly #memory: Memory;
  readonly #pool: RecordPool;
  readonly #indices: IndexTable;
  /** Left the slots at `at`, still good for what is on its way: to be wiped when the workers are between batches. */
  #retired: { readonly keypair: number; readonly at: Instant }[] = [];

  constructor(memory: Memory, pool: RecordPool, indices: IndexTable) {
    this.#memory = memory;
    this.#pool = pool;
    this.#indices = indices;
  }

  get hasRetired(): boolean {
    return this.#retired.length !== 0;
  }

  /** Whether a living keypair has this receiver index. */
  hasIndex(index: number): boolean {
    return this.#indices.lookup(index) !== 0;
  }

  /** Installs a new keypair in the slot that its role gives it; false when the pool is exhausted. */
  install(peer: Peer, keys: TransportKeys, now: Instant): boolean {
    const { localIndex, remoteIndex, isInitiator, isAgreed, sendKey, receiveKey } = keys;
    const { u8, u32, i32, f64 } = this.#memory;
    const keypair = this.#pool.allocate();
    if (keypair === 0) return false;
    u32[(keypair + KEYPAIR_PEER) >> 2] = peer.session;
    u32[(keypair + KEYPAIR_LOCAL_INDEX) >> 2] = localIndex;
    u32[(keypair + KEYPAIR_REMOTE_INDEX) >> 2] = remoteIndex;
    i32[(keypair + KEYPAIR_IS_INITIATOR) >> 2] = isInitiator ? 1 : 0;
    i32[(keypair + KEYPAIR_IS_AGREED) >> 2] = isAgreed ? 1 : 0;
    f64[(keypair + KEYPAIR_CREATED) >> 3] = now;
    u8.set(sendKey, keypair + KEYPAIR_SEND_KEY);
    u8.set(receiveKey, keypair + KEYPAIR_RECEIVE_KEY);
    if (!this.#indices.insert(localIndex, keypair)) {
      this.#pool.release(keypair);
      return false;
    }
    peer.keypairs = [...peer.keypairs, keypair];

    const record = peer.session;
    lock(this.#memory, record + LOCK);
    if (isInitiator) {
      // The peer has proven that it holds the key: it is used at once (noise.c, add_new_keypair).
      const next = u32[(record + PEER_NEXT) >> 2];
      u32[(record + PEER_PREVIOUS) >> 2] = next !== 0 ? next : u32[(record + PEER_CURRENT) >> 2];
      u32[(record + PEER_NEXT) >> 2] = 0;
      u32[(record + PEER_CURRENT) >> 2] = keypair;
    } else {
      // Unconfirmed until the peer sends with it. Until then it may still send with the previous one: where both began
      // a handshake at once, each side's current keypair is the other's previous (the Linux driver drops it here).
      u32[(record + PEER_NEXT) >> 2] = keypair;
    }
    unlock(this.#memory, record + LOCK);
    this.retireUnused(peer, now);
    return true;
  }

  /** Retires the peer's keypairs that have left the slots. They still open what was sealed before the peer knew. */
  retireUnused(peer: Peer, now: Instant): void {
    const { u32 } = this.#memory;
    const record = peer.session;
    lock(this.#memory, record + LOCK); // a worker may be promoting the next keypair just now
    const current = u32[(record + PEER_CURRENT) >> 2];
    const previous = u32[(record + PEER_PREVIOUS) >> 2];
    const next = u32[(record + PEER_NEXT) >> 2];
    unlock(this.#memory, record + LOCK);
    peer.keypairs = peer.keypairs.filter((keypair) => {
      if (keypair === current || keypair === previous || keypair === next) return true;
      this.#retired.push({ keypair, at: now });
      return false;
    });
  }

  /** Whether the current keypair was made with an agreed preshared key. */
  isAgreed(peer: Peer): boolean {
    const { u32, i32 } = this.#memory;
    const current = u32[(peer.session + PEER_CURRENT) >> 2];
    return current !== 0 && i32[(current + KEYPAIR_IS_AGREED) >> 2] === 1;
  }

  /** Whether the packet half would send one packet with the current keypair. */
  canSend(peer: Peer, now: Instant, limits: Limits): boolean {
    const { u32, f64 } = this.#memory;
    const current = u32[(peer.session + PEER_CURRENT) >> 2];
    if (current === 0 || now - f64[(current + KEYPAIR_CREATED) >> 3] >= limits.rejectAfterTimeMs) return false;
    const nextLow = (u32[(current + KEYPAIR_COUNTER_LOW) >> 2] + 1) >>> 0;
    const nextHigh = u32[(current + KEYPAIR_COUNTER_HIGH) >> 2] + (nextLow === 0 ? 1 : 0);
    return !atLeast(nextHigh, nextLow, limits.rejectAfterMessagesHigh, limits.rejectAfterMessagesLow);
  }

  /** Retires a previous keypair that nothing is accepted with any more; true if there was one. */
  dropExpiredPrevious(peer: Peer, now: Instant, limits: Limits): boolean {
    const { u32, f64 } = this.#memory;
    const slot = (peer.session + PEER_PREVIOUS) >> 2;
    lock(this.#memory, peer.session + LOCK);
    const previous = u32[slot];
    const expired = previous !== 0 && now - f64[(previous + KEYPAIR_CREATED) >> 3] >= limits.rejectAfterTimeMs;
    if (expired) u32[slot] = 0;
    unlock(this.#memory, peer.session + LOCK);
    if (expired) this.retireUnused(peer, -Infinity);
    return expired;
  }

  /** Takes all keypairs from the peer: {@link freeRetired} then erases them without delay. */
  clear(peer: Peer): void {
    const { u32 } = this.#memory;
    const record = peer.session;
    lock(this.#memory, record + LOCK);
    u32[(record + PEER_CURRENT) >> 2] = 0;
    u32[(record + PEER_PREVIOUS) >> 2] = 0;
    u32[(record + PEER_NEXT) >> 2] = 0;
    unlock(this.#memory, record + LOCK);
    this.retireUnused(peer, -Infinity);
  }

  /** Takes all keypairs from the peer, and grants those that it had before no delay either. */
  clearAll(peer: Peer): void {
    this.clear(peer);
    this.#retired = this.#retired.map((retired) =>
      this.#memory.u32[(retired.keypair + KEYPAIR_PEER) >> 2] === peer.session
        ? { ...retired, at: -Infinity }
        : retired,
    );
  }

  /** Lets nothing more be sent with the peer's keypairs, so that the next packet begins a handshake. */
  expire(peer: Peer): void {
    const { u32 } = this.#memory;
    const record = peer.session;
    lock(this.#memory, record + LOCK);
    for (const slot of [PEER_CURRENT, PEER_NEXT]) {
      const keypair = u32[(record + slot) >> 2];
      if (keypair === 0) continue;
      u32[(keypair + KEYPAIR_COUNTER_LOW) >> 2] = 0xffffffff;
      u32[(keypair + KEYPAIR_COUNTER_HIGH) >> 2] = 0xffffffff;
    }
    unlock(this.#memory, record + LOCK);
  }

  /** Wipes and frees those retired until `until`. To be called while no worker is in the middle of a batch. */
  freeRetired(until: Instant): void {
    const { u32 } = this.#memory;
    this.#retired = this.#retired.filter(({ keypair, at }) => {
      if (at > until) return true;
      this.#indices.remove(u32[(keypair + KEYPAIR_LOCAL_INDEX) >> 2]);
      this.#pool.release(keypair);
      return false;
    });
    this.#pool.recycle();
    if (this.#indices.needsRebuild()) this.#indices.rebuild();
  }
}
