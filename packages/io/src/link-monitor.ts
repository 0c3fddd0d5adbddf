import type { Arena } from './arena.ts';
import { errno, libc, SystemCallError } from './libc.ts';

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
const NETLINK_ROUTE = 0;
const RTMGRP_LINK = 1;

/**
 * Opens a descriptor that becomes readable whenever some interface changes (up, down, MTU, gone). What has changed is
 * then asked of the interface itself.
 */
export function openLinkMonitor(arena: Arena): number {
  const fd = libc.socket(AF_NETLINK, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, NETLINK_ROUTE);
  if (fd < 0) throw new SystemCallError('open a netlink socket', errno());
  const at = arena.scratch; // struct sockaddr_nl
  arena.u8.fill(0, at, at + 12);
  arena.view.setUint16(at, AF_NETLINK, true);
  arena.view.setUint32(at + 8, RTMGRP_LINK, true);
  if (libc.bind(fd, arena.address + at, 12) < 0) {
    const failed = errno();
    libc.close(fd);
    throw new SystemCallError('listen to interface changes', failed);
  }
  return fd;
}

/** What {@link drainLinkMonitor} has seen: bits. */
export const LINK_CHANGED = 1;
/** The interface was down, even if it is up again by now. */
export const LINK_WAS_DOWN = 2;

const RTM_NEWLINK = 16;
const MESSAGE_HEADER_BYTES = 16;
const TYPE = 4;
// struct ifinfomsg, behind the header
const INTERFACE_INDEX = MESSAGE_HEADER_BYTES + 4;
const INTERFACE_FLAGS = MESSAGE_HEADER_BYTES + 8;
const LINK_MESSAGE_BYTES = MESSAGE_HEADER_BYTES + 16;
const IFF_UP = 1;

/**
 * Takes the messages that wait and tells what they say of the interface `index`: {@link LINK_CHANGED} and
 * {@link LINK_WAS_DOWN}, or 0. `scratch` is `bytes` of the caller's own.
 */
export function drainLinkMonitor(arena: Arena, fd: number, index: number, scratch: number, bytes: number): number {
  const { view } = arena;
  let seen = 0;
  // Bounded: a flood of changes is only one reason to look again. ENOBUFS means that some were lost: look as well.
  for (let i = 0; i < 64; i++) {
    const length = libc.read(fd, arena.address + scratch, bytes);
    if (length < 0) break;
    seen |= LINK_CHANGED;
    for (let at = scratch; at + LINK_MESSAGE_BYTES <= scratch + length;) {
      const size = view.getUint32(at, true);
      if (size < LINK_MESSAGE_BYTES) break;
      if (
        view.getUint16(at + TYPE, true) === RTM_NEWLINK &&
        view.getInt32(at + INTERFACE_INDEX, true) === index &&
        (view.getUint32(at + INTERFACE_FLAGS, true) & IFF_UP) === 0
      )
        seen |= LINK_WAS_DOWN;
      at += (size + 3) & -4;
    }
  }
  return seen;
}
