import { PATH_BYTES, PATH_LISTENER } from '@sallyport/core';
import type { Arena } from './arena.ts';
import { ENOSYS, errno, libc } from './libc.ts';
import {
  CMSG_HEADER,
  CONTROL,
  CONTROL_BYTES,
  FLAGS,
  IOV,
  IOV_COUNT,
  MSG_TRUNC,
  MSGHDR_BYTES,
  NAME,
  NAME_BYTES,
  readControls,
  readRemote,
  SOCKADDR_ROOM,
} from './message-header.ts';

/** Receives in one call, at the most. */
const MAX_COUNT = 64;
/** What one call should bring at the most: more than this and what was received first leaves the processor's cache. */
const WANTED_BYTES = 8 * 65_536;
const SLOT_BYTES = 65_536;
/** Three cache lines more than a slot: with a power of two all slots would compete for the same lines. */
const SLOT_STRIDE = SLOT_BYTES + 192;

/** struct mmsghdr: a msghdr, then the unsigned int that says how many bytes came. */
const MMSGHDR_BYTES = 64;
const IOVEC_BYTES = 16;
/** UDP_GRO, IP_TOS and IP_PKTINFO, or IPv6's, take 88 bytes. */
const CONTROL_ROOM = 128;

// offsets in the scratch
const VECTORS = MAX_COUNT * MMSGHDR_BYTES;
const ADDRESSES = VECTORS + MAX_COUNT * IOVEC_BYTES;
const CONTROLS = ADDRESSES + MAX_COUNT * SOCKADDR_ROOM;
const PATHS = CONTROLS + MAX_COUNT * CONTROL_ROOM;

type ReceiveMany = typeof libc.recvmmsg;

/**
 * Receives as many datagrams, or trains of them (UDP_GRO), as wait, in one system call (recvmmsg), and by which path each
 * came. Where the kernel has no such call it takes them one by one. One instance serves one thread.
 */
export class DatagramBatchReceiver {
  static readonly maxCount = MAX_COUNT;
  static readonly scratchBytes = PATHS + MAX_COUNT * PATH_BYTES;
  static readonly areaBytes = MAX_COUNT * SLOT_STRIDE;

  // What take() says.
  /** Where it lies. */
  at = 0;
  /** All its bytes; 0 where it is empty or was cut off. */
  length = 0;
  /** The size of each datagram of the train but the last, which may be shorter. 0 where `length` is. */
  segmentSize = 0;
  /** The path record. Those that came by one path, one behind the other, share one. It stays until the next receive. */
  path = 0;

  readonly #arena: Arena;
  readonly #scratch: number;
  readonly #area: number;
  readonly #receiveMany: ReceiveMany;
  #many = true;
  /** How many to ask for. */
  #wanted = MAX_COUNT;
  /** The headers that the last call has changed. */
  #used = MAX_COUNT;
  #listener = 0;
  #train = 0;

  /** `scratch` and `area` have {@link scratchBytes} and {@link areaBytes}, zeroed. */
  constructor(arena: Arena, scratch: number, area: number, receiveMany: ReceiveMany = libc.recvmmsg) {
    this.#arena = arena;
    this.#scratch = scratch;
    this.#area = area;
    this.#receiveMany = receiveMany;
    for (let i = 0; i < MAX_COUNT; i++) {
      const header = scratch + i * MMSGHDR_BYTES;
      const vector = scratch + VECTORS + i * IOVEC_BYTES;
      arena.writePointer(header + NAME, scratch + ADDRESSES + i * SOCKADDR_ROOM);
      arena.writePointer(header + IOV, vector);
      arena.u32[(header + IOV_COUNT) >> 2] = 1;
      arena.writePointer(header + CONTROL, scratch + CONTROLS + i * CONTROL_ROOM);
      arena.writePointer(vector, area + i * SLOT_STRIDE);
      arena.u32[(vector + 8) >> 2] = SLOT_BYTES;
    }
  }

