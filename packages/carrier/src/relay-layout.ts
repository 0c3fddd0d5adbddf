/*
 * What the relays' thread (relay-thread.ts) and the one that started it (stream-relays.ts) have in common: memory, and
 * messages. A connection's descriptors are the thread's from `open` until it says `ended`; then who opened them closes them.
 */
import { PATH_BYTES } from '@sallyport/core';
import { DatagramReceiver, Epoll, PieceWriter, type SharedArena } from '@sallyport/io/packets';

/** Read from a connection in one go. */
export const READ_BYTES = 128 * 1024;
/** What has come of a packet that is not whole yet. */
export const PART_BYTES = 10_240;
/** Datagrams are gathered until they have so many bytes; the train with which they do is still among them. */
export const GATHERED_BYTES = 8_192;
/** The largest train. */
export const TRAIN_BYTES = 65_536;
/** All that is gathered, each packet with its length: what a connection does not take of it. */
const WAITING_BYTES = GATHERED_BYTES + TRAIN_BYTES + PieceWriter.maxPieces;

// A connection's record.
/** f64: packets to OpenVPN that did not leave. */
export const DROPPED = 0;
/** f64: bytes that the connection has not taken yet. */
export const WAITING = 8;
/** i32: not zero where OpenVPN has sent a packet of its data channel since this was last set to zero. */
export const DATA_SEEN = 16;
export const RECORD_BYTES = 64;

/** Where what lies. */
export interface RelayRegions {
  // For each connection, by its slot.
  readonly records: number;
  readonly parts: number;
  readonly waiting: number;
  /** i32: not zero once the thread has to end. */
  readonly stop: number;
  // For the thread alone.
  readonly word: number;
  readonly clock: number;
  readonly epoll: number;
  readonly receiver: number;
  readonly writer: number;
  readonly path: number;
  /** Those to go before packets: two for each train, which are at most half as many as pieces. */
  readonly lengths: number;
  /** With room before it for what has come before. */
  readonly read: number;
  readonly received: number;
}

export function allocateRelays(allocate: (bytes: number) => number, slots: number): RelayRegions {
  return {
    stop: allocate(4),
    word: allocate(8),
    clock: allocate(16),
    epoll: allocate(Epoll.scratchBytes),
    receiver: allocate(DatagramReceiver.scratchBytes),
    writer: allocate(PieceWriter.scratchBytes),
    path: allocate(PATH_BYTES),
    lengths: allocate(2 * PieceWriter.maxPieces),
    read: allocate(PART_BYTES + READ_BYTES) + PART_BYTES,
    received: allocate(GATHERED_BYTES + TRAIN_BYTES),
    records: allocate(slots * RECORD_BYTES),
    parts: allocate(slots * PART_BYTES),
    waiting: allocate(slots * WAITING_BYTES),
  };
}

/** Room for {@link allocateRelays}. */
export function arenaBytes(slots: number): number {
  return 512 * 1024 + slots * (RECORD_BYTES + PART_BYTES + WAITING_BYTES);
}

export function recordOf({ records }: RelayRegions, slot: number): number {
  return records + slot * RECORD_BYTES;
}

export function partOf({ parts }: RelayRegions, slot: number): number {
  return parts + slot * PART_BYTES;
}

export function waitingOf({ waiting }: RelayRegions, slot: number): number {
  return waiting + slot * WAITING_BYTES;
}

/** What the thread is started with. */
export interface RelayStart {
  readonly arena: SharedArena;
  readonly regions: RelayRegions;
  /** An eventfd: there are orders, or it has to end. */
  readonly event: number;
}

/** To the thread. */
export type RelayOrder =
  | {
      readonly kind: 'open';
      /** No other connection has it. */
      readonly slot: number;
      readonly tcp: number;
      /** Connected to OpenVPN's. */
      readonly udp: number;
      /** What was read from the connection before, {@link READ_BYTES} at the most. */
      readonly first: Uint8Array;
    }
  | { readonly kind: 'close'; readonly slot: number };

/** From the thread. */
export type RelayEvent =
  /** It is at work. */
  | 'ready'
  /** OpenVPN has sent something for the first time, or a packet of its data channel. */
  | { readonly kind: 'answered' | 'data'; readonly slot: number }
  | { readonly kind: 'ended'; readonly slot: number; readonly reason: string };
