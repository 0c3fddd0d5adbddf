import type { Arena } from './arena.ts';
import { libc } from './libc.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0x80000;
const NETLINK_ROUTE = 0;
const RTM_NEWLINK = 16;
const NLM_F_REQUEST = 1;
const IFLA_GSO_MAX_SIZE = 41;
const IFLA_GSO_IPV4_MAX_SIZE = 63;

// struct nlmsghdr, struct ifinfomsg, and attributes of 8 bytes each
const TYPE = 4;
const FLAGS = 6;
const INTERFACE_INDEX = 20;
const ATTRIBUTES = 32;

/** What one UDP_SEGMENT call takes. */
const MAX_TRAIN_BYTES = 65_507;
const MAX_TRAIN_DATAGRAMS = 64;
const LARGEST = 65_536;
const IP_AND_TCP_HEADER_BYTES = 40;

/**
 * Tells the kernel how large the super-packets that it gives to an interface may be: so large that the datagrams they
 * become fill one train, `overhead` bytes being added to each. Beyond it the last few would need a train, a system call
 * and a wake-up of the receiver of their own. It is a matter of speed alone: where the kernel refuses, all goes on as
 * before.
 */
export function fitSuperPackets(arena: Arena, index: number, mtu: number, overhead: number): void {
  const datagrams = Math.min(MAX_TRAIN_DATAGRAMS, Math.floor(MAX_TRAIN_BYTES / (mtu + overhead)));
  const size = datagrams < 2 ? LARGEST : Math.min(LARGEST, datagrams * (mtu - IP_AND_TCP_HEADER_BYTES));
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) return;
  const at = arena.scratch;
  // One message for each attribute: an old kernel knows the first alone, and would refuse both.
  for (const attribute of [IFLA_GSO_MAX_SIZE, IFLA_GSO_IPV4_MAX_SIZE]) {
    const bytes = ATTRIBUTES + 8;
    arena.u8.fill(0, at, at + bytes);
    arena.view.setUint32(at, bytes, true);
    arena.view.setUint16(at + TYPE, RTM_NEWLINK, true);
    arena.view.setUint16(at + FLAGS, NLM_F_REQUEST, true);
    arena.view.setInt32(at + INTERFACE_INDEX, index, true);
    arena.view.setUint16(at + ATTRIBUTES, 8, true);
    arena.view.setUint16(at + ATTRIBUTES + 2, attribute, true);
    arena.view.setUint32(at + ATTRIBUTES + 4, size, true);
    libc.write(fd, arena.address + at, bytes);
  }
  libc.close(fd);
}
