import { createHash, timingSafeEqual } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { SecureContextOptions } from 'node:tls';
import { WebSocketServer, type WebSocket } from 'ws';
import { addressKey } from './address-key.ts';
import { CARRIER_LIMITS, type CarrierLimits } from './limits.ts';
import { addressOf, BACKLOG, listen, listenAll, type CarrierAddress } from './listen.ts';
import { LocalAddresses } from './local-addresses.ts';
import { MAX_MESSAGE_BYTES, MAX_MESSAGE_PARTS } from './message.ts';
import { Places } from './places.ts';
import { Relay } from './relay.ts';

export interface CarrierServerOptions {
  /** Where it listens with TLS. */
  readonly listen: readonly CarrierAddress[];
  /**
   * Where it takes connections without TLS from a web server of this machine, which has seen to that: a loopback address.
   * Where they come from stands in X-Forwarded-For.
   */
  readonly behindWeb?: CarrierAddress | undefined;
  /** Of the WireGuard device on 127.0.0.1. */
  readonly wireguardPort: number;
  readonly limits?: Partial<CarrierLimits> | undefined;
}

/** PEM. */
export interface CarrierCertificate {
  readonly chain: string;
  readonly key: string;
}

export interface CarrierServerStats {
  readonly tunnels: number;
  /** Those that were turned away because there are too many, all in all or from one address. */
  readonly refused: number;
  /** What all tunnels together hold for the network. */
  readonly waitingBytes: number;
  /** Datagrams that came faster than they could be passed on, of the tunnels that there are. */
  readonly dropped: number;
}

const TLS: SecureContextOptions = {
  minVersion: 'TLSv1.2',
  honorCipherOrder: true,
  ciphers: [
    'TLS_AES_128_GCM_SHA256',
    'TLS_CHACHA20_POLY1305_SHA256',
    'TLS_AES_256_GCM_SHA384',
    'ECDHE-ECDSA-AES128-GCM-SHA256',
    'ECDHE-RSA-AES128-GCM-SHA256',
    'ECDHE-ECDSA-CHACHA20-POLY1305',
    'ECDHE-RSA-CHACHA20-POLY1305',
    'ECDHE-ECDSA-AES256-GCM-SHA384',
    'ECDHE-RSA-AES256-GCM-SHA384',
  ].join(':'),
};

const SWEEPS = 5;
/** WireGuard sends it, under load, to whoever knows its public key. */
const COOKIE_REPLY = 3;

interface Tunnel {
  readonly relay: Relay;
  firstDatagramAt: number;
  /** Whether WireGuard knows it. */
  answered: boolean;
  /** When WireGuard last sent something, or the tunnel was opened. */
  lastAnswerAt: number;
  pingedAt: number;
}

