import {
  forgetLocal,
  LISTENERS,
  PATH_FAMILY,
  PATH_INTERFACE,
  PATH_LISTENER,
  PATH_LOCAL,
  PATH_PORT,
  PATH_REMOTE,
  PATH_SCOPE,
} from '@sallyport/core';
import type { Arena } from './arena.ts';
import {
  EADDRNOTAVAIL,
  EAGAIN,
  EHOSTUNREACH,
  EINTR,
  EINVAL,
  EIO,
  EMSGSIZE,
  ENETUNREACH,
  ENODEV,
  EOPNOTSUPP,
  errno,
  libc,
} from './libc.ts';
import {
  AF_INET,
  AF_INET6,
  CMSG_HEADER,
  CONTROL,
  CONTROL_BYTES,
  FLAGS,
  IOV,
  IOV_COUNT,
  IP_PKTINFO,
  IP_TOS,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_PKTINFO,
  IPV6_TCLASS,
  MSG_TRUNC,
  MSGHDR_BYTES,
  NAME,
  NAME_BYTES,
  readControls,
  readRemote,
  SOCKADDR_ROOM,
  SOL_UDP,
  UDP_SEGMENT,
} from './message-header.ts';
import { NO_SOCKETS, type UdpSockets } from './udp-socket.ts';

const CONTROL_ROOM = 256;

// offsets in the scratch
const MESSAGE = 0;
const VECTOR = MESSAGE + 64;
const ADDRESS = VECTOR + 16;
const CONTROLS = ADDRESS + SOCKADDR_ROOM + 16;
const SCRATCH_BYTES = CONTROLS + CONTROL_ROOM;

const POLLOUT = 4;
/** How long a full socket buffer may hold the packet path up before the datagrams are given up. */
const SEND_PATIENCE_MS = 20;

/** Receives trains of datagrams of equal size (UDP_GRO), and by which path they came. One instance serves one thread. */
export class DatagramReceiver {
  static readonly scratchBytes = SCRATCH_BYTES;
  /** After a receive: the size of each datagram of the train but the last, which may be shorter. */
  segmentSize = 0;
  readonly #arena: Arena;
  readonly #scratch: number;

  constructor(arena: Arena, scratch: number) {
    this.#arena = arena;
    this.#scratch = scratch;
    arena.writePointer(scratch + MESSAGE + NAME, scratch + ADDRESS);
    arena.writePointer(scratch + MESSAGE + IOV, scratch + VECTOR);
    arena.u32[(scratch + MESSAGE + IOV_COUNT) >> 2] = 1;
    arena.writePointer(scratch + MESSAGE + CONTROL, scratch + CONTROLS);
  }

  /**
   * Receives up to `capacity` bytes to `at` and writes the path record `path`, `fd` being of `listener`. Returns the bytes, or minus errno
   * (-EAGAIN where nothing is there, -EMSGSIZE where it was cut off).
   */
  receive(fd: number, at: number, capacity: number, path: number, listener = 0): number {
    const arena = this.#arena;
    const { u32, address } = arena;
    const scratch = this.#scratch;
    const message = (scratch + MESSAGE) >> 2;
    u32[message + (NAME_BYTES >> 2)] = SOCKADDR_ROOM;
    u32[message + (CONTROL_BYTES >> 2)] = CONTROL_ROOM;
    arena.writePointer(scratch + VECTOR, at);
    u32[(scratch + VECTOR + 8) >> 2] = capacity;
    const bytes = libc.recvmsg(fd, address + scratch + MESSAGE, 0);
    if (bytes < 0) return -errno();
    if ((u32[message + (FLAGS >> 2)] & MSG_TRUNC) !== 0) return -EMSGSIZE;
    readRemote(arena, scratch + ADDRESS, path);
    u32[(path + PATH_LISTENER) >> 2] = listener;
    const segmentSize = readControls(arena, scratch + CONTROLS, u32[message + (CONTROL_BYTES >> 2)], path);
    this.segmentSize = segmentSize === 0 ? bytes : segmentSize;
    return bytes;
  }
}

