import type { Memory } from '@sallyport/core';
import { IPV4_CHECKSUM, IPV4_SOURCE } from './ipv4.ts';
import { IPV6_SOURCE } from './ipv6.ts';

// The internet checksum (RFC 1071). `Memory.sum` adds little-endian words; everything here is in network order:
// `networkSum` is the bridge. A sum is partial until it is folded, and a checksum is a folded sum's complement.

/** Folds a sum below 2^32 to 16 bits, with the carries added back. */
export function fold(sum: number): number {
  const once = (sum >>> 16) + (sum & 0xffff);
  return (once >>> 16) + (once & 0xffff);
}

export function swap16(word: number): number {
  return ((word & 0xff) << 8) | (word >>> 8);
}

/** A result of `Memory.sum` as a folded sum of big-endian words (RFC 1071, section 2 B). */
export function networkSum(sum: number): number {
  return swap16(fold(sum));
}

/**
 * The sum of the pseudo-header (RFC 9293, section 3.1; RFC 8200, section 8.1) of the IP packet at `at`, without
 * the upper layer's length. At most 20 bits.
 */
export function pseudoHeaderSum(memory: Memory, at: number, version: 4 | 6, protocol: number): number {
  const addresses = version === 4 ? memory.sum(at + IPV4_SOURCE, 8) : memory.sum(at + IPV6_SOURCE, 32);
  return networkSum(addresses) + protocol;
}

/** Writes the checksum of the IPv4 header of `headerLength` bytes at `at`. */
export function writeIpv4Checksum(memory: Memory, at: number, headerLength: number): void {
  memory.view.setUint16(at + IPV4_CHECKSUM, 0);
  memory.view.setUint16(at + IPV4_CHECKSUM, ~networkSum(memory.sum(at, headerLength)));
}

/** The checksum once a 16-bit word that it covers has changed (RFC 1624, section 3, equation 3). */
export function updateChecksum(checksum: number, oldWord: number, newWord: number): number {
  return ~fold((~checksum & 0xffff) + (~oldWord & 0xffff) + newWord) & 0xffff;
}
