import { DropReason } from '@sallyport/core';
import type { Memory } from '@sallyport/core';
import { fold, networkSum, pseudoHeaderSum, writeIpv4Checksum } from './checksum.ts';
import {
  ICMP_CHECKSUM,
  ICMP_CODE,
  ICMP_HEADER_BYTES,
  ICMP_TYPE,
  ICMPV4_DESTINATION_UNREACHABLE,
  ICMPV4_HOST_UNREACHABLE,
  ICMPV6_ADDRESS_UNREACHABLE,
  ICMPV6_DESTINATION_UNREACHABLE,
  ICMPV6_NO_ROUTE,
  isIcmpv4Query,
  isIcmpv6Informational,
} from './icmp.ts';
import {
  IPV4_DESTINATION,
  IPV4_DONT_FRAGMENT,
  IPV4_FRAGMENT,
  IPV4_FRAGMENT_OFFSET,
  IPV4_HEADER_BYTES,
  IPV4_PROTOCOL,
  IPV4_SOURCE,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
  PROTOCOL_ICMP,
  ipv4HeaderLength,
} from './ipv4.ts';
import {
  IPV6_DESTINATION,
  IPV6_HEADER_BYTES,
  IPV6_HOP_LIMIT,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  IPV6_SOURCE,
  NEXT_HEADER_ICMPV6,
  ipv6UpperOffset,
  ipv6UpperProtocol,
} from './ipv6.ts';
import { ipLength } from './packet.ts';

/** The most that an error takes: RFC 1812, section 4.3.2.3 and RFC 4443, section 2.4 c. */
const MAX_ICMPV4_ERROR_BYTES = 576;
export const MAX_ICMP_ERROR_BYTES = 1280;

const HOP_LIMIT = 64;
/** Internetwork control, the precedence that RFC 1812, section 4.3.2.5 gives to errors. */
const TOS_INTERNETWORK_CONTROL = 0xc0;

/**
 * Builds, at `outAt`, the error that tells a packet's sender that its destination can't be reached: ICMPv4 host
 * unreachable; ICMPv6 no route where `reason` is `DropReason.noRoute`, and address unreachable otherwise.
 *
 * `sourceAt` is where the address lies that the error comes from (of the packet's family); without it, the error
 * comes from the packet's destination. Returns the error's length, at most {@link MAX_ICMP_ERROR_BYTES}, or 0
 * where the packet is malformed or no error may be sent about it (RFC 1122, section 3.2.2; RFC 4443, section 2.4 e).
 * The caller limits the rate.
 */
export function buildUnreachable(
  memory: Memory,
  outAt: number,
  packetAt: number,
  packetLength: number,
  reason: number,
  sourceAt?: number,
): number {
  const length = ipLength(memory, packetAt, packetLength);
  if (length === 0) return 0;
  return memory.u8[packetAt] >> 4 === 4
    ? buildIpv4(memory, outAt, packetAt, length, sourceAt ?? packetAt + IPV4_DESTINATION)
    : buildIpv6(memory, outAt, packetAt, length, reason, sourceAt ?? packetAt + IPV6_DESTINATION);
}

function buildIpv4(memory: Memory, outAt: number, packetAt: number, length: number, sourceAt: number): number {
  if (!mayReportIpv4(memory, packetAt, length)) return 0;
  const { u8, view } = memory;
  const quoted = Math.min(length, MAX_ICMPV4_ERROR_BYTES - IPV4_HEADER_BYTES - ICMP_HEADER_BYTES);
  const icmpLength = ICMP_HEADER_BYTES + quoted;

  view.setUint16(outAt, 0x4500 | TOS_INTERNETWORK_CONTROL);
  view.setUint16(outAt + IPV4_TOTAL_LENGTH, IPV4_HEADER_BYTES + icmpLength);
  view.setUint32(outAt + 4, IPV4_DONT_FRAGMENT);
  u8[outAt + IPV4_TTL] = HOP_LIMIT;
  u8[outAt + IPV4_PROTOCOL] = PROTOCOL_ICMP;
  memory.copyAndSum(outAt + IPV4_SOURCE, sourceAt, 4);
  memory.copyAndSum(outAt + IPV4_DESTINATION, packetAt + IPV4_SOURCE, 4);
  writeIpv4Checksum(memory, outAt, IPV4_HEADER_BYTES);

  const icmpAt = outAt + IPV4_HEADER_BYTES;
  writeIcmpHeader(memory, icmpAt, ICMPV4_DESTINATION_UNREACHABLE, ICMPV4_HOST_UNREACHABLE);
  memory.copyAndSum(icmpAt + ICMP_HEADER_BYTES, packetAt, quoted);
  view.setUint16(icmpAt + ICMP_CHECKSUM, ~networkSum(memory.sum(icmpAt, icmpLength)));
  return IPV4_HEADER_BYTES + icmpLength;
}

