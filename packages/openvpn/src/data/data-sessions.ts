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
  /** A record of the path by which it was last heard of; it follows authenticated packets. Good until the next call. */
  pathOf(session: SessionId): number;
  /** Copies a path record. */
  setPath(session: SessionId, path: number): void;
  /** What is routed to it and may come from it: 4 and 16 bytes. A client takes in whatever comes: `everything`. */
  setAddresses(session: SessionId, addresses: { ipv4?: Uint8Array | undefined; ipv6?: Uint8Array | undefined } | 'everything'): void; // prettier-ignore
  /**
   * Opens with this key from now on, beside those that are there. Key ids are 0 to 7. False where the table is full. Throws
   * a RangeError where the key id is taken, or the session's other keys have another format.
   */
  installKey(session: SessionId, keyId: number, key: DataKey): boolean;
  /** Seals with this key from now on. */
  sendWith(session: SessionId, keyId: number): void;
  /** Erases a key. */
  removeKey(session: SessionId, keyId: number): void;
  /** Whether a packet came that this key opened. The session half is asked to attend to it when the first does. */
  heardBy(session: SessionId, keyId: number): boolean;
  /**
   * Whether a key is nearly used up, by packets or for its cipher: time for another. The session half is asked to attend
   * when it is. Past its limits nothing is sent with it.
   */
  wornOut(session: SessionId, keyId: number): boolean;
  /**
   * To be called first when a session is to be attended to: takes its epochs on, and lets the packet half ask again. Where
   * its epochs were taken on a moment ago both wait, and the result is when to call it once more.
   */
  attend(session: SessionId, now: Instant): Instant | undefined;
  activity(session: SessionId): SessionActivity;
  /** Erases everything; the record is used again once nobody can mean the old session any more. */
  close(session: SessionId): void;
  /** Sessions that are open. */
  readonly count: number;
}
