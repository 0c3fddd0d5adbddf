import { DropReason } from '@sallyport/core';
import { readU16, readU32, writeU32 } from './bytes.ts';
import {
  isHardReset,
  P_ACK_V1,
  P_CONTROL_SOFT_RESET_V1,
  SESSION_ID_BYTES,
  type ControlOpcode,
  type Header,
} from './opcodes.ts';

/*
 * What is behind the header of a control packet once its protection is off ("Reliability layer" of the wire protocol):
 * the number of acknowledgements and their packet ids, the session id that they are for where there are any, the
 * packet's own id, its payload.
 */

/** What OpenVPN takes in one packet; more is malformed. */
export const MAX_ACKS = 8;
/** The size of OpenVPN's buffer for the control channel: no peer sends more in one packet. */
export const MAX_PAYLOAD_BYTES = 2048;

const PACKET_ID_BYTES = 4;

/** Type and value of early negotiation's only field: flags, of which the first says "send your wrapped key again". */
const TLV_FLAGS = 1;
const FLAG_RESEND_WRAPPED_KEY = 1;

/** The payload of a server's reset that asks for the wrapped key again, in a P_CONTROL_WKC_V1. */
export const EARLY_NEGOTIATION_RESEND_KEY: Uint8Array = Uint8Array.of(0, TLV_FLAGS, 0, 2, 0, FLAG_RESEND_WRAPPED_KEY);

export interface ControlPacket {
  readonly opcode: ControlOpcode;
  readonly keyId: number;
  /** The sender's. */
  readonly sessionId: Uint8Array;
  /** At most {@link MAX_ACKS} packet ids. */
  readonly acks: readonly number[];
  /** The receiver's: whose packets are acknowledged. There where `acks` are. */
  readonly remoteSessionId: Uint8Array | undefined;
  /** Undefined for P_ACK_V1 alone. */
  readonly packetId: number | undefined;
  readonly payload: Uint8Array;
}

/** `body` is what is behind the header; parts of the packet are views of it. Otherwise the `DropReason`. */
export function decodeBody(header: Header, body: Uint8Array): ControlPacket | number {
  const { opcode, keyId, sessionId } = header;
  if (body.length === 0) return DropReason.malformedDatagram;
  const count = body[0];
  if (count > MAX_ACKS) return DropReason.malformedDatagram;
  const ownId = opcode === P_ACK_V1 ? 0 : PACKET_ID_BYTES;
  let at = 1;
  const idsEnd = at + count * PACKET_ID_BYTES;
  const payloadAt = idsEnd + (count === 0 ? 0 : SESSION_ID_BYTES) + ownId;
  if (body.length < payloadAt || body.length - payloadAt > MAX_PAYLOAD_BYTES) return DropReason.malformedDatagram;
  const acks: number[] = [];
  for (; at < idsEnd; at += PACKET_ID_BYTES) acks.push(readU32(body, at));
  const remoteSessionId = count === 0 ? undefined : body.subarray(at, at + SESSION_ID_BYTES);
  const packetId = ownId === 0 ? undefined : readU32(body, payloadAt - PACKET_ID_BYTES);
  const payload = body.subarray(payloadAt);
  if (opcode === P_ACK_V1) {
    if (count === 0 || payload.length > 0) return DropReason.malformedDatagram;
  } else if (packetId !== 0 && (isHardReset(opcode) || opcode === P_CONTROL_SOFT_RESET_V1))
    return DropReason.malformedDatagram;
  return { opcode, keyId, sessionId, acks, remoteSessionId, packetId, payload };
}

/** What comes behind the header, before its protection is put on. */
export function encodeBody(packet: ControlPacket): Uint8Array {
  const { acks, remoteSessionId, packetId, payload } = packet;
  const idBytes = remoteSessionId === undefined ? 0 : acks.length * PACKET_ID_BYTES + SESSION_ID_BYTES;
  const body = new Uint8Array(1 + idBytes + (packetId === undefined ? 0 : PACKET_ID_BYTES) + payload.length);
  let at = 1;
  if (remoteSessionId !== undefined) {
    body[0] = acks.length;
    for (const id of acks) {
      writeU32(body, at, id);
      at += PACKET_ID_BYTES;
    }
    body.set(remoteSessionId, at);
    at += SESSION_ID_BYTES;
  }
  if (packetId !== undefined) {
    writeU32(body, at, packetId);
    at += PACKET_ID_BYTES;
  }
  body.set(payload, at);
  return body;
}

/** What a client reads in the payload of the server's reset: fields of type, length and value; unknown ones are skipped. */
export function earlyNegotiation(payload: Uint8Array): { readonly resendWrappedKey: boolean } | number {
  let resendWrappedKey = false;
  let at = 0;
  while (at < payload.length) {
    if (payload.length - at < 4) return DropReason.malformedDatagram;
    const type = readU16(payload, at);
    const length = readU16(payload, at + 2);
    at += 4;
    if (payload.length - at < length) return DropReason.malformedDatagram;
    if (type === TLV_FLAGS) {
      if (length !== 2) return DropReason.malformedDatagram;
      if ((readU16(payload, at) & FLAG_RESEND_WRAPPED_KEY) !== 0) resendWrappedKey = true;
    }
    at += length;
  }
  return { resendWrappedKey };
}
