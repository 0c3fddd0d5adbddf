import {
  PATH_BYTES,
  PATH_FAMILY,
  PATH_INTERFACE,
  PATH_LOCAL,
  PATH_PORT,
  PATH_REMOTE,
  PATH_SCOPE,
  PATH_TOS,
} from '@sallyport/core';
import type { Arena } from './arena.ts';

/*
 * What recvmsg, recvmmsg and sendmsg are given (recvmsg(2), ip(7), ipv6(7), udp(7)), 64-bit.
 */

export const AF_INET = 2;
export const AF_INET6 = 10;
export const IPPROTO_IP = 0;
export const IP_TOS = 1;
export const IP_PKTINFO = 8;
export const IPPROTO_IPV6 = 41;
export const IPV6_PKTINFO = 50;
export const IPV6_TCLASS = 67;
export const SOL_UDP = 17;
export const UDP_SEGMENT = 103;
const UDP_GRO = 104;
export const MSG_TRUNC = 0x20;

// struct msghdr
export const NAME = 0;
export const NAME_BYTES = 8;
export const IOV = 16;
export const IOV_COUNT = 24;
export const CONTROL = 32;
export const CONTROL_BYTES = 40;
export const FLAGS = 48;
export const MSGHDR_BYTES = 56;

/** struct cmsghdr: size_t length, int level, int type; then data, aligned to 8. */
export const CMSG_HEADER = 16;
/** For a sockaddr of either family. */
export const SOCKADDR_ROOM = 32;

/** Writes the path record `path` anew: the remote that the sockaddr at `from` names, and nothing else. */
export function readRemote({ u32, view }: Arena, from: number, path: number): void {
  for (let i = 0; i < PATH_BYTES >> 2; i++) u32[(path >> 2) + i] = 0;
  view.setUint16(path + PATH_PORT, view.getUint16(from + 2), true);
  if (view.getUint16(from, true) === AF_INET) {
    view.setUint16(path + PATH_FAMILY, 4, true);
    u32[(path + PATH_REMOTE) >> 2] = u32[(from + 4) >> 2];
  } else {
    view.setUint16(path + PATH_FAMILY, 6, true);
    for (let i = 0; i < 4; i++) u32[((path + PATH_REMOTE) >> 2) + i] = u32[((from + 8) >> 2) + i];
    u32[(path + PATH_SCOPE) >> 2] = u32[(from + 24) >> 2];
  }
}

/**
 * Adds to `path` what the `length` bytes of control messages at `start` say: local address, interface, TOS. Returns the
 * size of a train's datagrams, or 0 where it is no train.
 */
export function readControls({ u32, i32, u8 }: Arena, start: number, length: number, path: number): number {
  let segmentSize = 0;
  let offset = 0;
  while (offset + CMSG_HEADER <= length) {
    const at = start + offset;
    const bytes = u32[at >> 2];
    if (bytes < CMSG_HEADER) break;
    const level = i32[(at + 8) >> 2];
    const type = i32[(at + 12) >> 2];
    const data = (at + CMSG_HEADER) >> 2;
    if (level === SOL_UDP && type === UDP_GRO) {
      segmentSize = i32[data];
    } else if (level === IPPROTO_IP && type === IP_PKTINFO) {
      u32[(path + PATH_INTERFACE) >> 2] = u32[data];
      u32[(path + PATH_LOCAL) >> 2] = u32[data + 1];
    } else if (level === IPPROTO_IPV6 && type === IPV6_PKTINFO) {
      for (let i = 0; i < 4; i++) u32[((path + PATH_LOCAL) >> 2) + i] = u32[data + i];
      u32[(path + PATH_INTERFACE) >> 2] = u32[data + 4];
    } else if ((level === IPPROTO_IP && type === IP_TOS) || (level === IPPROTO_IPV6 && type === IPV6_TCLASS)) {
      u32[(path + PATH_TOS) >> 2] = u8[data << 2];
    }
    offset += (bytes + 7) & -8;
  }
  return segmentSize;
}
