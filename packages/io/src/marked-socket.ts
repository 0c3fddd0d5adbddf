import { Buffer } from 'node:buffer';
import { isIPv6, Socket } from 'node:net';
import { errno, libc, SystemCallError } from './libc.ts';
import { getSocketOption, setSocketOption } from './socket-option.ts';

/*
 * Sockets of the client's own, for Node to wrap: `new net.Socket({ fd })`, `dgram.bind({ fd })`. Node itself can set
 * neither mark nor interface.
 */

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;
const SOL_SOCKET = 1;
const SO_PEERCRED = 17;
const SO_BINDTODEVICE = 25;
const SO_MARK = 36;
const IPPROTO_IP = 0;
const IP_MTU_DISCOVER = 10;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
const IPV6_DONTFRAG = 62;
const IPPROTO_TCP = 6;
const TCP_MAXSEG = 2;
/** Don't fragment, and don't ask the route how much fits either: the interface's MTU alone counts. */
const PMTUDISC_PROBE = 3;

export interface Marking {
  /** SO_MARK; 0: none. */
  readonly mark: number;
  /** SO_BINDTODEVICE: it sends and receives by this interface alone. */
  readonly device?: string | undefined;
}

/** Fits everywhere, either way (RFC 8200, section 5): routers that swallow "too big" would keep longer ones for themselves. */
const SEGMENT_BYTES = 1220;

/**
 * A TCP socket that isn't connected yet, of segments that any path takes. Throws a SystemCallError; the descriptor is the
 * caller's to close.
 */
export function openMarkedTcpSocket(family: 4 | 6, marking: Marking): number {
  const fd = open(family, SOCK_STREAM, marking);
  try {
    set(fd, IPPROTO_TCP, TCP_MAXSEG, number(SEGMENT_BYTES), 'keep segments short');
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/**
 * Begins to connect to an address (no name) and returns the socket at once, as `net.connect` does: `connect` or `error`
 * follow, the latter also where there is no connection within `timeoutMs`.
 */
export function connectMarkedTcp(address: string, port: number, marking: Marking, timeoutMs: number): Socket {
  const fd = openMarkedTcpSocket(isIPv6(address) ? 6 : 4, marking);
  const socket = new Socket({ fd });
  const timer = setTimeout(() => {
    socket.destroy(new Error(`no connection to ${address} within ${String(Math.round(timeoutMs))} ms`));
  }, timeoutMs);
  const settled = (): void => {
    clearTimeout(timer);
  };
  socket.once('connect', settled).once('close', settled);
  return socket.connect(port, address);
}

/**
 * A UDP socket without an address of its own yet. `probing`: what it sends is never fragmented and may be as large as the
 * interface takes, whatever the path is thought to. Throws a SystemCallError; the descriptor is the caller's to close.
 */
export function openMarkedUdpSocket(family: 4 | 6, marking: Marking, probing = false): number {
  const fd = open(family, SOCK_DGRAM, marking);
  if (!probing) return fd;
  try {
    if (family === 4) set(fd, IPPROTO_IP, IP_MTU_DISCOVER, number(PMTUDISC_PROBE), 'forbid fragments');
    else {
      set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, number(PMTUDISC_PROBE), 'forbid fragments');
      set(fd, IPPROTO_IPV6, IPV6_DONTFRAG, number(1), 'forbid fragments');
    }
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

/** Who is at the other end of a Unix socket (SO_PEERCRED), as it was when it connected; undefined for others. */
export function peerCredentials(fd: number): { pid: number; uid: number; gid: number } | undefined {
  const value = Buffer.alloc(12);
  if (getSocketOption(fd, SOL_SOCKET, SO_PEERCRED, value) < 0) return undefined;
  const pid = value.readInt32LE(0);
  return pid <= 0 ? undefined : { pid, uid: value.readUInt32LE(4), gid: value.readUInt32LE(8) };
}

function open(family: 4 | 6, type: number, { mark, device }: Marking): number {
  const fd = libc.socket(family === 4 ? AF_INET : AF_INET6, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) throw new SystemCallError('open a socket', errno());
  try {
    if (family === 6) set(fd, IPPROTO_IPV6, IPV6_V6ONLY, number(1), 'keep to IPv6');
    // Before anything is sent: an unmarked packet would take the tunnel's way.
    if (mark !== 0) set(fd, SOL_SOCKET, SO_MARK, number(mark), 'set the firewall mark');
    if (device !== undefined) set(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${device}\0`), `bind to ${device}`);
    return fd;
  } catch (error) {
    libc.close(fd);
    throw error;
  }
}

function number(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value | 0);
  return bytes;
}

function set(fd: number, level: number, name: number, value: Buffer, what: string): void {
  if (setSocketOption(fd, level, name, value) < 0) throw new SystemCallError(what, errno());
}