/** The gateway's end of the tunnel over TLS: an ordinary web server but for one path. */
export class CarrierServer {
  #servers: readonly (Server | SecureServer)[];
  readonly #behindWeb: Server | undefined;
  readonly #options: CarrierServerOptions;
  readonly #limits: CarrierLimits;
  #path: Buffer | undefined;
  readonly #places: Places;
  /** TCP connections, of which an upgrade tells only where they come from: by that. */
  readonly #byEnds = new Map<string, Socket>();
  readonly #tunnels = new Set<Tunnel>();
  readonly #websockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    // WireGuard's datagrams can't be compressed.
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    ...MAX_MESSAGE_PARTS,
    // The relay answers, within bounds.
    autoPong: false,
  });
  readonly #timer: NodeJS.Timeout;
  readonly #localAddresses = new LocalAddresses();

  private constructor(options: CarrierServerOptions, limits: CarrierLimits) {
    this.#options = options;
    this.#limits = limits;
    this.#places = new Places(limits);
    const http: ServerOptions = {
      headersTimeout: limits.handshakeMs,
      requestTimeout: limits.handshakeMs,
      keepAliveTimeout: 5_000,
      connectionsCheckingInterval: 2_000,
      maxHeaderSize: 16 * 1024,
      // Everything else, upgrades to elsewhere too, is answered as by any web server.
      shouldUpgradeCallback: (request) => this.#isTunnel(request),
    };
    this.#servers = options.listen.map(() => {
      const server = createSecureServer({
        ...http,
        ...TLS,
        handshakeTimeout: limits.handshakeMs,
        ALPNProtocols: ['http/1.1'],
      });
      this.#serve(server);
      // Before TLS costs anything.
      server.on('connection', (socket: Socket) => {
        const ends = endsOf(socket);
        if (!this.#places.enter(socket, addressKey(socket.remoteAddress ?? ''))) return;
        this.#byEnds.set(ends, socket);
        socket.once('close', () => {
          if (this.#byEnds.get(ends) === socket) this.#byEnds.delete(ends);
        });
      });
      return server;
    });
    if (options.behindWeb !== undefined) {
      this.#behindWeb = createServer(http);
      this.#serve(this.#behindWeb);
    }
    this.#timer = setInterval(
      () => {
        this.#sweep(performance.now());
      },
      Math.max(20, Math.min(limits.answerMs, limits.pingMs, limits.idleMs) / SWEEPS),
    );
    this.#timer.unref();
  }

  /**
   * Takes the addresses, and no connection yet: that begins with {@link open}, so that the process can give up its
   * privileges in between. Throws Node's errors of listening.
   */
  static async bind(options: CarrierServerOptions): Promise<CarrierServer> {
    const server = new CarrierServer(options, { ...CARRIER_LIMITS, ...options.limits });
    try {
      await server.#listen();
    } catch (error) {
      await server.close();
      throw error;
    }
    return server;
  }

  async #listen(): Promise<void> {
    const { listen: addresses, behindWeb } = this.#options;
    this.#servers = await listenAll(this.#servers, addresses);
    if (this.#behindWeb !== undefined) await listen(this.#behindWeb, behindWeb);
  }

  /** Where it listens with TLS; where port 0 was asked for, with the port that the kernel chose. */
  get addresses(): CarrierAddress[] {
    return this.#servers.map(addressOf);
  }

  /** Where it listens for the web server of this machine. */
  get behindWebAddress(): CarrierAddress | undefined {
    return this.#behindWeb === undefined ? undefined : addressOf(this.#behindWeb);
  }

  get stats(): CarrierServerStats {
    let waitingBytes = 0;
    let dropped = 0;
    for (const { relay } of this.#tunnels) {
      waitingBytes += relay.waitingBytes;
      dropped += relay.inbound.dropped + relay.outbound.dropped;
    }
    return { tunnels: this.#tunnels.size, refused: this.#places.refused, waitingBytes, dropped };
  }

  /**
   * Serves from now on. `path` is the one where a tunnel is: "/…". Whatever else is asked for is not found. Throws where
   * the certificate can't be used.
   */
  open(path: string, { chain, key }: CarrierCertificate): void {
    this.#path = digest(path);
    for (const server of this.#servers) {
      if ('setSecureContext' in server) server.setSecureContext({ ...TLS, cert: chain, key });
    }
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
          server.closeAllConnections();
        }),
    );
    for (const { relay } of this.#tunnels) relay.close('the gateway stops');
    // Those that are still at their TLS handshake too.
    this.#places.closeAll();
    await Promise.all(closed);
  }

  #all(): (Server | SecureServer)[] {
    return [...this.#servers, ...(this.#behindWeb === undefined ? [] : [this.#behindWeb])];
  }

  #serve(server: Server | SecureServer): void {
    server.maxConnections = 0;
    server.on('request', notFound);
    server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      this.#upgrade(server === this.#behindWeb, request, socket, head);
    });
    server.on('drop', () => {
      this.#places.countRefused();
    });
    // A peer's broken handshakes and requests are its own affair.
    server.on('tlsClientError', (_error: Error, socket: Duplex) => socket.destroy());
    server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
      if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
      else socket.end('HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
    });
  }

  /** The path is a secret of a kind: it must not be found out byte by byte. */
  #isTunnel({ method, url = '', headers }: IncomingMessage): boolean {
    return (
      this.#path !== undefined &&
      method === 'GET' &&
      headers.upgrade?.toLowerCase() === 'websocket' &&
      timingSafeEqual(digest(url), this.#path)
    );
  }

  #upgrade(behindWeb: boolean, request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const connection = behindWeb ? socket : this.#byEnds.get(endsOf(request.socket));
    // It was closed meanwhile.
    if (connection === undefined) {
      socket.destroy();
      return;
    }
    if (behindWeb) {
      const forwarded = request.headers['x-forwarded-for'];
      if (!this.#places.enter(socket, addressKey(typeof forwarded === 'string' ? forwarded : ''))) return;
    }
    // Node leaves the socket's errors to us from here on.
    socket.on('error', () => socket.destroy());
    this.#websockets.handleUpgrade(request, socket, head, (websocket) => {
      this.#welcome(websocket, connection);
    });
  }

  /** `connection` is what has the place. */
  #welcome(websocket: WebSocket, connection: Duplex): void {
    let relay: Relay;
    try {
      relay = new Relay(websocket, {
        localAddress: this.#localAddresses.next(),
        wireguardPort: this.#options.wireguardPort,
        onAnswer: (type) => {
          if (type === COOKIE_REPLY) return;
          tunnel.lastAnswerAt = performance.now();
          if (tunnel.answered) return;
          tunnel.answered = true;
          this.#places.keep(connection);
        },
        onClose: () => {
          this.#tunnels.delete(tunnel);
        },
      });
    } catch {
      // There are no descriptors left: one connection too many, and the others stay.
      this.#places.countRefused();
      websocket.on('error', () => undefined).terminate();
      return;
    }
    const now = performance.now();
    const tunnel: Tunnel = { relay, firstDatagramAt: 0, answered: false, lastAnswerAt: now, pingedAt: now };
    this.#tunnels.add(tunnel);
  }

  #sweep(now: number): void {
    const { answerMs, idleMs, pingMs } = this.#limits;
    for (const tunnel of this.#tunnels) {
      const { relay } = tunnel;
      if (relay.inbound.datagrams > 0 && tunnel.firstDatagramAt === 0) tunnel.firstDatagramAt = now;
      const unanswered = !tunnel.answered && tunnel.firstDatagramAt > 0;
      if (unanswered && now - tunnel.firstDatagramAt >= answerMs) relay.close('WireGuard does not know it');
      else if (now - tunnel.lastAnswerAt >= idleMs) relay.close('idle');
      else if (now - tunnel.pingedAt >= pingMs) {
        if (!relay.heard) relay.close('silent');
        relay.heard = false;
        tunnel.pingedAt = now;
        relay.ping();
      }
    }
  }
}

/** What no two connections of a server have in common while they last. */
function endsOf({ remoteAddress, remotePort, localAddress, localPort }: Socket): string {
  return [remoteAddress, remotePort, localAddress, localPort].join(' ');
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function notFound(_request: IncomingMessage, response: ServerResponse): void {
  const body = 'Not Found\n';
  response.writeHead(404, { 'content-type': 'text/plain', 'content-length': body.length }).end(body);
}
