import type { Memory } from '@sallyport/core';

// RFC 9293, section 3.1: offsets of the header's fields.
export const TCP_SEQUENCE = 4;
export const TCP_ACKNOWLEDGMENT = 8;
export const TCP_DATA_OFFSET = 12;
export const TCP_FLAGS = 13;
export const TCP_CHECKSUM = 16;
export const TCP_HEADER_BYTES = 20;

/** Bits of the byte at {@link TCP_FLAGS}. */
export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;
export const TCP_CWR = 0x80;

/** The length of the TCP header at `at`, options included, or 0 where `length` bytes don't hold a valid one. */
export function tcpHeaderLength(memory: Memory, at: number, length: number): number {
  if (length < TCP_HEADER_BYTES) return 0;
  const header = (memory.u8[at + TCP_DATA_OFFSET] >> 4) << 2;
  return header < TCP_HEADER_BYTES || header > length ? 0 : header;
}
