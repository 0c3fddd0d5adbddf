import type { Instant, SessionId } from '@sallyport/core';

/** Ciphers of the data channel by the names that peers negotiate them by (`IV_CIPHERS`, `cipher` of a push reply). */
export type DataCipher = 'AES-256-GCM' | 'AES-128-GCM' | 'CHACHA20-POLY1305' | 'AES-256-CBC';

/** What one key exchange gave the data channel. */
export interface DataKey {
  readonly cipher: DataCipher;
  /** `epoch`: the format of OpenVPN 2.7, 64-bit packet ids, the tag behind the packet. Otherwise P_DATA_V2 as ever. */
  readonly format: 'v2' | 'epoch';
  /** 256 bytes, two directions of 64 bytes for the cipher and 64 for the HMAC; copied, the caller erases its own. */
  readonly material: Uint8Array;
  /** A server seals with the second direction, a client with the first. */
  readonly server: boolean;
}

export interface SessionActivity {
  /** 0 for never. Authenticated packets only, pings included. */
  readonly lastReceivedAt: Instant;
  readonly lastSentAt: Instant;
  /** IP packets with all that surrounds them, in bytes. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/**
 * The session half's hand on what the packet half works by: sessions, their paths, addresses and keys in shared memory.
 * There is one writer. What takes something away (`removeKey`, `close`, `setAddresses`) waits for the workers by itself.
 */
export interface DataSessions {
  /** A session with a peer id that no other has, or 0 where the table is full. */
  open(now: Instant): SessionId;
  peerId(session: SessionId): number;
  /** A client's peer id is its server's to give. */
  setPeerId(session: SessionId, peerId: number): void;
  /** The record of the path by which it was last heard of; it follows authenticated packets. */
  pathOf(session: SessionId): number;
  /** Copies a path record. */
  setPath(session: SessionId, path: number): void;
  /** What is routed to it and may come from it: 4 and 16 bytes. A client takes in whatever comes: `everything`. */
  setAddresses(session: SessionId, addresses: { ipv4?: Uint8Array | undefined; ipv6?: Uint8Array | undefined } | 'everything'): void; // prettier-ignore
  /** Opens with this key from now on, beside those that are there. Key ids are 0 to 7. */
  installKey(session: SessionId, keyId: number, key: DataKey, now: Instant): void;
  /** Seals with this key from now on. */
  sendWith(session: SessionId, keyId: number): void;
  /** Erases a key. */
  removeKey(session: SessionId, keyId: number): void;
  /** Whether a packet came that this key opened. */
  heardBy(session: SessionId, keyId: number): boolean;
  activity(session: SessionId): SessionActivity;
  /** Erases everything; the record is used again once nobody can mean the old session any more. */
  close(session: SessionId): void;
  /** Sessions that are open. */
  readonly count: number;
}
