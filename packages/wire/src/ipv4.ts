import type { Memory } from '@sallyport/core';

// RFC 791, section 3.1: offsets of the header's fields.
export const IPV4_TOTAL_LENGTH = 2;
export const IPV4_IDENTIFICATION = 4;
export const IPV4_FRAGMENT = 6;
export const IPV4_TTL = 8;
export const IPV4_PROTOCOL = 9;
export const IPV4_CHECKSUM = 10;
export const IPV4_SOURCE = 12;
export const IPV4_DESTINATION = 16;
export const IPV4_HEADER_BYTES = 20;

/** Bits of the 16-bit word at {@link IPV4_FRAGMENT}. */
export const IPV4_DONT_FRAGMENT = 0x4000;
export const IPV4_MORE_FRAGMENTS = 0x2000;
export const IPV4_FRAGMENT_OFFSET = 0x1fff;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;

/** The length of the IPv4 header at `at`, options included, or 0 where `length` bytes don't hold a valid one. */
export function ipv4HeaderLength(memory: Memory, at: number, length: number): number {
  if (length < IPV4_HEADER_BYTES) return 0;
  const first = memory.u8[at];
  if (first >> 4 !== 4) return 0;
  const header = (first & 0xf) << 2;
  return header < IPV4_HEADER_BYTES || header > length ? 0 : header;
}

/** Whether the packet is a part of a larger one. */
export function isIpv4Fragment(memory: Memory, at: number): boolean {
  return (memory.view.getUint16(at + IPV4_FRAGMENT) & (IPV4_MORE_FRAGMENTS | IPV4_FRAGMENT_OFFSET)) !== 0;
}
