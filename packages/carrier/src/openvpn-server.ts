import { Buffer } from 'node:buffer';
import { createServer, type Server, type Socket } from 'node:net';
import { addressKey } from './address-key.ts';
import { AddressCounts } from './limits.ts';
import { addressOf, listen, listenAll, type CarrierAddress } from './listen.ts';
import { SourceAddresses } from './local-addresses.ts';
import type { CarrierServerStats } from './server.ts';
import { beginsWithReset } from './stream-frames.ts';
import { StreamRelay } from './stream-relay.ts';

export interface OpenVpnTcpServerOptions {
  readonly listen: readonly CarrierAddress[];
  /**
   * Where it takes connections from a web server of this machine: a loopback address. Each begins with a line that says
   * where it comes from.
   */
  readonly behindWeb?: CarrierAddress | undefined;
  /** The gateway's UDP port for OpenVPN on 127.0.0.1. */
  readonly openvpnPort: number;
  readonly limits?: Partial<OpenVpnTcpLimits> | undefined;
}

/** What it takes from the network at most. Durations in milliseconds. */
export interface OpenVpnTcpLimits {
  /** Connections, those that said nothing yet included. */
  readonly connections: number;
  /** From one IPv4 address, or one IPv6 /64. A house or an office shares one. */
  readonly connectionsPerAddress: number;
  /** Until a client's first packet is whole. */
  readonly firstPacketMs: number;
  /** From its first packet until OpenVPN has answered: it answers nobody without a key of its service. */
  readonly answerMs: number;
  /** Without a packet in either direction. */
  readonly idleMs: number;
}

export const OPENVPN_TCP_LIMITS: OpenVpnTcpLimits = {
  connections: 4_000,
  connectionsPerAddress: 64,
  firstPacketMs: 10_000,
  answerMs: 10_000,
  idleMs: 300_000,
};

const SWEEPS = 5;
/** An address in text, a zone too, and the end of the line. */
const MAX_ADDRESS_LINE = 64;
const END_OF_LINE = 10;

interface Connection {
  readonly relay: StreamRelay;
  readonly since: number;
  lastPacketAt: number;
  seen: number;
}

/**
 * The gateway's end of OpenVPN over TCP: takes packets out of their stream and passes them on by UDP on loopback, and back.
 * It has no key, and makes nothing of a connection that does not begin as a client's does.
 */
export class OpenVpnTcpServer {
  #servers: readonly Server[];
  readonly #behindWeb: Server | undefined;
  readonly #options: OpenVpnTcpServerOptions;
  readonly #limits: OpenVpnTcpLimits;
  readonly #counts = new AddressCounts();
  readonly #sockets = new Set<Socket>();
  readonly #connections = new Set<Connection>();
  readonly #localAddresses = new SourceAddresses();
  readonly #timer: NodeJS.Timeout;
  #refused = 0;

