/*
 * UDP between this process and WireGuard's port on the same machine: trains by UDP_GRO and UDP_SEGMENT, one
 * system call for up to 64 datagrams, where Node's own dgram takes one for each.
 */
import { Buffer } from 'node:buffer';
import { PATH_BYTES, PATH_FAMILY, PATH_PORT, PATH_REMOTE } from '@sallyport/core';
import { Arena, DatagramReceiver, DatagramSender, libc, Readiness } from '@sallyport/io';
import { LOOPBACK, openLoopback } from './loopback-socket.ts';
import { appendTrain, encodedBytes, gatherTrain, MAX_MESSAGE_BYTES, MAX_TRAIN_BYTES } from './message.ts';

/** Holds what a WireGuard worker sends in one go while this process is busy; without privileges the kernel gives less. */
const RECEIVE_BUFFER_BYTES = 4 * 1024 * 1024;

/** One train at most; the kernel's own limit is the same. */
const RECEIVE_ROOM = 65_536;
/** Trains from one socket before the others have their turn. */
const TRAINS_A_TURN = 8;

export interface UdpReceiver {
  /** A message of datagrams that the WireGuard device sent; its bytes are the receiver's. */
  onMessage(message: Buffer, datagrams: number): void;
}

/** A socket on a loopback address. */
export interface LoopbackSocket {
  readonly port: number;
  /**
   * Sends the datagrams of a whole message to the WireGuard device, and returns how many of them left: fewer where the
   * device does not keep up.
   */
  send(message: Uint8Array): number;
  close(): void;
}

let shared: LoopbackUdp | undefined;

/**
 * Opens a socket on `localAddress` (a number, in 127.0.0.0/8) and a port that the kernel chooses. It talks to
 * 127.0.0.1:`peerPort` alone; 0: to whom the first datagram comes from. Throws a SystemCallError.
 */
export function openLoopbackSocket(localAddress: number, peerPort: number, receiver: UdpReceiver): LoopbackSocket {
  shared ??= new LoopbackUdp();
  return shared.open(localAddress, peerPort, receiver);
}

/** Memory and scratch for all sockets of the process: they have their turns one after the other. */
class LoopbackUdp {
  readonly arena = Arena.create(6 * 65_536);
  readonly bytes = Buffer.from(this.arena.u8.buffer);
  readonly receiver = new DatagramReceiver(this.arena, this.arena.allocate(DatagramReceiver.scratchBytes));
  readonly sender = new DatagramSender(this.arena, this.arena.allocate(DatagramSender.scratchBytes), false);
  readonly readiness = new Readiness(this.arena, this.arena.allocate(Readiness.scratchBytes));
  /** Where a datagram came from, and where one goes. */
  readonly source = this.arena.allocate(PATH_BYTES);
  readonly destination = this.arena.allocate(PATH_BYTES);
  readonly received = this.arena.allocate(RECEIVE_ROOM);
  readonly message = this.arena.allocate(MAX_MESSAGE_BYTES);
  readonly outgoing = this.arena.allocate(MAX_TRAIN_BYTES);
  readonly train = { bytes: 0, segmentSize: 0, datagrams: 0, next: 0 };

  constructor() {
    const { view } = this.arena;
    view.setUint16(this.destination + PATH_FAMILY, 4, true);
    view.setUint32(this.destination + PATH_REMOTE, LOOPBACK);
  }

  open(localAddress: number, peerPort: number, receiver: UdpReceiver): LoopbackSocket {
    const { fd, port } = openLoopback(this.arena, localAddress, RECEIVE_BUFFER_BYTES);
    try {
      return new Socket(this, fd, port, peerPort, receiver);
    } catch (error) {
      libc.close(fd);
      throw error;
    }
  }
}

class Socket implements LoopbackSocket {
  readonly port: number;
  readonly #udp: LoopbackUdp;
  readonly #receiver: UdpReceiver;
  #peerPort: number;
  #fd: number;

  constructor(udp: LoopbackUdp, fd: number, port: number, peerPort: number, receiver: UdpReceiver) {
    this.port = port;
    this.#udp = udp;
    this.#fd = fd;
    this.#peerPort = peerPort;
    this.#receiver = receiver;
    udp.readiness.add(fd, () => {
      this.#drain();
    });
  }

  send(message: Uint8Array): number {
    const { arena, sender, destination, outgoing, train, bytes } = this.#udp;
    if (this.#fd < 0 || this.#peerPort === 0) return 0;
    arena.view.setUint16(destination + PATH_PORT, this.#peerPort, true);
    sender.sockets[0] = { fd4: this.#fd, fd6: -1 };
    let sent = 0;
    for (let at = 0; at < message.length; at = train.next) {
      gatherTrain(message, at, bytes, outgoing, train);
      if (train.bytes > 0 && sender.send(outgoing, train.bytes, train.segmentSize, destination, 0) === 0)
        sent += train.datagrams;
    }
    return sent;
  }

  #drain(): void {
    const { receiver, received, source, message, bytes } = this.#udp;
    let length = 0;
    let datagrams = 0;
    for (let turn = 0; turn < TRAINS_A_TURN; turn++) {
      const got = receiver.receive(this.#fd, received, RECEIVE_ROOM, source);
      // Nothing more, or an error that the socket has told of now.
      if (got < 0) break;
      const { segmentSize } = receiver;
      if (got === 0 || segmentSize === 0 || !this.#isFromPeer()) continue;
      if (length + encodedBytes(got, segmentSize) > MAX_MESSAGE_BYTES) {
        this.#flush(length, datagrams);
        // That may have closed it.
        if (this.#fd < 0) return;
        length = 0;
        datagrams = 0;
      }
      if (encodedBytes(got, segmentSize) > MAX_MESSAGE_BYTES) continue;
      length = appendTrain(bytes, message + length, bytes, received, got, segmentSize) - message;
      datagrams += Math.ceil(got / segmentSize);
    }
    if (length > 0) this.#flush(length, datagrams);
  }

  #flush(length: number, datagrams: number): void {
    const { bytes, message } = this.#udp;
    const copy = Buffer.allocUnsafeSlow(length);
    bytes.copy(copy, 0, message, message + length);
    this.#receiver.onMessage(copy, datagrams);
  }

  /** Every program of the machine can send to a loopback address. */
  #isFromPeer(): boolean {
    const { view } = this.#udp.arena;
    const { source } = this.#udp;
    if (view.getUint16(source + PATH_FAMILY, true) !== 4 || view.getUint32(source + PATH_REMOTE) !== LOOPBACK)
      return false;
    const port = view.getUint16(source + PATH_PORT, true);
    if (this.#peerPort === 0) this.#peerPort = port;
    return port === this.#peerPort;
  }

  close(): void {
    if (this.#fd < 0) return;
    this.#udp.readiness.remove(this.#fd);
    libc.close(this.#fd);
    this.#fd = -1;
  }
}
