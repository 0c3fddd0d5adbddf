import type { Memory, SessionId } from '@sallyport/core';
import type { IndexTable } from './index-table.ts';
import { KEYPAIR_PEER } from './layout.ts';
import type { Peer } from './peer.ts';

/** A device's peers, found by whatever a message names them by. */
export class PeerTable {
  readonly #memory: Memory;
  readonly #indices: IndexTable;
  readonly #byPublicKey = new Map<string, Peer>();
  readonly #bySession = new Map<SessionId, Peer>();
  readonly #byInitiationIndex = new Map<number, Peer>();

  constructor(memory: Memory, indices: IndexTable) {
    this.#memory = memory;
    this.#indices = indices;
  }

  get size(): number {
    return this.#byPublicKey.size;
  }

  all(): IterableIterator<Peer> {
    return this.#byPublicKey.values();
  }

  forEach(look: (peer: Peer) => void): void {
    this.#byPublicKey.forEach(look);
  }

  add(peer: Peer): void {
    this.#byPublicKey.set(keyOf(peer.publicKey), peer);
    this.#bySession.set(peer.session, peer);
  }

  remove(peer: Peer): void {
    this.#byPublicKey.delete(keyOf(peer.publicKey));
    this.#bySession.delete(peer.session);
  }

  byPublicKey(publicKey: Uint8Array): Peer | undefined {
    return this.#byPublicKey.get(keyOf(publicKey));
  }

  bySession(session: SessionId): Peer | undefined {
    return this.#bySession.get(session);
  }

  byInitiationIndex(index: number): Peer | undefined {
    return this.#byInitiationIndex.get(index);
  }

  byKeypairIndex(index: number): Peer | undefined {
    const keypair = this.#indices.lookup(index);
    return keypair === 0 ? undefined : this.bySession(this.#memory.u32[(keypair + KEYPAIR_PEER) >> 2]);
  }

  nameInitiation(index: number, peer: Peer): void {
    this.#byInitiationIndex.set(index, peer);
  }

  unnameInitiation(index: number): void {
    this.#byInitiationIndex.delete(index);
  }
}

/** 32 bytes as a string of 16 UTF-16 units: half the size and a fraction of the time of hexadecimal. */
function keyOf(publicKey: Uint8Array): string {
  let key = '';
  for (let i = 0; i < 32; i += 2) key += String.fromCharCode(publicKey[i] | (publicKey[i + 1] << 8));
  return key;
}