/** Sends trains of datagrams of equal size (UDP_SEGMENT). One instance serves one thread. */
export class DatagramSender {
  static readonly scratchBytes = SCRATCH_BYTES;
  /** Datagrams that could not be sent. */
  failures = 0;
  /** By listener. */
  readonly sockets: UdpSockets[] = Array.from({ length: LISTENERS }, () => NO_SOCKETS);
  readonly #arena: Arena;
  readonly #scratch: number;
  /** Whether the kernel segments for us; found out by trying, for each family. */
  #segments4 = true;
  #segments6 = true;
  readonly #canWait: boolean;
  #patient = false;

  /** `canWait`: whether a full socket buffer may hold the thread up at all; see {@link refresh}. */
  constructor(arena: Arena, scratch: number, canWait: boolean) {
    this.#arena = arena;
    this.#scratch = scratch;
    this.#canWait = canWait;
    arena.writePointer(scratch + MESSAGE + NAME, scratch + ADDRESS);
    arena.writePointer(scratch + MESSAGE + IOV, scratch + VECTOR);
    arena.u32[(scratch + MESSAGE + IOV_COUNT) >> 2] = 1;
  }

  /**
   * Sends `length` bytes at `at` as datagrams of `segmentSize` bytes (the last may be shorter) by the path record
   * `path`, with the ECN bits `ecn` in the outer header. Where the local address of the path has gone, sends again
   * without and forgets it there. Returns 0, or errno with the failed datagrams counted in {@link failures}.
   */
  send(at: number, length: number, segmentSize: number, path: number, ecn: number): number {
    const four = this.#arena.view.getUint16(path + PATH_FAMILY, true) === 4;
    if (length <= segmentSize) return this.#sendSticky(at, length, 0, path, ecn);
    if (four ? this.#segments4 : this.#segments6) {
      const failed = this.#sendSticky(at, length, segmentSize, path, ecn);
      // EMSGSIZE and EINVAL: this path's MTU is below the segment size, and the datagrams have to be fragmented.
      // EIO and EOPNOTSUPP: the interface that they leave by can't.
      if (failed !== EMSGSIZE && failed !== EINVAL && failed !== EIO && failed !== EOPNOTSUPP) return failed;
      if (failed === EIO || failed === EOPNOTSUPP) {
        if (four) this.#segments4 = false;
        else this.#segments6 = false;
      }
      this.failures -= Math.ceil(length / segmentSize);
    }
    let result = 0;
    for (let offset = 0; offset < length; offset += segmentSize) {
      const size = length - offset < segmentSize ? length - offset : segmentSize;
      const failed = this.#sendSticky(at + offset, size, 0, path, ecn);
      if (failed !== 0) result = failed;
    }
    return result;
  }

