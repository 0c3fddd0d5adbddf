// Sockets as a device has them, and datagrams through them.
import assert from 'node:assert/strict';
import {
  PATH_BYTES,
  PATH_FAMILY,
  PATH_INTERFACE,
  PATH_LOCAL,
  PATH_PORT,
  PATH_REMOTE,
  PATH_SCOPE,
  PATH_TOS,
} from '@sallyport/core';
import {
  closeUdpSockets,
  DatagramReceiver,
  DatagramSender,
  EAGAIN,
  openUdpSockets,
  Poller,
  type Arena,
  type UdpSockets,
} from '@sallyport/io';
import { formatIpAddress, parseIpAddress } from '@sallyport/wireguard';

const ROOM = 65_536;
/** More than any datagram may have. */
const SEND_ROOM = 70_000;

export interface Path {
  readonly remote: string;
  readonly port: number;
  readonly local: string;
  readonly index: number;
  readonly tos: number;
  readonly scope: number;
}

export interface Received extends Path {
  readonly bytes: Uint8Array;
}

/** A device's sockets on one port, and a sender and a receiver for them. */
export class Device {
  readonly arena: Arena;
  readonly port: number;
  readonly sockets: UdpSockets;
  readonly sender: DatagramSender;
  readonly path: number;
  /** Trains that {@link receive} has been given. */
  trains = 0;
  readonly #receiver: DatagramReceiver;
  readonly #poller: Poller;
  readonly #at: number;

  constructor(arena: Arena, canWait = false, dontFragment = false) {
    this.arena = arena;
    const { port, sockets } = openUdpSockets(arena, 0, 1, 0, dontFragment);
    this.port = port;
    this.sockets = sockets[0];
    this.sender = new DatagramSender(arena, arena.allocate(DatagramSender.scratchBytes), canWait);
    this.sender.sockets[0] = this.sockets;
    this.#receiver = new DatagramReceiver(arena, arena.allocate(DatagramReceiver.scratchBytes));
    this.#poller = new Poller(arena, arena.allocate(Poller.scratchBytes(2)));
    this.#poller.watch([this.sockets.fd4, this.sockets.fd6]);
    this.path = arena.allocate(PATH_BYTES);
    this.#at = arena.allocate(SEND_ROOM);
  }

  close(): void {
    closeUdpSockets([this.sockets]);
  }

  /** Sets the path record by which {@link send} sends. */
  aim(remote: string, port: number, local?: string): void {
    const { view, u8 } = this.arena;
    const { path } = this;
    const to = parseIpAddress(remote);
    assert.ok(to !== undefined);
    u8.fill(0, path, path + PATH_BYTES);
    view.setUint16(path + PATH_FAMILY, to.family, true);
    view.setUint16(path + PATH_PORT, port, true);
    u8.set(to.address, path + PATH_REMOTE);
    if (local !== undefined) u8.set(parseIpAddress(local)?.address ?? assert.fail(local), path + PATH_LOCAL);
  }

  /** Sends a train; returns 0 or errno. */
  send(bytes: Uint8Array, segmentSize = bytes.length, ecn = 0): number {
    this.arena.u8.set(bytes, this.#at);
    return this.sender.send(this.#at, bytes.length, segmentSize, this.path, ecn);
  }

  /** Takes datagrams until there have been `count`, or until none comes for a while. */
  receive(count: number): Received[] {
    const { arena } = this;
    const received: Received[] = [];
    const path = arena.scratch;
    while (received.length < count) {
      let any = false;
      for (const fd of [this.sockets.fd4, this.sockets.fd6]) {
        const bytes = this.#receiver.receive(fd, this.#at, ROOM, path);
        if (bytes === -EAGAIN) continue;
        assert.ok(bytes > 0, `receive: ${String(bytes)}`);
        any = true;
        this.trains++;
        const size = this.#receiver.segmentSize;
        for (let offset = 0; offset < bytes; offset += size) {
          const end = Math.min(bytes, offset + size);
          received.push({ bytes: arena.u8.slice(this.#at + offset, this.#at + end), ...readPath(arena, path) });
        }
      }
      if (any) continue;
      this.#poller.wait(5000);
      if (!this.#poller.readable(0) && !this.#poller.readable(1)) break;
    }
    return received;
  }
}

export function readPath({ view, u8, u32 }: Arena, path: number): Path {
  const bytes = view.getUint16(path + PATH_FAMILY, true) === 4 ? 4 : 16;
  const address = (at: number): string => formatIpAddress(u8.slice(at, at + bytes));
  return {
    remote: address(path + PATH_REMOTE),
    port: view.getUint16(path + PATH_PORT, true),
    local: address(path + PATH_LOCAL),
    index: u32[(path + PATH_INTERFACE) >> 2],
    tos: u32[(path + PATH_TOS) >> 2],
    scope: u32[(path + PATH_SCOPE) >> 2],
  };
}
