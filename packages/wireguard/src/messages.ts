import { DropReason } from '@sallyport/core';
import type { Variant } from './variant.ts';

/*
 * The four messages of WireGuard's paper, sections 5.4.2 to 5.4.7. A message is its bytes; a decoded one names parts
 * of them by views, and so does a new one, whose parts are then written. The three bytes behind the type are reserved
 * and zero, so type and reserved bytes are read as one little-endian word.
 */

/** Section 5.4.2, first message: initiator to responder. */
export const MESSAGE_INITIATION = 1;
/** Section 5.4.3, second message: responder to initiator. */
export const MESSAGE_RESPONSE = 2;
/** Section 5.4.7: under load, cookie reply message. */
export const MESSAGE_COOKIE_REPLY = 3;
/** Section 5.4.6, subsequent messages: transport data. */
export const MESSAGE_TRANSPORT = 4;

export const INITIATION_BYTES = 148;
export const RESPONSE_BYTES = 92;
export const COOKIE_REPLY_BYTES = 64;
/** A transport message without payload: header and tag. */
export const MIN_TRANSPORT_BYTES = 32;

/** mac1 and mac2 end the initiation and the response. */
export const MACS_BYTES = 32;
export const TIMESTAMP_BYTES = 12;

export interface Initiation {
  readonly type: typeof MESSAGE_INITIATION;
  readonly bytes: Uint8Array;
  readonly senderIndex: number;
  /** 32 bytes. */
  readonly ephemeral: Uint8Array;
  /** 32 bytes and a tag. */
  readonly encryptedStatic: Uint8Array;
  /** 12 bytes and a tag. */
  readonly encryptedTimestamp: Uint8Array;
}

export interface Response {
  readonly type: typeof MESSAGE_RESPONSE;
  readonly bytes: Uint8Array;
  readonly senderIndex: number;
  readonly receiverIndex: number;
  /** 32 bytes. */
  readonly ephemeral: Uint8Array;
  /** A tag. */
  readonly encryptedNothing: Uint8Array;
}

export interface CookieReply {
  readonly type: typeof MESSAGE_COOKIE_REPLY;
  readonly bytes: Uint8Array;
  readonly receiverIndex: number;
  /** 24 bytes. */
  readonly nonce: Uint8Array;
  /** 16 bytes and a tag. */
  readonly encryptedCookie: Uint8Array;
}

export interface Transport {
  readonly type: typeof MESSAGE_TRANSPORT;
  readonly bytes: Uint8Array;
  readonly receiverIndex: number;
  readonly counterLow: number;
  readonly counterHigh: number;
  /** At least a tag. */
  readonly encryptedPacket: Uint8Array;
}

/** Not a message: `reason` is one of `DropReason`. */
export interface Invalid {
  readonly type: 0;
  readonly reason: number;
}

export type Message = Initiation | Response | CookieReply | Transport;

function readU32(bytes: Uint8Array, at: number): number {
  return (bytes[at] | (bytes[at + 1] << 8) | (bytes[at + 2] << 16) | (bytes[at + 3] << 24)) >>> 0;
}

/** Writes the type word, and with it the reserved bytes. Nothing but the MACs depends on it. */
export function writeType(message: Uint8Array, type: number): void {
  writeU32(message, 0, type);
}

function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

function initiation(bytes: Uint8Array): Initiation {
  return {
    type: MESSAGE_INITIATION,
    bytes,
    senderIndex: readU32(bytes, 4),
    ephemeral: bytes.subarray(8, 40),
    encryptedStatic: bytes.subarray(40, 88),
    encryptedTimestamp: bytes.subarray(88, 116),
  };
}

function response(bytes: Uint8Array): Response {
  return {
    type: MESSAGE_RESPONSE,
    bytes,
    senderIndex: readU32(bytes, 4),
    receiverIndex: readU32(bytes, 8),
    ephemeral: bytes.subarray(12, 44),
    encryptedNothing: bytes.subarray(44, 60),
  };
}

