import type { Arena } from './arena.ts';
import { EACCES, EBUSY, EINVAL, ENODEV, ENOENT, EPERM, errno, libc, SystemCallError } from './libc.ts';

const O_RDWR = 2;
const O_NONBLOCK = 0x800;
const O_CLOEXEC = 0x80000;

const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const IFF_TUN = 0x0001;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_MULTI_QUEUE = 0x0100;

const TUN_F_CSUM = 0x01;
const TUN_F_TSO4 = 0x02;
const TUN_F_TSO6 = 0x04;
const TUN_F_USO4 = 0x20;
const TUN_F_USO6 = 0x40;

const SIOCGIFFLAGS = 0x8913;
const SIOCGIFMTU = 0x8921;
const SIOCSIFMTU = 0x8922;
const SIOCGIFINDEX = 0x8933;
const IFF_UP = 1;

const AF_INET = 2;
const SOCK_DGRAM = 2;

const IFREQ_BYTES = 40;
const IFREQ_VALUE = 16;

/** Which super-packets a TUN device takes and gives. */
export interface TunOffloads {
  readonly tcp: boolean;
  readonly udp: boolean;
}

/** A TUN interface with a queue (a file descriptor, non-blocking) for every worker. It goes when all are closed. */
export interface TunDevice {
  readonly name: string;
  readonly index: number;
  readonly queues: readonly number[];
  readonly offloads: TunOffloads;
}

/**
 * Creates the interface `name` with `queueCount` queues, each speaking virtio-net headers, and with the best offloads
 * that the kernel has. Throws a SystemCallError that says what to do.
 */
export function openTun(arena: Arena, name: string, queueCount: number): TunDevice {
  const request = arena.scratch;
  const queues: number[] = [];
  try {
    for (let i = 0; i < queueCount; i++) {
      const fd = libc.open('/dev/net/tun', O_RDWR | O_NONBLOCK | O_CLOEXEC);
      if (fd < 0) throw tunError('open /dev/net/tun', errno());
      queues.push(fd);
      writeName(arena, request, name);
      const multi = queueCount > 1 ? IFF_MULTI_QUEUE : 0;
      arena.view.setUint16(request + IFREQ_VALUE, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | multi, true);
      if (libc.ioctl(fd, TUNSETIFF, arena.address + request) < 0) throw tunError(`create interface ${name}`, errno());
    }
    const offloads = setOffloads(queues[0]);
    return { name, index: interfaceIndex(arena, name), queues, offloads };
  } catch (error) {
    for (const fd of queues) libc.close(fd);
    throw error;
  }
}

function setOffloads(fd: number): TunOffloads {
  const tcp = TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6;
  // UDP segmentation came with Linux 6.2; an older kernel refuses the flags as a whole.
  if (libc.ioctl(fd, TUNSETOFFLOAD, tcp | TUN_F_USO4 | TUN_F_USO6) === 0) return { tcp: true, udp: true };
  if (libc.ioctl(fd, TUNSETOFFLOAD, tcp) === 0) return { tcp: true, udp: false };
  return { tcp: false, udp: false };
}

function tunError(what: string, number: number): SystemCallError {
  switch (number) {
    case ENOENT:
    case ENODEV:
      return new SystemCallError(`${what} (this kernel offers no TUN: load the module with "modprobe tun")`, number);
    case EPERM:
    case EACCES:
      return new SystemCallError(`${what} (root or CAP_NET_ADMIN is needed)`, number);
    case EBUSY:
      return new SystemCallError(`${what} (another program has it: choose another name or end that program)`, number);
    case EINVAL:
      return new SystemCallError(`${what} (an interface of that name and another kind exists)`, number);
    default:
      return new SystemCallError(what, number);
  }
}

function writeName(arena: Arena, request: number, name: string): void {
  arena.u8.fill(0, request, request + IFREQ_BYTES);
  for (let i = 0; i < name.length && i < 15; i++) arena.u8[request + i] = name.charCodeAt(i);
}

/** Asks the kernel about the interface `name`; undefined where it is gone. */
function interfaceRequest(arena: Arena, name: string, command: number, value?: number): number | undefined {
  const socket = libc.socket(AF_INET, SOCK_DGRAM | O_CLOEXEC, 0);
  if (socket < 0) throw new SystemCallError('open a socket', errno());
  const request = arena.scratch;
  writeName(arena, request, name);
  if (value !== undefined) arena.view.setInt32(request + IFREQ_VALUE, value, true);
  const result = libc.ioctl(socket, command, arena.address + request);
  libc.close(socket);
  return result < 0 ? undefined : arena.view.getInt32(request + IFREQ_VALUE, true);
}

function interfaceIndex(arena: Arena, name: string): number {
  return interfaceRequest(arena, name, SIOCGIFINDEX) ?? 0;
}

/** The interface's MTU in bytes, or undefined where it is gone. */
export function interfaceMtu(arena: Arena, name: string): number | undefined {
  return interfaceRequest(arena, name, SIOCGIFMTU);
}

export function setInterfaceMtu(arena: Arena, name: string, mtu: number): void {
  if (interfaceRequest(arena, name, SIOCSIFMTU, mtu) === undefined)
    throw new SystemCallError(`set the MTU of ${name} to ${String(mtu)}`, errno());
}

/** Whether the interface is up, or undefined where it is gone. */
export function interfaceIsUp(arena: Arena, name: string): boolean | undefined {
  const flags = interfaceRequest(arena, name, SIOCGIFFLAGS);
  return flags === undefined ? undefined : (flags & IFF_UP) !== 0;
}
