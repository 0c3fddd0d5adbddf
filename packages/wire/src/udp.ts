// RFC 768: offsets of the header's fields.
export const UDP_LENGTH = 4;
export const UDP_CHECKSUM = 6;
export const UDP_HEADER_BYTES = 8;