function cookieReply(bytes: Uint8Array): CookieReply {
  return {
    type: MESSAGE_COOKIE_REPLY,
    bytes,
    receiverIndex: readU32(bytes, 4),
    nonce: bytes.subarray(8, 32),
    encryptedCookie: bytes.subarray(32, 64),
  };
}

function transport(bytes: Uint8Array): Transport {
  return {
    type: MESSAGE_TRANSPORT,
    bytes,
    receiverIndex: readU32(bytes, 4),
    counterLow: readU32(bytes, 8),
    counterHigh: readU32(bytes, 12),
    encryptedPacket: bytes.subarray(16),
  };
}

const MALFORMED: Invalid = { type: 0, reason: DropReason.malformedDatagram };
const UNKNOWN: Invalid = { type: 0, reason: DropReason.unknownMessageType };

/** Decodes a datagram of a variant: `bytes` of the message is what is behind the random bytes, its type word as it came. */
export function decodeVariant(bytes: Uint8Array, variant: Variant): Message | Invalid {
  const { s1, s2, h1, h2, h3, h4 } = variant;
  const length = bytes.length;
  if (length < 4) return MALFORMED;
  const type = readU32(bytes, 0);
  // In the packet half's order: see there.
  if (type === h4) return length >= MIN_TRANSPORT_BYTES ? transport(bytes) : MALFORMED;
  if (length === INITIATION_BYTES + s1 && readU32(bytes, s1) === h1) return initiation(bytes.subarray(s1));
  if (length === RESPONSE_BYTES + s2 && readU32(bytes, s2) === h2) return response(bytes.subarray(s2));
  if (length === COOKIE_REPLY_BYTES && type === h3) return cookieReply(bytes);
  return UNKNOWN;
}

/** Decodes a datagram. The message's parts are views of `bytes`. */
export function decodeMessage(bytes: Uint8Array): Message | Invalid {
  const length = bytes.length;
  if (length < 4) return MALFORMED;
  switch (readU32(bytes, 0)) {
    case MESSAGE_INITIATION:
      return length === INITIATION_BYTES ? initiation(bytes) : MALFORMED;
    case MESSAGE_RESPONSE:
      return length === RESPONSE_BYTES ? response(bytes) : MALFORMED;
    case MESSAGE_COOKIE_REPLY:
      return length === COOKIE_REPLY_BYTES ? cookieReply(bytes) : MALFORMED;
    case MESSAGE_TRANSPORT:
      return length >= MIN_TRANSPORT_BYTES ? transport(bytes) : MALFORMED;
    default:
      return UNKNOWN;
  }
}

/** An initiation whose keys, ciphertexts and MACs are still zero. */
export function newInitiation(senderIndex: number): Initiation {
  const bytes = new Uint8Array(INITIATION_BYTES);
  writeU32(bytes, 0, MESSAGE_INITIATION);
  writeU32(bytes, 4, senderIndex);
  return initiation(bytes);
}

/** A response whose key, ciphertext and MACs are still zero. */
export function newResponse(senderIndex: number, receiverIndex: number): Response {
  const bytes = new Uint8Array(RESPONSE_BYTES);
  writeU32(bytes, 0, MESSAGE_RESPONSE);
  writeU32(bytes, 4, senderIndex);
  writeU32(bytes, 8, receiverIndex);
  return response(bytes);
}

/** A cookie reply whose nonce and ciphertext are still zero. */
export function newCookieReply(receiverIndex: number): CookieReply {
  const bytes = new Uint8Array(COOKIE_REPLY_BYTES);
  writeU32(bytes, 0, MESSAGE_COOKIE_REPLY);
  writeU32(bytes, 4, receiverIndex);
  return cookieReply(bytes);
}

/** A transport message with room for `payloadBytes` bytes and their tag, all zero. */
export function newTransport(
  receiverIndex: number,
  counterLow: number,
  counterHigh: number,
  payloadBytes: number,
): Transport {
  const bytes = new Uint8Array(MIN_TRANSPORT_BYTES + payloadBytes);
  writeU32(bytes, 0, MESSAGE_TRANSPORT);
  writeU32(bytes, 4, receiverIndex);
  writeU32(bytes, 8, counterLow);
  writeU32(bytes, 12, counterHigh);
  return transport(bytes);
}
