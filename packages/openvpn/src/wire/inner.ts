import { sameBytes } from './bytes.ts';

/*
 * What travels in the data channel beside IP packets: a ping, known by its bytes, and messages of OCC (options
 * consistency check), known by the first 16 of theirs.
 */

/** The whole packet of a ping. */
export const PING: Uint8Array = Uint8Array.of(
  0x2a, 0x18, 0x7b, 0xf3, 0x64, 0x1e, 0xb4, 0xcb, 0x07, 0xed, 0x2d, 0x0a, 0x98, 0x1f, 0xc7, 0x48,
); // prettier-ignore

export const OCC_MAGIC: Uint8Array = Uint8Array.of(
  0x28, 0x7f, 0x34, 0x6b, 0xd4, 0xef, 0x7a, 0x81, 0x2d, 0x56, 0xb8, 0xd3, 0xaf, 0xc5, 0x45, 0x9c,
); // prettier-ignore

export const OCC_REQUEST = 0;
export const OCC_REPLY = 1;
export const OCC_MTU_LOAD_REQUEST = 2;
export const OCC_MTU_LOAD = 3;
export const OCC_MTU_REQUEST = 4;
export const OCC_MTU_REPLY = 5;
/** The peer goes (`--explicit-exit-notify`). */
export const OCC_EXIT = 6;

export function isPing(packet: Uint8Array): boolean {
  return sameBytes(packet, PING);
}

/** What an OCC message is, or undefined where the packet is none. */
export function occOpcode(packet: Uint8Array): number | undefined {
  if (packet.length <= OCC_MAGIC.length || !sameBytes(packet.subarray(0, OCC_MAGIC.length), OCC_MAGIC))
    return undefined;
  return packet[OCC_MAGIC.length];
}

/** A message without contents. */
export function occMessage(opcode: number): Uint8Array {
  return Uint8Array.of(...OCC_MAGIC, opcode);
}
