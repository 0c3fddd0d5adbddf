import type { Arena } from './arena.ts';
import { EADDRINUSE, errno, libc, SystemCallError } from './libc.ts';

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0x800;
const SOCK_CLOEXEC = 0x80000;

const SOL_SOCKET = 1;
const SO_SNDBUF = 7;
const SO_RCVBUF = 8;
const SO_REUSEPORT = 15;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SO_MARK = 36;
const IPPROTO_IP = 0;
const IP_PKTINFO = 8;
const IP_MTU_DISCOVER = 10;
const IP_RECVTOS = 13;
const IPPROTO_IPV6 = 41;
const IPV6_MTU_DISCOVER = 23;
const IPV6_V6ONLY = 26;
const IPV6_RECVPKTINFO = 49;
const IPV6_RECVTCLASS = 66;
const SOL_UDP = 17;
const UDP_GRO = 104;
/** The tunnel's own datagrams may be fragmented on the way, as the Linux driver's. */
const PMTUDISC_DONT = 0;
/** Never fragmented, and what the kernel believes of the path is left out of account: who probes finds out. */
const PMTUDISC_PROBE = 3;

const SOCKET_BUFFER_BYTES = 7 * 1024 * 1024;

/** The sockets of one worker; a family that the machine lacks is -1. */
export interface UdpSockets {
  readonly fd4: number;
  readonly fd6: number;
}

export const NO_SOCKETS: UdpSockets = { fd4: -1, fd6: -1 };

/**
 * Opens a socket of each family for every worker, all on one port: `port`, or one that the kernel chooses where it
 * is 0. With `dontFragment` what is too large for the path is lost on it, and what is too large for the interface can't
 * be sent (EMSGSIZE). Throws a SystemCallError where the port is taken or neither family is there.
 */
export function openUdpSockets(
  arena: Arena,
  port: number,
  workers: number,
  mark: number,
  dontFragment = false,
): { port: number; sockets: UdpSockets[] } {
  // A kernel-chosen port may be taken in the other family.
  for (let attempt = 0; ; attempt++) {
    const opener = new Opener(arena, workers, dontFragment ? PMTUDISC_PROBE : PMTUDISC_DONT);
    try {
      return opener.open(port, mark);
    } catch (error) {
      opener.close();
      if (!(error instanceof SystemCallError) || error.errno !== EADDRINUSE || port !== 0 || attempt === 100)
        throw error;
    }
  }
}

export function closeUdpSockets(sockets: readonly UdpSockets[]): void {
  for (const { fd4, fd6 } of sockets) {
    if (fd4 >= 0) libc.close(fd4);
    if (fd6 >= 0) libc.close(fd6);
  }
}

/** Marks what the sockets send (SO_MARK), for policy routing; 0 takes the mark off. */
export function markUdpSockets(arena: Arena, sockets: readonly UdpSockets[], mark: number): void {
  for (const { fd4, fd6 } of sockets)
    for (const fd of [fd4, fd6])
      if (fd >= 0 && !setOption(arena, fd, SOL_SOCKET, SO_MARK, mark))
        throw new SystemCallError('set the firewall mark (root or CAP_NET_ADMIN is needed)', errno());
}

function setOption(arena: Arena, fd: number, level: number, name: number, value: number): boolean {
  const at = arena.scratch + 48;
  arena.view.setInt32(at, value | 0, true);
  return libc.setsockopt(fd, level, name, arena.address + at, 4) === 0;
}

class Opener {
  readonly #arena: Arena;
  readonly #workers: number;
  readonly #mtuDiscovery: number;
  readonly #fds: number[] = [];

  constructor(arena: Arena, workers: number, mtuDiscovery: number) {
    this.#arena = arena;
    this.#workers = workers;
    this.#mtuDiscovery = mtuDiscovery;
  }

  close(): void {
    for (const fd of this.#fds) libc.close(fd);
  }

  open(port: number, mark: number): { port: number; sockets: UdpSockets[] } {
    const four = this.#openFamily(AF_INET, port);
    const six = this.#openFamily(AF_INET6, four?.port ?? port);
    const chosen = four?.port ?? six?.port;
    if (chosen === undefined) throw new SystemCallError('open a UDP socket', errno());
    const sockets = Array.from({ length: this.#workers }, (_, i) => ({
      fd4: four?.fds[i] ?? -1,
      fd6: six?.fds[i] ?? -1,
    }));
    if (mark !== 0) markUdpSockets(this.#arena, sockets, mark);
    return { port: chosen, sockets };
  }

  /** Undefined where the machine lacks the family. */
  #openFamily(family: number, port: number): { port: number; fds: number[] } | undefined {
    // SO_REUSEPORT would let two devices share a port without a word, so the first bind is made without it.
    const probe = this.#socket(family);
    if (probe === undefined) return undefined;
    const chosen = this.#bind(probe, family, port);
    if (this.#workers === 1) return { port: chosen, fds: [probe] };
    libc.close(probe);
    this.#fds.splice(this.#fds.indexOf(probe), 1);
    const fds: number[] = [];
    for (let i = 0; i < this.#workers; i++) {
      const fd = this.#socket(family);
      if (fd === undefined) throw new SystemCallError('open a UDP socket', errno());
      setOption(this.#arena, fd, SOL_SOCKET, SO_REUSEPORT, 1);
      this.#bind(fd, family, chosen);
      fds.push(fd);
    }
    return { port: chosen, fds };
  }

  #socket(family: number): number | undefined {
    const fd = libc.socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) return undefined;
    this.#fds.push(fd);
    const set = (level: number, name: number, value: number): boolean => setOption(this.#arena, fd, level, name, value);
    if (!set(SOL_SOCKET, SO_RCVBUFFORCE, SOCKET_BUFFER_BYTES)) set(SOL_SOCKET, SO_RCVBUF, SOCKET_BUFFER_BYTES);
    if (!set(SOL_SOCKET, SO_SNDBUFFORCE, SOCKET_BUFFER_BYTES)) set(SOL_SOCKET, SO_SNDBUF, SOCKET_BUFFER_BYTES);
    set(SOL_UDP, UDP_GRO, 1); // older kernels refuse: then every datagram comes alone
    if (family === AF_INET) {
      set(IPPROTO_IP, IP_PKTINFO, 1);
      set(IPPROTO_IP, IP_RECVTOS, 1);
      set(IPPROTO_IP, IP_MTU_DISCOVER, this.#mtuDiscovery);
    } else {
      set(IPPROTO_IPV6, IPV6_V6ONLY, 1);
      set(IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
      set(IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
      set(IPPROTO_IPV6, IPV6_MTU_DISCOVER, this.#mtuDiscovery);
    }
    return fd;
  }

  /** Binds to `port` on every address and returns the port. */
  #bind(fd: number, family: number, port: number): number {
    const arena = this.#arena;
    const at = arena.scratch;
    const bytes = family === AF_INET ? 16 : 28;
    arena.u8.fill(0, at, at + 32);
    arena.view.setUint16(at, family, true);
    arena.view.setUint16(at + 2, port);
    if (libc.bind(fd, arena.address + at, bytes) < 0)
      throw new SystemCallError(`listen on UDP port ${String(port)}`, errno());
    arena.view.setUint32(at + 32, 28, true);
    libc.getsockname(fd, arena.address + at, arena.address + at + 32);
    return arena.view.getUint16(at + 2);
  }
}
