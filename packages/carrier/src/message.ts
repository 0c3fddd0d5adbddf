/*
 * What one WebSocket message holds: one datagram or several, each with its length before it, 2 bytes, big-endian.
 * docs/protocols/tls-carrier.md. Pure.
 */

export const LENGTH_BYTES = 2;
/** As many as the kernel joins into one train. */
export const MAX_TRAIN_DATAGRAMS = 64;
/** The largest payload of UDP over IPv4: a train must not be longer, for the kernel builds it as one packet first. */
export const MAX_TRAIN_BYTES = 65_507;
/** A train as long as there is one, of the smallest datagrams that WireGuard sends (32 bytes). */
export const MAX_MESSAGE_BYTES = 70_000;
/**
 * Parts that a message may come in: frames, of which our ends make one and intermediaries perhaps some more, and pieces
 * as the network delivers them. Each holds on to the memory of all that it was read with, however short it is itself.
 */
export const MAX_MESSAGE_PARTS = { maxFragments: 16, maxBufferedChunks: 1024 } as const;

/** How many bytes a train of datagrams takes in a message. */
export function encodedBytes(bytes: number, segmentSize: number): number {
  return bytes + LENGTH_BYTES * Math.ceil(bytes / segmentSize);
}

/**
 * Writes the `bytes` bytes at `from` of `source`, datagrams of `segmentSize` bytes of which the last may be shorter, to
 * `at` of `message`, and returns where the next one goes. There must be room: {@link encodedBytes}.
 */
export function appendTrain(
  message: Uint8Array,
  at: number,
  source: Uint8Array,
  from: number,
  bytes: number,
  segmentSize: number,
): number {
  let to = at;
  for (let offset = 0; offset < bytes; offset += segmentSize) {
    const size = Math.min(segmentSize, bytes - offset);
    message[to] = size >> 8;
    message[to + 1] = size & 255;
    message.set(source.subarray(from + offset, from + offset + size), to + LENGTH_BYTES);
    to += LENGTH_BYTES + size;
  }
  return to;
}

/** How many datagrams a message holds; 0 where it is none: empty, a datagram without bytes, or one that is cut off. */
export function countDatagrams(message: Uint8Array): number {
  let count = 0;
  let at = 0;
  while (at < message.length) {
    const size = sizeAt(message, at);
    if (size === 0 || at + LENGTH_BYTES + size > message.length) return 0;
    at += LENGTH_BYTES + size;
    count++;
  }
  return count;
}

/** Datagrams of one size, of which the last may be shorter, and where in the message the next one lies. */
export interface Train {
  bytes: number;
  segmentSize: number;
  datagrams: number;
  next: number;
}

/**
 * Copies the datagrams from `at` on that can be sent together to `to` of `target`, which has room for
 * {@link MAX_TRAIN_BYTES}, and says in `train` what they are. The message is a whole one ({@link countDatagrams}). One
 * that is larger than a train may be is passed over: then there are no bytes.
 */
export function gatherTrain(message: Uint8Array, at: number, target: Uint8Array, to: number, train: Train): void {
  const segmentSize = sizeAt(message, at);
  let next = at;
  let bytes = 0;
  let datagrams = 0;
  while (next < message.length && datagrams < MAX_TRAIN_DATAGRAMS) {
    const size = sizeAt(message, next);
    if (size > segmentSize || bytes + size > MAX_TRAIN_BYTES) break;
    const from = next + LENGTH_BYTES;
    target.set(message.subarray(from, from + size), to + bytes);
    next = from + size;
    bytes += size;
    datagrams++;
    if (size < segmentSize) break;
  }
  train.bytes = bytes;
  train.segmentSize = segmentSize;
  train.datagrams = datagrams;
  train.next = datagrams === 0 ? at + LENGTH_BYTES + segmentSize : next;
}

function sizeAt(message: Uint8Array, at: number): number {
  return ((message[at] ?? 0) << 8) | (message[at + 1] ?? 0);
}
