import { DropReason } from '@sallyport/core';
import { readU32 } from './bytes.ts';

/*
 * The first byte of every packet: five bits of opcode, three of key id ("Packet format" of the wire protocol). The
 * opcodes of key method 1 (1 and 2) are of a protocol that nobody speaks any more.
 */

/** A new key in a session that stands: from either side. */
export const P_CONTROL_SOFT_RESET_V1 = 3;
/** Records of TLS. */
export const P_CONTROL_V1 = 4;
/** Acknowledgements alone. */
export const P_ACK_V1 = 5;
/** Data without a peer id. Refused: a gateway could not tell whose it is once the sender's address changes. */
export const P_DATA_V1 = 6;
export const P_CONTROL_HARD_RESET_CLIENT_V2 = 7;
export const P_CONTROL_HARD_RESET_SERVER_V2 = 8;
export const P_DATA_V2 = 9;
/** The first packet of a client with tls-crypt-v2: its wrapped key is behind it. */
export const P_CONTROL_HARD_RESET_CLIENT_V3 = 10;
/** A P_CONTROL_V1 with the client's wrapped key behind it. */
export const P_CONTROL_WKC_V1 = 11;

export type ControlOpcode =
  | typeof P_CONTROL_SOFT_RESET_V1
  | typeof P_CONTROL_V1
  | typeof P_ACK_V1
  | typeof P_CONTROL_HARD_RESET_CLIENT_V2
  | typeof P_CONTROL_HARD_RESET_SERVER_V2
  | typeof P_CONTROL_HARD_RESET_CLIENT_V3
  | typeof P_CONTROL_WKC_V1;

export const SESSION_ID_BYTES = 8;
/** First byte and session id: what every control packet begins with, whatever protects the rest. */
export const HEADER_BYTES = 1 + SESSION_ID_BYTES;

/** What a control packet says of itself in the clear. */
export interface Header {
  readonly opcode: ControlOpcode;
  /** 0 to 7. */
  readonly keyId: number;
  /** The sender's, 8 bytes, not all zero. */
  readonly sessionId: Uint8Array;
}

export function opcodeOf(firstByte: number): number {
  return firstByte >>> 3;
}

export function keyIdOf(firstByte: number): number {
  return firstByte & 7;
}

export function firstByte(opcode: number, keyId: number): number {
  return (opcode << 3) | keyId;
}

export function isControlOpcode(opcode: number): opcode is ControlOpcode {
  return (
    (opcode >= P_CONTROL_SOFT_RESET_V1 && opcode <= P_ACK_V1) ||
    opcode === P_CONTROL_HARD_RESET_CLIENT_V2 ||
    opcode === P_CONTROL_HARD_RESET_SERVER_V2 ||
    opcode === P_CONTROL_HARD_RESET_CLIENT_V3 ||
    opcode === P_CONTROL_WKC_V1
  );
}

/** Opens a session, so its packet id is 0. */
export function isHardReset(opcode: number): boolean {
  return (
    opcode === P_CONTROL_HARD_RESET_CLIENT_V2 ||
    opcode === P_CONTROL_HARD_RESET_CLIENT_V3 ||
    opcode === P_CONTROL_HARD_RESET_SERVER_V2
  );
}

/** The peer id of a P_DATA_V2 of at least four bytes: 24 bits, 0xffffff for none. */
export function peerIdOf(datagram: Uint8Array): number {
  return readU32(datagram, 0) & 0xffffff;
}

/** The header of a control packet, nothing of it proved; otherwise the `DropReason`. The session id is a view. */
export function readHeader(datagram: Uint8Array): Header | number {
  if (datagram.length === 0) return DropReason.malformedDatagram;
  const opcode = opcodeOf(datagram[0]);
  if (!isControlOpcode(opcode)) return DropReason.unknownMessageType;
  if (datagram.length < HEADER_BYTES) return DropReason.malformedDatagram;
  const sessionId = datagram.subarray(1, HEADER_BYTES);
  if (sessionId.every((byte) => byte === 0)) return DropReason.malformedDatagram;
  return { opcode, keyId: keyIdOf(datagram[0]), sessionId };
}

export function writeHeader(datagram: Uint8Array, header: Header): void {
  datagram[0] = firstByte(header.opcode, header.keyId);
  datagram.set(header.sessionId, 1);
}

/** A session id as the key of a map. */
export function sessionIdKey(sessionId: Uint8Array): string {
  return String.fromCharCode(...sessionId);
}
