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

/** Takes the messages that wait; true if there were any. `scratch` is `bytes` of the caller's own. */
export function drainLinkMonitor(arena: Arena, fd: number, scratch: number, bytes: number): boolean {
  let any = false;
  // Bounded: a flood of changes is only one reason to look again. ENOBUFS means that some were lost: look as well.
  for (let i = 0; i < 64; i++) {
    if (libc.read(fd, arena.address + scratch, bytes) < 0) break;
    any = true;
  }
  return any;
}
