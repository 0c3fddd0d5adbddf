import { TIMESTAMP_BYTES } from './messages.ts';

/** How often one peer may begin a handshake (the Linux driver's INITIATIONS_PER_SECOND). */
export const INITIATIONS_PER_SECOND = 50;

/*
 * Nanoseconds are rounded down to a multiple of the greatest power of two within 1 / INITIATIONS_PER_SECOND, as the
 * Linux driver does: a finer timestamp would tell nothing to the receiver, and tell an observer who holds its keys the
 * sender's clock.
 */
const GRAIN = 2 ** Math.floor(Math.log2(1e9 / INITIATIONS_PER_SECOND));

/** TAI64 labels second 0 of 1970 TAI as 2^62; the Linux driver adds ten seconds for UTC's distance then. */
const TAI64_HIGH = 0x40000000;
const TAI64_OFFSET = 10;

function encode(seconds: number, nanoseconds: number): Uint8Array {
  const label = seconds + TAI64_OFFSET;
  const bytes = new Uint8Array(TIMESTAMP_BYTES);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, TAI64_HIGH + Math.floor(label / 2 ** 32));
  view.setUint32(4, label % 2 ** 32);
  view.setUint32(8, nanoseconds);
  return bytes;
}

/** TIMESTAMP (section 5.4): the TAI64N label, 12 bytes, of a moment of Unix time in milliseconds, not before 1970. */
export function tai64n(unixMs: number): Uint8Array {
  const seconds = Math.floor(unixMs / 1000);
  const nanoseconds = (unixMs - seconds * 1000) * 1e6;
  return encode(seconds, Math.floor(nanoseconds / GRAIN) * GRAIN);
}

/** The label of `unixMs`, or if the clock has not gone on since `previous` was made, the one that follows that. */
export function tai64nAfter(previous: Uint8Array | undefined, unixMs: number): Uint8Array {
  const next = tai64n(unixMs);
  if (previous === undefined || compareTimestamps(next, previous) > 0) return next;
  const view = new DataView(previous.buffer, previous.byteOffset, TIMESTAMP_BYTES);
  const seconds = (view.getUint32(0) - TAI64_HIGH) * 2 ** 32 + view.getUint32(4) - TAI64_OFFSET;
  const nanoseconds = view.getUint32(8) + GRAIN;
  return nanoseconds < 1e9 ? encode(seconds, nanoseconds) : encode(seconds + 1, 0);
}

/** Below, at or above zero as `a` is earlier than, the same as or later than `b`. */
export function compareTimestamps(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < TIMESTAMP_BYTES; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return 0;
}
