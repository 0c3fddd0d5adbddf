import { Buffer } from 'node:buffer';
import { libc } from '../libc.ts';
import { getSocketOption } from '../socket-option.ts';

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SO_NETNS_COOKIE = 71;

/**
 * The number of this process's network namespace, which no other has until the machine starts again, unlike that of its
 * inode. Undefined where the kernel tells none (before 5.14).
 */
export function networkNamespaceCookie(): bigint | undefined {
  const fd = libc.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return undefined;
  const value = Buffer.alloc(8);
  const got = getSocketOption(fd, SOL_SOCKET, SO_NETNS_COOKIE, value);
  libc.close(fd);
  return got < 0 ? undefined : value.readBigUInt64LE();
}
