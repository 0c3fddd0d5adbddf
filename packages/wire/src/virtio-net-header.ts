import type { Memory } from '@sallyport/core';

// struct virtio_net_hdr, as TUN puts it before each packet with IFF_VNET_HDR. Virtual I/O Device (VIRTIO) 1.2,
// section 5.1.6. Multi-byte fields are little-endian.
export const VIRTIO_FLAGS = 0;
export const VIRTIO_GSO_TYPE = 1;
/** u16: bytes of the headers that every segment repeats: a hint. */
export const VIRTIO_HDR_LEN = 2;
/** u16: payload bytes of each segment but the last. */
export const VIRTIO_GSO_SIZE = 4;
/** u16: where the checksummed part starts, from the packet's start. */
export const VIRTIO_CSUM_START = 6;
/** u16: where the checksum is, from csum_start. */
export const VIRTIO_CSUM_OFFSET = 8;
export const VIRTIO_NET_HEADER_BYTES = 10;

/** flags: the checksum field holds the pseudo-header's sum and is to be completed. */
export const VIRTIO_NEEDS_CSUM = 1;
/** flags: the checksum was verified. */
export const VIRTIO_DATA_VALID = 2;

export const VIRTIO_GSO_NONE = 0;
export const VIRTIO_GSO_TCPV4 = 1;
export const VIRTIO_GSO_UDP = 3;
export const VIRTIO_GSO_TCPV6 = 4;
export const VIRTIO_GSO_UDP_L4 = 5;
/** Added to a TCP gso_type whose first segment carries CWR. */
export const VIRTIO_GSO_ECN = 0x80;

/** Writes a virtio_net_hdr of 10 bytes at `at`. */
export function writeVirtioNetHeader(
  memory: Memory,
  at: number,
  flags: number,
  gsoType: number,
  hdrLen: number,
  gsoSize: number,
  csumStart: number,
  csumOffset: number,
): void {
  const { view } = memory;
  view.setUint16(at, flags | (gsoType << 8), true);
  view.setUint16(at + VIRTIO_HDR_LEN, hdrLen, true);
  view.setUint16(at + VIRTIO_GSO_SIZE, gsoSize, true);
  view.setUint16(at + VIRTIO_CSUM_START, csumStart, true);
  view.setUint16(at + VIRTIO_CSUM_OFFSET, csumOffset, true);
}
