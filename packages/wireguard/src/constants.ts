import { ReplayWindow } from '@sallyport/core';

/**
 * The constants of WireGuard's paper, section 6.1, and of the Linux driver. Times are milliseconds.
 *
 * They can be replaced as a whole so that a simulation reaches a limit that takes 2^60 messages otherwise.
 */
export interface Limits {
  /** Messages sent with one keypair after which the sender asks for a new one, as two u32 words. */
  readonly rekeyAfterMessagesHigh: number;
  readonly rekeyAfterMessagesLow: number;
  /** Messages after which a keypair is not used any more, as two u32 words. */
  readonly rejectAfterMessagesHigh: number;
  readonly rejectAfterMessagesLow: number;
  readonly rekeyAfterTimeMs: number;
  readonly rejectAfterTimeMs: number;
  readonly rekeyAttemptTimeMs: number;
  readonly rekeyTimeoutMs: number;
  readonly keepaliveTimeoutMs: number;
  /** A handshake message and a new-handshake timer are delayed by up to this much at random (section 6.1). */
  readonly maxJitterMs: number;
}

export const LIMITS: Limits = {
  rekeyAfterMessagesHigh: 0x10000000, // 2^60
  rekeyAfterMessagesLow: 0,
  rejectAfterMessagesHigh: 0xffffffff, // 2^64 - 2^13 - 1
  rejectAfterMessagesLow: 0xffffdfff,
  rekeyAfterTimeMs: 120_000,
  rejectAfterTimeMs: 180_000,
  rekeyAttemptTimeMs: 90_000,
  rekeyTimeoutMs: 5_000,
  keepaliveTimeoutMs: 10_000,
  maxJitterMs: 333,
};

/** Packets that one peer may have waiting for a handshake; beyond it the oldest goes (as the Linux driver). */
export const MAX_STAGED_PACKETS = 128;
/** Bytes that all peers together may have waiting for handshakes. */
export const MAX_STAGED_BYTES = 64 * 1024 * 1024;

/** Per keypair (section 5.4.6): 16,352 counters. */
export const REPLAY_WINDOW = new ReplayWindow(16_384);

/** Bytes of a transport message before its payload: type, receiver index, counter (section 5.4.6). */
export const TRANSPORT_HEADER_BYTES = 16;
export const TAG_BYTES = 16;
/** Payloads are padded with zeros to a multiple of this (section 5.4.6). */
export const PADDING_MULTIPLE = 16;

/** Whether the 64-bit number (high, low) is at least (limitHigh, limitLow). All are u32. */
export function atLeast(high: number, low: number, limitHigh: number, limitLow: number): boolean {
  return high > limitHigh || (high === limitHigh && low >= limitLow);
}
