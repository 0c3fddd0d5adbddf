import { type Arena, errno, libc, SystemCallError } from '@sallyport/io';

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SO_RCVBUF = 8;
const SO_RCVBUFFORCE = 33;
const SOL_UDP = 17;
const UDP_GRO = 104;
export const LOOPBACK = 0x7f000001;

/**
 * Opens a UDP socket on `localAddress` (a number, in 127.0.0.0/8) and a port that the kernel chooses; trains come as such
 * (UDP_GRO). `receiveBytes` may wait in it; without privileges the kernel gives less than much. Throws a SystemCallError.
 */
export function openLoopback(
  arena: Arena,
  localAddress: number,
  receiveBytes: number,
): { readonly fd: number; readonly port: number } {
  const fd = libc.socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SystemCallError('open a UDP socket', errno());
  try {
    setOption(arena, fd, SOL_UDP, UDP_GRO, 1);
    if (!setOption(arena, fd, SOL_SOCKET, SO_RCVBUFFORCE, receiveBytes))
      setOption(arena, fd, SOL_SOCKET, SO_RCVBUF, receiveBytes);
    const { view, scratch, address } = arena;
    writeAddress(arena, localAddress, 0);
    if (libc.bind(fd, address + scratch, 16) < 0) throw new SystemCallError('take a loopback address', errno());
    view.setUint32(scratch + 32, 16, true);
    libc.getsockname(fd, address + scratch, address + scratch + 32);
    return { fd, port: view.getUint16(scratch + 2) };
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** From now on it sends to this port of 127.0.0.1, and takes nothing from elsewhere. Throws a SystemCallError. */
export function connectLoopback(arena: Arena, fd: number, port: number): void {
  writeAddress(arena, LOOPBACK, port);
  if (libc.connect(fd, arena.address + arena.scratch, 16) < 0)
    throw new SystemCallError('connect a UDP socket', errno());
}

function writeAddress({ u8, view, scratch }: Arena, address: number, port: number): void {
  u8.fill(0, scratch, scratch + 16);
  view.setUint16(scratch, AF_INET, true);
  view.setUint16(scratch + 2, port);
  view.setUint32(scratch + 4, address);
}

function setOption(arena: Arena, fd: number, level: number, name: number, value: number): boolean {
  const at = arena.scratch + 48;
  arena.view.setInt32(at, value, true);
  return libc.setsockopt(fd, level, name, arena.address + at, 4) === 0;
}