  private constructor(options: OpenVpnTcpServerOptions, limits: OpenVpnTcpLimits) {
    this.#options = options;
    this.#limits = limits;
    const create = (welcome: (socket: Socket) => void): Server => {
      const server = createServer({ noDelay: true }, welcome);
      server.maxConnections = 0;
      server.on('drop', () => {
        this.#refused++;
      });
      return server;
    };
    this.#servers = options.listen.map(() =>
      create((socket) => {
        const key = addressKey(socket.remoteAddress ?? '');
        if (this.#count(socket, key)) this.#await(socket, key, Buffer.alloc(0));
      }),
    );
    if (options.behindWeb !== undefined) {
      this.#behindWeb = create((socket) => {
        this.#awaitAddress(socket);
      });
    }
    const interval = Math.max(20, Math.min(limits.answerMs, limits.idleMs) / SWEEPS);
    this.#timer = setInterval(() => {
      this.#sweep(performance.now());
    }, interval);
    this.#timer.unref();
  }

  /** Takes the addresses, and no connection yet: that begins with {@link open}. Throws Node's errors of listening. */
  static async bind(options: OpenVpnTcpServerOptions): Promise<OpenVpnTcpServer> {
    const server = new OpenVpnTcpServer(options, { ...OPENVPN_TCP_LIMITS, ...options.limits });
    try {
      server.#servers = await listenAll(server.#servers, options.listen);
      if (server.#behindWeb !== undefined) await listen(server.#behindWeb, options.behindWeb);
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  get addresses(): CarrierAddress[] {
    return this.#servers.map(addressOf);
  }

  get behindWebAddress(): CarrierAddress | undefined {
    return this.#behindWeb === undefined ? undefined : addressOf(this.#behindWeb);
  }

  get stats(): CarrierServerStats {
    let waitingBytes = 0;
    let dropped = 0;
    for (const { relay } of this.#connections) {
      waitingBytes += relay.waitingBytes;
      dropped += relay.inbound.dropped + relay.outbound.dropped;
    }
    return { tunnels: this.#connections.size, refused: this.#refused, waitingBytes, dropped };
  }

  /** Serves from now on. */
  open(): void {
    for (const server of this.#all()) server.maxConnections = this.#limits.connections;
  }

  async close(): Promise<void> {
    clearInterval(this.#timer);
    const closed = this.#all().map(
      (server) =>
        new Promise<void>((resolve) => {
          if (server.listening) server.close(() => resolve());
          else resolve();
        }),
    );
    for (const { relay } of this.#connections) relay.close('the gateway stops');
    for (const socket of this.#sockets) socket.destroy();
    await Promise.all(closed);
  }

  #all(): Server[] {
    return [...this.#servers, ...(this.#behindWeb === undefined ? [] : [this.#behindWeb])];
  }

  /** False, and the connection is gone, where there are too many from there. */
  #count(socket: Socket, key: string): boolean {
    const { connections, connectionsPerAddress } = this.#limits;
    // Its errors are its own affair.
    socket.on('error', () => undefined);
    if (this.#sockets.size >= connections || !this.#counts.enter(key, connectionsPerAddress)) {
      this.#refused++;
      socket.destroy();
      return false;
    }
    this.#sockets.add(socket);
    socket.once('close', () => {
      this.#sockets.delete(socket);
      this.#counts.leave(key);
    });
    return true;
  }

  /** The line that the web server puts before what the client said. */
  #awaitAddress(socket: Socket): void {
    socket.on('error', () => undefined);
    this.#gather(socket, Buffer.alloc(0), (head) => {
      const end = head.indexOf(END_OF_LINE);
      if (end < 0) return head.length < MAX_ADDRESS_LINE ? 'more' : 'refuse';
      return () => {
        const key = addressKey(head.toString('latin1', 0, end));
        if (this.#count(socket, key)) this.#await(socket, key, head.subarray(end + 1));
      };
    });
  }

  /** The client's first packet; there is nothing for it here before it is whole. */
  #await(socket: Socket, key: string, read: Buffer): void {
    this.#gather(socket, read, (head) => {
      const begins = beginsWithReset(head);
      if (begins === false) return 'refuse';
      if (begins === undefined || head.length < 2 + head.readUInt16BE(0)) return 'more';
      return () => {
        this.#begin(socket, key, head);
      };
    });
  }

  /** Reads until `look` knows what to do; `read` is what was read before. */
  #gather(socket: Socket, read: Buffer, look: (head: Buffer) => 'more' | 'refuse' | (() => void)): void {
    let head = read;
    const timer = setTimeout(() => socket.destroy(), this.#limits.firstPacketMs);
    const settle = (): void => {
      const next = head.length > 0 ? look(head) : 'more';
      if (next === 'more') return;
      clearTimeout(timer);
      socket.off('data', onData).off('close', onClose);
      if (next === 'refuse') socket.destroy();
      else next();
    };
    const onData = (chunk: Buffer): void => {
      head = head.length === 0 ? chunk : Buffer.concat([head, chunk]);
      settle();
    };
    const onClose = (): void => {
      clearTimeout(timer);
    };
    socket.on('data', onData).once('close', onClose);
    settle();
  }

  #begin(socket: Socket, key: string, first: Buffer): void {
    const now = performance.now();
    let connection: Connection | undefined;
    try {
      const relay = new StreamRelay(
        socket,
        {
          localAddress: this.#localAddresses.of(key),
          openvpnPort: this.#options.openvpnPort,
          onClose: () => {
            if (connection !== undefined) this.#connections.delete(connection);
          },
        },
        first,
      );
      // What came behind its first packet may have closed it.
      if (relay.closed) return;
      connection = { relay, since: now, lastPacketAt: now, seen: 0 };
      this.#connections.add(connection);
    } catch {
      // There are no descriptors left: one connection too many, and the others stay.
      this.#refused++;
      socket.destroy();
    }
  }

  #sweep(now: number): void {
    const { answerMs, idleMs } = this.#limits;
    for (const connection of this.#connections) {
      const { relay } = connection;
      const seen = relay.inbound.datagrams + relay.outbound.datagrams;
      if (seen !== connection.seen) connection.lastPacketAt = now;
      connection.seen = seen;
      if (relay.outbound.datagrams === 0 && now - connection.since >= answerMs) relay.close('OpenVPN does not know it');
      else if (now - connection.lastPacketAt >= idleMs) relay.close('idle');
    }
  }
}
