// RFC 792 and RFC 4443: what both versions share is type, code and checksum in the first 4 of 8 header bytes.
export const ICMP_TYPE = 0;
export const ICMP_CODE = 1;
export const ICMP_CHECKSUM = 2;
export const ICMP_HEADER_BYTES = 8;

export const ICMPV4_ECHO_REPLY = 0;
export const ICMPV4_DESTINATION_UNREACHABLE = 3;
export const ICMPV4_ECHO = 8;
export const ICMPV4_HOST_UNREACHABLE = 1;

export const ICMPV6_DESTINATION_UNREACHABLE = 1;
export const ICMPV6_REDIRECT = 137;
export const ICMPV6_NO_ROUTE = 0;
export const ICMPV6_ADDRESS_UNREACHABLE = 3;

/**
 * Whether an error may be sent about an ICMPv4 message of this type: only about queries and their answers
 * (RFC 1122, section 3.2.2). A type that is not known may be an error, so none is sent about it.
 */
export function isIcmpv4Query(type: number): boolean {
  return type === ICMPV4_ECHO_REPLY || type === ICMPV4_ECHO || (type >= 9 && type <= 18 && type !== 11 && type !== 12);
}

/** Whether an error may be sent about an ICMPv6 message of this type (RFC 4443, section 2.4 e). */
export function isIcmpv6Informational(type: number): boolean {
  return type >= 128 && type !== ICMPV6_REDIRECT;
}
