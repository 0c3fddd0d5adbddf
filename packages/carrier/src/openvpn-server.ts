import { Buffer } from 'node:buffer';
import { createServer, type Server, type Socket } from 'node:net';
import { addressKey, plainAddress } from './address-key.ts';
import { addressOf, BACKLOG, listen, listenAll, type CarrierAddress } from './listen.ts';
import { addressText, SourceAddresses } from './local-addresses.ts';
import { Places, type Occupant } from './places.ts';
import type { CarrierServerStats } from './server.ts';
import { beginsWithReset } from './stream-frames.ts';
import { StreamRelays, type StreamRelay } from './stream-relays.ts';

export interface OpenVpnTcpServerOptions {
  readonly listen: readonly CarrierAddress[];
  /**
   * Where it takes connections from a web server of this machine: a loopback address. Each begins with a line that says
   * where it comes from.
   */
  readonly behindWeb?: CarrierAddress | undefined;
  /** The gateway's UDP port for OpenVPN on 127.0.0.1. */
  readonly openvpnPort: number;
  /**
   * OpenVPN has answered a client, which it knows as `local`, 127.x.y.z:port: where that one comes from. Null when the
   * connection has ended.
   */
  readonly onSource?: ((local: string, address: string | null) => void) | undefined;
  readonly limits?: Partial<OpenVpnTcpLimits> | undefined;
}

/** What it takes from the network at most. Durations in milliseconds. */
export interface OpenVpnTcpLimits {
  /** Connections, those that said nothing yet included. */
  readonly connections: number;
  /** From one IPv4 address, or one IPv6 /64. A house or an office shares one. */
  readonly connectionsPerAddress: number;
  /** From one IPv4 /24, or one IPv6 /48, of which one customer of a network can have all addresses. */
  readonly connectionsPerNetwork: number;
  /** Until a client's first packet is whole. */
  readonly firstPacketMs: number;
  /** From its first packet until OpenVPN has answered: it answers nobody without a key of its service. */
  readonly answerMs: number;
  /** From its first packet until it is let in. */
  readonly loginMs: number;
  /**
   * Without a packet of OpenVPN's data channel from the gateway, which pings whoever is in. What comes from the network is
   * no sign of life, as anybody can send it.
   */
  readonly idleMs: number;
}

export const OPENVPN_TCP_LIMITS: OpenVpnTcpLimits = {
  connections: 4_000,
  connectionsPerAddress: 64,
  connectionsPerNetwork: 256,
  firstPacketMs: 5_000,
  // A first packet that got lost on loopback is sent again after two.
  answerMs: 5_000,
  // A key exchange has a minute, and a login in a browser five more.
  loginMs: 390_000,
  // Six pings.
  idleMs: 60_000,
};

const SWEEPS = 5;
/** An address in text, a zone too, and the end of the line. */
const MAX_ADDRESS_LINE = 64;
const END_OF_LINE = 10;

/** Connections that are ending while others have their places. */
const ENDING = 256;

interface Connection extends Occupant {
  readonly relay: StreamRelay;
  readonly since: number;
  answered: boolean;
  /** When OpenVPN last sent a packet of the data channel; undefined: the client isn't in. */
  lastDataAt: number | undefined;
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
  readonly #places: Places;
  readonly #connections = new Set<Connection>();
  readonly #relays: StreamRelays;
  readonly #localAddresses = new SourceAddresses();
  readonly #timer: NodeJS.Timeout;

