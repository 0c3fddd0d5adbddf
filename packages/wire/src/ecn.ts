import type { Memory } from '@sallyport/core';
import { updateChecksum } from './checksum.ts';
import { IPV4_CHECKSUM } from './ipv4.ts';

// Explicit Congestion Notification through a tunnel: RFC 6040. The field is the low two bits of the TOS or
// traffic class byte (RFC 3168, section 5).
export const NOT_ECT = 0;
export const ECT_1 = 1;
export const ECT_0 = 2;
export const CE = 3;

/** The inner TOS or traffic class byte of the IP packet at `at`. */
export function tosOf(memory: Memory, at: number): number {
  const { u8 } = memory;
  return u8[at] >> 4 === 4 ? u8[at + 1] : ((u8[at] & 0xf) << 4) | (u8[at + 1] >> 4);
}

/** The ECN field for the outer header of a packet with this inner TOS: normal mode (RFC 6040, section 4.1). */
export function outerEcn(innerTos: number): number {
  return innerTos & 3;
}

/**
 * Brings the outer header's congestion mark into the IP packet at `at` (RFC 6040, section 4.2, figure 4). False
 * where the packet has to be dropped: marked on a path though its transport does not know ECN. The packet's
 * header must have been validated.
 */
export function decapsulateEcn(memory: Memory, at: number, outerTos: number): boolean {
  const outer = outerTos & 3;
  if (outer !== CE && outer !== ECT_1) return true;
  const { u8, view } = memory;
  const first = view.getUint16(at);
  const shift = first >> 12 === 4 ? 0 : 4;
  const inner = (first >> shift) & 3;
  if (inner === NOT_ECT) return outer !== CE;
  if (inner === CE || inner === outer) return true;
  const marked = (first & ~(3 << shift)) | (outer << shift);
  u8[at + 1] = marked;
  if (shift === 0) {
    const checksum = view.getUint16(at + IPV4_CHECKSUM);
    view.setUint16(at + IPV4_CHECKSUM, updateChecksum(checksum, first, marked));
  }
  return true;
}