  /**
   * Receives what waits at `fd`, which is of `listener` and does not block, and returns how many: {@link take} them in
   * order, each once. Or minus errno, -EAGAIN where nothing is there. What the last call brought is gone.
   */
  receive(fd: number, listener = 0): number {
    const { u32, address } = this.#arena;
    const scratch = this.#scratch;
    for (let i = 0; i < this.#used; i++) {
      const header = (scratch + i * MMSGHDR_BYTES) >> 2;
      u32[header + (NAME_BYTES >> 2)] = SOCKADDR_ROOM;
      u32[header + (CONTROL_BYTES >> 2)] = CONTROL_ROOM;
    }
    this.#used = 0;
    this.#listener = listener;
    let count = this.#many ? this.#receiveMany(fd, address + scratch, this.#wanted, 0, 0) : this.#receiveSingly(fd);
    if (count < 0) {
      const failed = errno();
      if (!this.#many || failed !== ENOSYS) return -failed;
      this.#many = false;
      count = this.#receiveSingly(fd);
      if (count < 0) return -errno();
    }
    this.#used = count;
    this.#chooseWanted(count);
    return count;
  }

  #receiveSingly(fd: number): number {
    const { u32, address } = this.#arena;
    for (let i = 0; i < this.#wanted; i++) {
      const header = this.#scratch + i * MMSGHDR_BYTES;
      const bytes = libc.recvmsg(fd, address + header, 0);
      if (bytes < 0) return i === 0 ? bytes : i;
      u32[(header + MSGHDR_BYTES) >> 2] = bytes;
    }
    return this.#wanted;
  }

  /** Few where trains come, many where datagrams come alone: about as many bytes. */
  #chooseWanted(count: number): void {
    const { u32 } = this.#arena;
    let bytes = 0;
    for (let i = 0; i < count; i++) bytes += u32[(this.#scratch + i * MMSGHDR_BYTES + MSGHDR_BYTES) >> 2];
    const wanted = bytes === 0 ? MAX_COUNT : Math.ceil((WANTED_BYTES * count) / bytes);
    this.#wanted = wanted < MAX_COUNT ? wanted : MAX_COUNT;
  }

  /** Says what the `i`-th is. */
  take(i: number): void {
    const arena = this.#arena;
    const { u32 } = arena;
    const header = (this.#scratch + i * MMSGHDR_BYTES) >> 2;
    if (i === 0 || !this.#samePath(i - 1, i)) {
      this.path = this.#scratch + PATHS + i * PATH_BYTES;
      readRemote(arena, this.#scratch + ADDRESSES + i * SOCKADDR_ROOM, this.path);
      u32[(this.path + PATH_LISTENER) >> 2] = this.#listener;
      const controls = u32[header + (CONTROL_BYTES >> 2)];
      this.#train = readControls(arena, this.#scratch + CONTROLS + i * CONTROL_ROOM, controls, this.path);
    }
    this.at = this.#area + i * SLOT_STRIDE;
    this.length = (u32[header + (FLAGS >> 2)] & MSG_TRUNC) === 0 ? u32[header + (MSGHDR_BYTES >> 2)] : 0;
    this.segmentSize = this.#train === 0 || this.length === 0 ? this.length : this.#train;
  }

  /** Whether two came alike: from the same address, and with the same control messages, that of the train's size too. */
  #samePath(a: number, b: number): boolean {
    const { u32 } = this.#arena;
    const scratch = this.#scratch;
    const first = (scratch + a * MMSGHDR_BYTES) >> 2;
    const second = (scratch + b * MMSGHDR_BYTES) >> 2;
    const address = u32[first + (NAME_BYTES >> 2)];
    const controls = u32[first + (CONTROL_BYTES >> 2)];
    if (u32[second + (NAME_BYTES >> 2)] !== address || u32[second + (CONTROL_BYTES >> 2)] !== controls) return false;
    const addresses = scratch + ADDRESSES;
    if (!this.#same(addresses + a * SOCKADDR_ROOM, addresses + b * SOCKADDR_ROOM, address)) return false;
    // One after the other: the kernel does not write what is between them.
    let offset = 0;
    while (offset < controls) {
      const control = scratch + CONTROLS + offset;
      const bytes = u32[(control + a * CONTROL_ROOM) >> 2];
      if (bytes < CMSG_HEADER) return false;
      if (!this.#same(control + a * CONTROL_ROOM, control + b * CONTROL_ROOM, bytes)) return false;
      offset += (bytes + 7) & -8;
    }
    return true;
  }

  /** Whether `bytes` bytes at two places, both aligned to 4, are the same. */
  #same(a: number, b: number, bytes: number): boolean {
    const { u8, u32 } = this.#arena;
    const end = bytes >> 2;
    for (let i = 0; i < end; i++) if (u32[(a >> 2) + i] !== u32[(b >> 2) + i]) return false;
    for (let i = end << 2; i < bytes; i++) if (u8[a + i] !== u8[b + i]) return false;
    return true;
  }
}
