import { PATH_BYTES, RecordPool, type Memory, type SessionId } from '@sallyport/core';
import { AddressTable } from './address-table.ts';
import { EPOCHS_BYTES, KEY_BYTES, SESSION_BYTES, SESSION_PEER_ID } from './layout.ts';

/** How many of each there can be. Memory is touched only as they come. */
export interface DataCapacity {
  /** A power of two. */
  readonly sessions: number;
  readonly keys: number;
  /** Keys of the epoch format, which take a second record. */
  readonly epochKeys: number;
}

/** For a gateway. A session has two keys as a rule: one in use, and the one before or the one that follows. */
export const DEFAULT_DATA_CAPACITY: DataCapacity = { sessions: 1 << 14, keys: 2 << 14, epochKeys: 2 << 14 };
/** For a client. */
export const CLIENT_DATA_CAPACITY: DataCapacity = { sessions: 4, keys: 12, epochKeys: 12 };

/** What `createDataCipher` of packages/io keeps of the ciphers of all threads. */
export const CIPHER_REGISTRY_BYTES = 256;

/** Where the tables lie in memory: plain numbers, so that they can be handed to another thread. */
export interface DataRegions {
  readonly capacity: DataCapacity;
  readonly sessions: number;
  readonly sessionsEnd: number;
  readonly keys: number;
  readonly epochs: number;
  readonly peerIds: number;
  readonly addresses: number;
  readonly ciphers: number;
  /** A path record for the session half alone. */
  readonly sessionPath: number;
}

/** The tables that both halves share. */
export interface DataTables {
  readonly routes: AddressTable;
  readonly peerIds: PeerIdTable;
}

/** One region holds everything, zeroed and aligned to 64 bytes. */
export function allocateDataTables(
  allocate: (bytes: number) => number,
  capacity: DataCapacity = DEFAULT_DATA_CAPACITY,
): DataRegions {
  const sizes = [
    SESSION_BYTES * capacity.sessions,
    KEY_BYTES * capacity.keys,
    EPOCHS_BYTES * capacity.epochKeys,
    PeerIdTable.bytes(capacity.sessions),
    AddressTable.bytes(capacity.sessions),
    CIPHER_REGISTRY_BYTES,
    PATH_BYTES,
  ].map((bytes) => (bytes + 63) & -64);
  let next = allocate(sizes.reduce((sum, bytes) => sum + bytes, 0));
  const [sessions, keys, epochs, peerIds, addresses, ciphers, sessionPath] = sizes.map((bytes) => {
    const at = next;
    next += bytes;
    return at;
  });
  const sessionsEnd = sessions + SESSION_BYTES * capacity.sessions;
  return { capacity, sessions, sessionsEnd, keys, epochs, peerIds, addresses, ciphers, sessionPath };
}

/** Whether a session id is one of this protocol's. */
export function holdsSession(regions: DataRegions, session: SessionId): boolean {
  return session >= regions.sessions && session < regions.sessionsEnd;
}

/** The tables as any thread reads them. */
export function openDataTables(memory: Memory, regions: DataRegions): DataTables {
  return {
    routes: new AddressTable(memory, regions.addresses, regions.capacity.sessions),
    peerIds: new PeerIdTable(memory, regions.peerIds, regions.capacity.sessions),
  };
}

/** The records of sessions, keys and epochs, for the one thread that creates and frees them. */
export function openDataPools(
  memory: Memory,
  { sessions, keys, epochs, capacity }: DataRegions,
): { sessions: RecordPool; keys: RecordPool; epochs: RecordPool } {
  return {
    sessions: new RecordPool(memory, sessions, SESSION_BYTES, capacity.sessions),
    keys: new RecordPool(memory, keys, KEY_BYTES, capacity.keys),
    epochs: new RecordPool(memory, epochs, EPOCHS_BYTES, capacity.epochKeys),
  };
}

/**
 * Peer id -> session. A server gives out ids below its capacity, so each has a slot of its own; the few sessions of a
 * client, whose ids are its servers', share one where the low bits are the same, and the newest has it.
 */
export class PeerIdTable {
  readonly #memory: Memory;
  readonly #slots: number;
  readonly #mask: number;

  static bytes(capacity: number): number {
    return 4 * capacity;
  }

  /** On {@link PeerIdTable.bytes} bytes at `at`, zeroed at first; `capacity` is a power of two. */
  constructor(memory: Memory, at: number, capacity: number) {
    this.#memory = memory;
    this.#slots = at >> 2;
    this.#mask = capacity - 1;
  }

  /** The session of a peer id, or 0. */
  lookup(peerId: number): SessionId {
    const { i32, u32 } = this.#memory;
    const session = i32[this.#slots + (peerId & this.#mask)];
    return session !== 0 && u32[(session + SESSION_PEER_ID) >> 2] === peerId ? session : 0;
  }

  /** Names an open session. */
  set(peerId: number, session: SessionId): void {
    const { i32, u32 } = this.#memory;
    this.remove(session);
    u32[(session + SESSION_PEER_ID) >> 2] = peerId;
    i32[this.#slots + (peerId & this.#mask)] = session;
  }

  /** The session is not found any more. */
  remove(session: SessionId): void {
    const { i32, u32 } = this.#memory;
    const slot = this.#slots + (u32[(session + SESSION_PEER_ID) >> 2] & this.#mask);
    if (i32[slot] === session) i32[slot] = 0;
  }
}
