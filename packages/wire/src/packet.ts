import type { Memory } from '@sallyport/core';
import { IPV4_TOTAL_LENGTH, ipv4HeaderLength } from './ipv4.ts';
import { IPV6_HEADER_BYTES, IPV6_PAYLOAD_LENGTH } from './ipv6.ts';

/**
 * The exact length of the IP packet at `at`, by its own header, where `available` bytes are there (padding may
 * follow the packet); 0 where they are not a whole IPv4 or IPv6 packet.
 */
export function ipLength(memory: Memory, at: number, available: number): number {
  if (available < 1) return 0;
  if (memory.u8[at] >> 4 === 6) {
    if (available < IPV6_HEADER_BYTES) return 0;
    const length = IPV6_HEADER_BYTES + memory.view.getUint16(at + IPV6_PAYLOAD_LENGTH);
    return length > available ? 0 : length;
  }
  const header = ipv4HeaderLength(memory, at, available);
  if (header === 0) return 0;
  const length = memory.view.getUint16(at + IPV4_TOTAL_LENGTH);
  return length < header || length > available ? 0 : length;
}
