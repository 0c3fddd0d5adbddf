import type { Buffer } from 'node:buffer';
import type { RawData, WebSocket } from 'ws';
import { Backlog } from './backlog.ts';
import { openLoopbackSocket, type LoopbackSocket } from './loopback-udp.ts';
import { countDatagrams, LENGTH_BYTES } from './message.ts';

/** Answers to pings are dropped before they pile up behind a peer that reads nothing. */
const MAX_WAITING_FOR_PONG = 16 * 1024;

const UNSUPPORTED_DATA = 1003;
const PROTOCOL_ERROR = 1002;

export interface Traffic {
  datagrams: number;
  bytes: number;
  /** Datagrams that came faster than they could be passed on. */
  dropped: number;
}

export interface RelayOptions {
  /** A number, in 127.0.0.0/8. */
  readonly localAddress: number;
  /** The port of the WireGuard device; 0: to whom the first datagram comes from. */
  readonly wireguardPort: number;
  /** The WireGuard device has sent something: the first byte of the first datagram, which is its type. */
  readonly onAnswer?: ((type: number | undefined) => void) | undefined;
  /** Once, when the connection has ended, whoever ended it. */
  readonly onClose: (reason: string) => void;
}

/** One connection: a WebSocket on the one side, a UDP socket towards the WireGuard device of this machine on the other. */
export class Relay {
  readonly port: number;
  /** From the network to the WireGuard device. */
  readonly inbound: Traffic = { datagrams: 0, bytes: 0, dropped: 0 };
  /** From the WireGuard device to the network. */
  readonly outbound: Traffic = { datagrams: 0, bytes: 0, dropped: 0 };
  /** Whether anything, a pong too, came by the WebSocket since this was last set to false. */
  heard = true;
  readonly #websocket: WebSocket;
  readonly #udp: LoopbackSocket;
  readonly #onClose: (reason: string) => void;
  readonly #backlog = new Backlog();
  #closed = false;

  /** Throws a SystemCallError, and leaves the WebSocket to the caller then. */
  constructor(websocket: WebSocket, { localAddress, wireguardPort, onAnswer, onClose }: RelayOptions) {
    this.#websocket = websocket;
    this.#onClose = onClose;
    this.#udp = openLoopbackSocket(localAddress, wireguardPort, {
      onMessage: (message, datagrams) => {
        onAnswer?.(message[LENGTH_BYTES]);
        this.#send(message, datagrams);
      },
    });
    this.port = this.#udp.port;
    websocket.on('message', (data: RawData, isBinary: boolean) => {
      this.heard = true;
      // The library's default: a message is one Buffer.
      if (isBinary) this.#receive(data as Buffer);
      else websocket.close(UNSUPPORTED_DATA);
    });
    websocket.on('ping', (data: Buffer) => {
      this.heard = true;
      if (websocket.bufferedAmount < MAX_WAITING_FOR_PONG) websocket.pong(data);
    });
    websocket.on('pong', () => {
      this.heard = true;
    });
    websocket.on('error', (error) => {
      this.close(error.message);
    });
    websocket.on('close', (code: number) => {
      this.close(`closed by the other side (${String(code)})`);
    });
  }

  get waitingBytes(): number {
    return this.#websocket.bufferedAmount;
  }

  ping(): void {
    if (this.#websocket.bufferedAmount < MAX_WAITING_FOR_PONG) this.#websocket.ping();
  }

  close(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#udp.close();
    // A closing handshake would wait for a peer that may be gone.
    this.#websocket.terminate();
    this.#onClose(reason);
  }

  #send(message: Buffer, datagrams: number): void {
    const { outbound } = this;
    const now = performance.now();
    if (this.#backlog.isLate(now, this.#websocket.bufferedAmount)) {
      outbound.dropped += datagrams;
      return;
    }
    outbound.datagrams += datagrams;
    outbound.bytes += message.length;
    this.#backlog.add(now);
    this.#websocket.send(message, this.#backlog.onHandedOver);
  }

  #receive(message: Buffer): void {
    if (this.#closed) return;
    const { inbound } = this;
    const count = countDatagrams(message);
    if (count === 0) {
      this.#websocket.close(PROTOCOL_ERROR);
      return;
    }
    const sent = this.#udp.send(message);
    inbound.datagrams += sent;
    inbound.dropped += count - sent;
    inbound.bytes += message.length;
  }
}