  private constructor(options: OpenVpnTcpServerOptions, limits: OpenVpnTcpLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#places = new Places(limits);
    this.#relays = new StreamRelays(limits.connections + ENDING, (error) => {
      // The process ends by that, and whoever keeps it running starts it again.
      throw error;
    });
    const create = (welcome: (socket: Socket) => void): Server => {
      const server = createServer({ noDelay: true }, welcome);
      server.maxConnections = 0;
      server.on('drop', () => {
        this.#places.countRefused();
      });
      return server;
    };
    this.#servers = options.listen.map(() =>
      create((socket) => {
        const address = socket.remoteAddress ?? '';
        if (this.#enter(socket, address)) this.#await(socket, address, Buffer.alloc(0));
      }),
    );
    if (options.behindWeb !== undefined) {
      this.#behindWeb = create((socket) => {
        this.#awaitAddress(socket);
      });
    }
    const interval = Math.max(20, Math.min(limits.answerMs, limits.loginMs, limits.idleMs) / SWEEPS);
    this.#timer = setInterval(() => {
      this.#sweep(performance.now());
    }, interval);
    this.#timer.unref();
  }

  /**
   * Takes the addresses, and no connection yet: that begins with {@link open}, so that the process can give up its
   * privileges in between. Throws Node's errors of listening.
   */
  static async bind(options: OpenVpnTcpServerOptions): Promise<OpenVpnTcpServer> {
    const server = new OpenVpnTcpServer(options, { ...OPENVPN_TCP_LIMITS, ...options.limits });
    try {
      server.#servers = await listenAll(server.#servers, options.listen);
      if (server.#behindWeb !== undefined) await listen(server.#behindWeb, options.behindWeb);
      await server.#relays.ready;
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
      dropped += relay.dropped;
    }
    return { tunnels: this.#connections.size, refused: this.#places.refused, waitingBytes, dropped };
  }

  /** Serves from now on. */
  open(): void {
    // More than there are places: who comes then takes that of one who waits.
    for (const server of this.#all()) server.maxConnections = this.#limits.connections + BACKLOG;
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
    this.#places.closeAll();
    await Promise.all([...closed, this.#relays.close()]);
  }

  #all(): Server[] {
    return [...this.#servers, ...(this.#behindWeb === undefined ? [] : [this.#behindWeb])];
  }

  /** False, and the connection is gone, where there are too many from there. */
  #enter(socket: Socket, address: string): boolean {
    // Its errors are its own affair.
    socket.on('error', () => undefined);
    return this.#places.enter(socket, addressKey(address));
  }

  /** The line that the web server puts before what the client said. */
  #awaitAddress(socket: Socket): void {
    socket.on('error', () => undefined);
    this.#gather(socket, Buffer.alloc(0), (head) => {
      const end = head.indexOf(END_OF_LINE);
      if (end < 0) return head.length < MAX_ADDRESS_LINE ? 'more' : 'refuse';
      return () => {
        const address = head.toString('latin1', 0, end);
        if (this.#enter(socket, address)) this.#await(socket, address, head.subarray(end + 1));
      };
    });
  }

  /** The client's first packet; there is nothing for it here before it is whole. */
  #await(socket: Socket, address: string, read: Buffer): void {
    this.#gather(socket, read, (head) => {
      const begins = beginsWithReset(head);
      if (begins === false) return 'refuse';
      if (begins === undefined || head.length < 2 + head.readUInt16BE(0)) return 'more';
      return () => {
        this.#begin(socket, address, head);
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

  #begin(socket: Socket, address: string, first: Buffer): void {
    const localAddress = this.#localAddresses.of(addressKey(address));
    const { openvpnPort, onSource } = this.#options;
    const local = (): string => `${addressText(localAddress)}:${String(relay.port)}`;
    let relay: StreamRelay;
    try {
      relay = this.#relays.open(socket, first, {
        localAddress,
        openvpnPort,
        onAnswer: () => {
          connection.answered = true;
          const source = plainAddress(address);
          if (source !== undefined) onSource?.(local(), source);
        },
        onData: () => {
          connection.lastDataAt = performance.now();
          this.#places.keep(connection);
        },
        onClose: () => {
          this.#connections.delete(connection);
          this.#places.leave(connection);
          if (connection.answered) onSource?.(local(), null);
        },
      });
    } catch {
      // There are no descriptors left: one connection too many, and the others stay.
      this.#places.refuse(socket);
      return;
    }
    const connection: Connection = {
      relay,
      since: performance.now(),
      answered: false,
      lastDataAt: undefined,
      destroy: () => {
        relay.close('its place is needed');
      },
    };
    this.#places.pass(socket, connection);
    this.#connections.add(connection);
  }

  #sweep(now: number): void {
    const { answerMs, loginMs, idleMs } = this.#limits;
    for (const connection of this.#connections) {
      const { relay, since, answered, lastDataAt } = connection;
      if (relay.takeDataSeen()) connection.lastDataAt = now;
      else if (lastDataAt !== undefined) {
        if (now - lastDataAt >= idleMs) relay.close('idle');
      } else if (!answered && now - since >= answerMs) relay.close('OpenVPN does not know it');
      else if (now - since >= loginMs) relay.close('it was not let in');
    }
  }
}