function buildIpv6(
  memory: Memory,
  outAt: number,
  packetAt: number,
  length: number,
  reason: number,
  sourceAt: number,
): number {
  if (!mayReportIpv6(memory, packetAt, length)) return 0;
  const { u8, view } = memory;
  const quoted = Math.min(length, MAX_ICMP_ERROR_BYTES - IPV6_HEADER_BYTES - ICMP_HEADER_BYTES);
  const icmpLength = ICMP_HEADER_BYTES + quoted;

  view.setUint32(outAt, 6 << 28);
  view.setUint16(outAt + IPV6_PAYLOAD_LENGTH, icmpLength);
  u8[outAt + IPV6_NEXT_HEADER] = NEXT_HEADER_ICMPV6;
  u8[outAt + IPV6_HOP_LIMIT] = HOP_LIMIT;
  memory.copyAndSum(outAt + IPV6_SOURCE, sourceAt, 16);
  memory.copyAndSum(outAt + IPV6_DESTINATION, packetAt + IPV6_SOURCE, 16);

  const icmpAt = outAt + IPV6_HEADER_BYTES;
  const code = reason === DropReason.noRoute ? ICMPV6_NO_ROUTE : ICMPV6_ADDRESS_UNREACHABLE;
  writeIcmpHeader(memory, icmpAt, ICMPV6_DESTINATION_UNREACHABLE, code);
  memory.copyAndSum(icmpAt + ICMP_HEADER_BYTES, packetAt, quoted);
  const sum =
    pseudoHeaderSum(memory, outAt, 6, NEXT_HEADER_ICMPV6) + icmpLength + networkSum(memory.sum(icmpAt, icmpLength));
  view.setUint16(icmpAt + ICMP_CHECKSUM, ~fold(sum));
  return IPV6_HEADER_BYTES + icmpLength;
}

function writeIcmpHeader(memory: Memory, at: number, type: number, code: number): void {
  memory.view.setUint32(at, 0);
  memory.view.setUint32(at + 4, 0);
  memory.u8[at + ICMP_TYPE] = type;
  memory.u8[at + ICMP_CODE] = code;
}

function mayReportIpv4(memory: Memory, at: number, length: number): boolean {
  const { u8, view } = memory;
  if ((view.getUint16(at + IPV4_FRAGMENT) & IPV4_FRAGMENT_OFFSET) !== 0) return false;
  const source = u8[at + IPV4_SOURCE];
  // 0/8 is "this network", 127/8 loopback, and from 224 on come multicast, class E and the broadcast address.
  if (source === 0 || source === 127 || source >= 224) return false;
  if (u8[at + IPV4_DESTINATION] >= 224) return false;
  if (u8[at + IPV4_PROTOCOL] !== PROTOCOL_ICMP) return true;
  const header = ipv4HeaderLength(memory, at, length);
  return header < length && isIcmpv4Query(u8[at + header + ICMP_TYPE]);
}

function mayReportIpv6(memory: Memory, at: number, length: number): boolean {
  const { u8 } = memory;
  const source = at + IPV6_SOURCE;
  if (u8[source] === 0xff || u8[at + IPV6_DESTINATION] === 0xff) return false;
  let unspecified = true;
  for (let i = 0; i < 16; i++) if (u8[source + i] !== 0) unspecified = false;
  if (unspecified) return false;
  const upper = ipv6UpperOffset(memory, at, length);
  if (upper === 0) return false;
  if (ipv6UpperProtocol(memory, at, upper) !== NEXT_HEADER_ICMPV6) return true;
  return upper < length && isIcmpv6Informational(u8[at + upper + ICMP_TYPE]);
}