  #sendSticky(at: number, length: number, segmentSize: number, path: number, ecn: number): number {
    const arena = this.#arena;
    let failed = this.#sendOnce(at, length, segmentSize, path, ecn);
    if (
      // EINVAL about a train says that the path's MTU is too small, on kernels that don't say EMSGSIZE.
      ((failed === EINVAL && segmentSize === 0) ||
        failed === ENETUNREACH ||
        failed === EADDRNOTAVAIL ||
        failed === EHOSTUNREACH ||
        failed === ENODEV) &&
      arena.u32[(path + PATH_LOCAL) >> 2] +
        arena.u32[((path + PATH_LOCAL) >> 2) + 3] +
        arena.u32[(path + PATH_INTERFACE) >> 2] !==
        0
    ) {
      forgetLocal(arena, path);
      failed = this.#sendOnce(at, length, segmentSize, path, ecn);
    }
    if (failed !== 0) this.failures += segmentSize === 0 ? 1 : Math.ceil(length / segmentSize);
    return failed;
  }

  #sendOnce(at: number, length: number, segmentSize: number, path: number, ecn: number): number {
    const arena = this.#arena;
    const { u32, view } = arena;
    const scratch = this.#scratch;
    const message = scratch + MESSAGE;
    const four = view.getUint16(path + PATH_FAMILY, true) === 4;
    const sockets = this.sockets[u32[(path + PATH_LISTENER) >> 2]];
    const fd = four ? sockets.fd4 : sockets.fd6;
    if (fd < 0) return ENETUNREACH;
    this.#writeAddress(path, four);
    arena.writePointer(scratch + VECTOR, at);
    u32[(scratch + VECTOR + 8) >> 2] = length;
    const controls = this.#writeControls(path, four, segmentSize, ecn);
    if (controls === 0) {
      u32[(message + CONTROL) >> 2] = 0;
      u32[(message + CONTROL + 4) >> 2] = 0;
    } else arena.writePointer(message + CONTROL, scratch + CONTROLS);
    u32[(message + CONTROL_BYTES) >> 2] = controls;
    if (libc.sendmsg(fd, arena.address + message, 0) >= 0) return 0;
    let failed = errno();
    if (failed === EINTR || (failed === EAGAIN && this.#waitUntilWritable(fd))) {
      failed = libc.sendmsg(fd, arena.address + message, 0) >= 0 ? 0 : errno();
    }
    return failed;
  }

  /** A new turn: a full socket buffer may hold it up once. */
  refresh(): void {
    this.#patient = this.#canWait;
  }

  /** Back-pressure: a full socket buffer stops the reading of packets, for a bounded time a turn. */
  #waitUntilWritable(fd: number): boolean {
    if (!this.#patient) return false;
    const arena = this.#arena;
    const at = this.#scratch + MSGHDR_BYTES; // 8 spare bytes between message and vector
    arena.i32[at >> 2] = fd;
    arena.u32[(at + 4) >> 2] = POLLOUT;
    this.#patient = libc.poll(arena.address + at, 1, SEND_PATIENCE_MS) > 0;
    return this.#patient;
  }

  #writeAddress(path: number, four: boolean): void {
    const { u32, view } = this.#arena;
    const to = this.#scratch + ADDRESS;
    view.setUint16(to + 2, view.getUint16(path + PATH_PORT, true));
    if (four) {
      view.setUint16(to, AF_INET, true);
      u32[(to + 4) >> 2] = u32[(path + PATH_REMOTE) >> 2];
      u32[(to + 8) >> 2] = 0;
      u32[(to + 12) >> 2] = 0;
    } else {
      view.setUint16(to, AF_INET6, true);
      u32[(to + 4) >> 2] = 0;
      for (let i = 0; i < 4; i++) u32[((to + 8) >> 2) + i] = u32[((path + PATH_REMOTE) >> 2) + i];
      u32[(to + 24) >> 2] = u32[(path + PATH_SCOPE) >> 2];
    }
    u32[(this.#scratch + MESSAGE + NAME_BYTES) >> 2] = four ? 16 : 28;
  }

  /** Writes the control messages and returns their length. */
  #writeControls(path: number, four: boolean, segmentSize: number, ecn: number): number {
    const { u32, view } = this.#arena;
    const start = this.#scratch + CONTROLS;
    let at = start;
    if (segmentSize !== 0) {
      at = this.#control(at, SOL_UDP, UDP_SEGMENT, 2);
      view.setUint16(at - 8, segmentSize, true);
    }
    const local = (path + PATH_LOCAL) >> 2;
    const index = u32[(path + PATH_INTERFACE) >> 2];
    if (four && u32[local] !== 0) {
      // The address decides, not the interface: on a multi-homed host the route back may leave by another one.
      at = this.#control(at, IPPROTO_IP, IP_PKTINFO, 12);
      const data = (at - 16) >> 2;
      u32[data] = 0;
      u32[data + 1] = u32[local];
      u32[data + 2] = 0;
    } else if (!four && (u32[local] | u32[local + 1] | u32[local + 2] | u32[local + 3]) !== 0) {
      at = this.#control(at, IPPROTO_IPV6, IPV6_PKTINFO, 20);
      const data = (at - 24) >> 2;
      for (let i = 0; i < 4; i++) u32[data + i] = u32[local + i];
      u32[data + 4] = u32[(path + PATH_SCOPE) >> 2] !== 0 ? index : 0;
    }
    if (ecn !== 0) {
      at = this.#control(at, four ? IPPROTO_IP : IPPROTO_IPV6, four ? IP_TOS : IPV6_TCLASS, 4);
      u32[(at - 8) >> 2] = ecn;
    }
    return at - start;
  }

  /** Writes a control message's header with room for `bytes` of data, and returns where the next one begins. */
  #control(at: number, level: number, type: number, bytes: number): number {
    const { u32 } = this.#arena;
    u32[at >> 2] = CMSG_HEADER + bytes;
    u32[(at + 4) >> 2] = 0;
    u32[(at + 8) >> 2] = level;
    u32[(at + 12) >> 2] = type;
    return at + CMSG_HEADER + ((bytes + 7) & -8);
  }
}
