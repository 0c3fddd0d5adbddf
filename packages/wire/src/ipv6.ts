import type { Memory } from '@sallyport/core';

// RFC 8200, section 3: offsets of the header's fields.
export const IPV6_PAYLOAD_LENGTH = 4;
export const IPV6_NEXT_HEADER = 6;
export const IPV6_HOP_LIMIT = 7;
export const IPV6_SOURCE = 8;
export const IPV6_DESTINATION = 24;
export const IPV6_HEADER_BYTES = 40;

export const NEXT_HEADER_HOP_BY_HOP = 0;
export const NEXT_HEADER_ROUTING = 43;
export const NEXT_HEADER_FRAGMENT = 44;
export const NEXT_HEADER_ICMPV6 = 58;
export const NEXT_HEADER_DESTINATION = 60;

/** Enough for every extension header that RFC 8200, section 4.1 recommends, twice over. */
const MAX_EXTENSION_HEADERS = 12;

/**
 * Where the first header that is not an extension header starts, as an offset from the IPv6 header at `at`, or 0
 * where the packet of `length` bytes ends first, is a fragment other than the first, or has too many of them.
 * {@link ipv6UpperProtocol} reads what follows there.
 */
export function ipv6UpperOffset(memory: Memory, at: number, length: number): number {
  if (length < IPV6_HEADER_BYTES) return 0;
  const { u8, view } = memory;
  let next = u8[at + IPV6_NEXT_HEADER];
  let offset = IPV6_HEADER_BYTES;
  for (let i = 0; i <= MAX_EXTENSION_HEADERS; i++) {
    if (!isExtensionHeader(next)) return offset;
    if (offset + 8 > length) return 0;
    if (next === NEXT_HEADER_FRAGMENT && view.getUint16(at + offset + 2) >> 3 !== 0) return 0;
    const bytes = next === NEXT_HEADER_FRAGMENT ? 8 : (u8[at + offset + 1] + 1) << 3;
    next = u8[at + offset];
    offset += bytes;
    if (offset > length) return 0;
  }
  return 0;
}

/**
 * {@link ipv6UpperOffset} for a packet whose extension headers change neither its length nor its destination: 0
 * also for a fragment, and for a routing header with segments left, whose last address the checksum would cover.
 */
export function ipv6PlainUpperOffset(memory: Memory, at: number, length: number): number {
  const upper = ipv6UpperOffset(memory, at, length);
  const { u8 } = memory;
  let next = u8[at + IPV6_NEXT_HEADER];
  for (let offset = IPV6_HEADER_BYTES; offset < upper;) {
    if (next === NEXT_HEADER_FRAGMENT) return 0;
    if (next === NEXT_HEADER_ROUTING && u8[at + offset + 3] !== 0) return 0;
    next = u8[at + offset];
    offset += (u8[at + offset + 1] + 1) << 3;
  }
  return upper;
}

/** The protocol of the header at the offset that {@link ipv6UpperOffset} gave for the same packet. */
export function ipv6UpperProtocol(memory: Memory, at: number, upperOffset: number): number {
  const { u8 } = memory;
  let next = u8[at + IPV6_NEXT_HEADER];
  for (let offset = IPV6_HEADER_BYTES; offset < upperOffset;) {
    const bytes = next === NEXT_HEADER_FRAGMENT ? 8 : (u8[at + offset + 1] + 1) << 3;
    next = u8[at + offset];
    offset += bytes;
  }
  return next;
}

function isExtensionHeader(next: number): boolean {
  return (
    next === NEXT_HEADER_HOP_BY_HOP ||
    next === NEXT_HEADER_ROUTING ||
    next === NEXT_HEADER_FRAGMENT ||
    next === NEXT_HEADER_DESTINATION
  );
}
