import type { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import { Backlog } from './backlog.ts';
import { openLoopbackSocket, type LoopbackSocket } from './loopback-udp.ts';
import { countDatagrams } from './message.ts';
import type { Traffic } from './relay.ts';
import { StreamFrames } from './stream-frames.ts';

export interface StreamRelayOptions {
  /** A number, in 127.0.0.0/8. */
  readonly localAddress: number;
  /** The UDP port of OpenVPN on 127.0.0.1; 0: to whom the first datagram comes from. */
  readonly openvpnPort: number;
  /** OpenVPN has sent something: packets, with their lengths before them. */
  readonly onAnswer?: ((packets: Buffer) => void) | undefined;
  /** Once, when the connection has ended, whoever ended it. */
  readonly onClose: (reason: string) => void;
}

/** One connection: OpenVPN over TCP on the one side, a UDP socket towards the OpenVPN of this machine on the other. */
export class StreamRelay {
  readonly port: number;
  /** From the network to the UDP port. */
  readonly inbound: Traffic = { datagrams: 0, bytes: 0, dropped: 0 };
  /** From the UDP port to the network. */
  readonly outbound: Traffic = { datagrams: 0, bytes: 0, dropped: 0 };
  readonly #socket: Socket;
  readonly #udp: LoopbackSocket;
  readonly #frames = new StreamFrames();
  readonly #backlog = new Backlog();
  readonly #onClose: (reason: string) => void;
  #closed = false;

  /** `first` is what was read from the socket already. Throws a SystemCallError, and leaves the socket to the caller then. */
  constructor(socket: Socket, { localAddress, openvpnPort, onAnswer, onClose }: StreamRelayOptions, first?: Buffer) {
    this.#socket = socket;
    this.#onClose = onClose;
    this.#udp = openLoopbackSocket(localAddress, openvpnPort, {
      onMessage: (message, datagrams) => {
        onAnswer?.(message);
        this.#send(message, datagrams);
      },
    });
    this.port = this.#udp.port;
    socket
      .on('data', (chunk: Buffer) => {
        this.#receive(chunk);
      })
      .on('error', (error) => {
        this.close(error.message);
      })
      .on('close', () => {
        this.close('closed by the other side');
      });
    if (first !== undefined) this.#receive(first);
  }

  get closed(): boolean {
    return this.#closed;
  }

  get waitingBytes(): number {
    return this.#socket.writableLength;
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#udp.close();
    this.#socket.destroy();
    this.#onClose(reason);
  }

  /** A message of loopback-udp is a piece of the stream as it is. */
  #send(message: Buffer, datagrams: number): void {
    const { outbound } = this;
    const now = performance.now();
    if (this.#backlog.isLate(now, this.#socket.writableLength)) {
      outbound.dropped += datagrams;
      return;
    }
    outbound.datagrams += datagrams;
    outbound.bytes += message.length;
    this.#backlog.add(now);
    this.#socket.write(message, this.#backlog.onHandedOver);
  }

  #receive(chunk: Buffer): void {
    if (this.#closed) return;
    const packets = this.#frames.push(chunk);
    if (packets === undefined) return;
    if (packets === null) {
      this.close('this is not OpenVPN');
      return;
    }
    const { inbound } = this;
    const sent = this.#udp.send(packets);
    inbound.datagrams += sent;
    inbound.dropped += countDatagrams(packets) - sent;
    inbound.bytes += packets.length;
  }
}
