import { Buffer } from 'node:buffer';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createSecureServer, type Server as SecureServer } from 'node:https';
import type { AddressInfo, Socket } from 'node:net';
import type { SecureContextOptions } from 'node:tls';
import type { Duplex } from 'node:stream';
import type { Certificate } from './tls/certificate.ts';

export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

export interface WebHandlers {
  readonly request: (request: IncomingMessage, response: ServerResponse) => void;
  /** Without it, requests to upgrade are refused. */
  readonly upgrade?: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
}

/** Something else than TLS that is spoken on the same port. */
export interface OtherProtocol {
  /** Whether a connection that begins with these three bytes is its. */
  readonly begins: (head: Uint8Array) => boolean;
  /** Takes the connection, of which nothing was read yet as it sees it. */
  readonly take: (socket: Socket) => void;
}

/** An address can't be listened on; the message says which, why, and what to do. */
export class ListenError extends Error {
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'ListenError';
    this.code = code;
  }
}

/** What a client may take its time for. */
const LIMITS = {
  headersTimeout: 10_000,
  /** For a whole request with its body. */
  requestTimeout: 30_000,
  /** Longer than the proxies' own, which would otherwise send into a closing connection. */
  keepAliveTimeout: 75_000,
  connectionsCheckingInterval: 2_000,
  maxHeaderSize: 16 * 1024,
} as const;
const HANDSHAKE_MS = 10_000;
/** A client that takes nothing of an answer for so long is gone. */
const IDLE_MS = 120_000;
const MAX_CONNECTIONS = 10_000;
const MAX_CLOSE_MS = 3_000;

const TLS: SecureContextOptions = {
  minVersion: 'TLSv1.2',
  honorCipherOrder: true,
  // TLS 1.3, and of 1.2 what has forward secrecy and authenticated encryption.
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

/** HTTP, or HTTPS, on several addresses. */
export class WebServer {
  readonly #servers: readonly (Server | SecureServer)[];
  /** Those that are HTTP's no more, or never were. */
  readonly #upgraded: Set<Duplex>;
  #handlers: WebHandlers | undefined;

  private constructor(servers: readonly (Server | SecureServer)[], upgraded: Set<Duplex>) {
    this.#servers = servers;
    this.#upgraded = upgraded;
    for (const server of servers) {
      server.on('request', (request: IncomingMessage, response: ServerResponse) => {
        this.#handlers?.request(request, response);
      });
      server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
        this.#upgraded.add(socket);
        socket.once('close', () => this.#upgraded.delete(socket));
        if (this.#handlers?.upgrade === undefined) {
          socket.end('HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
        } else this.#handlers.upgrade(request, socket, head);
      });
      // A peer's broken handshakes and requests are its own affair.
      server.on('tlsClientError', (_error: Error, socket: Duplex) => socket.destroy());
      server.on('clientError', (error: NodeJS.ErrnoException, socket: Duplex) => {
        if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy();
        else socket.end(`HTTP/1.1 ${statusOf(error)}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      });
    }
  }

  /**
   * Takes the addresses, but no connection yet: that begins with {@link open}, so that a process can give up its
   * privileges in between. `other` is told from TLS by its first bytes. Throws {@link ListenError}.
   */
  static async bind(
    addresses: readonly ListenAddress[],
    options: { readonly tls: boolean; readonly other?: OtherProtocol | undefined },
  ): Promise<WebServer> {
    const apart = new Set<Duplex>();
    const servers: (Server | SecureServer)[] = [];
    try {
      for (const address of addresses) {
        const server = options.tls
          ? createSecureServer({ ...LIMITS, ...TLS, handshakeTimeout: HANDSHAKE_MS, ALPNProtocols: ['http/1.1'] })
          : createServer(LIMITS);
        server.maxConnections = 0;
        server.setTimeout(IDLE_MS);
        if (options.tls && options.other !== undefined) tellApart(server, options.other, apart);
        try {
          await listen(server, address);
          servers.push(server);
        } catch (error) {
          const code = (error as ListenError).code;
          const lacksIpv6 = address.host === '::' && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL');
          if (!lacksIpv6 || addresses.length === 1) throw error;
        }
      }
    } catch (error) {
      for (const server of servers) server.close();
      throw error;
    }
    return new WebServer(servers, apart);
  }

  /** Where it listens; where port 0 was asked for, with the port that the kernel chose. */
  get addresses(): ListenAddress[] {
    return this.#servers.map((server) => {
      const { address, port } = server.address() as AddressInfo;
      return { host: address, port };
    });
  }

  /** Serves from now on. */
  open(handlers: WebHandlers): void {
    this.#handlers = handlers;
    for (const server of this.#servers) server.maxConnections = MAX_CONNECTIONS;
  }

  /** For connections from now on; those that there are stay. */
  setCertificate(certificate: Certificate): void {
    for (const server of this.#servers) {
      if ('setSecureContext' in server) {
        server.setSecureContext({ ...TLS, cert: certificate.chain, key: certificate.key.reveal() });
      }
    }
  }

  /** Takes no more connections, lets requests under way end, and after three seconds ends them. */
  async close(): Promise<void> {
    const closed = this.#servers.map(
      (server) =>
        new Promise<void>((resolve) => {
          server.close(() => resolve());
        }),
    );
    for (const socket of this.#upgraded) socket.destroy();
    for (const server of this.#servers) server.closeIdleConnections();
    const timer = setTimeout(() => {
      for (const server of this.#servers) server.closeAllConnections();
    }, MAX_CLOSE_MS);
    await Promise.all(closed);
    clearTimeout(timer);
  }
}

/** The first byte of TLS: a handshake (RFC 8446 section 5.1). */
const TLS_HANDSHAKE = 0x16;
/** As many as it takes to know what else it is. */
const HEAD_BYTES = 3;

/** Has a server look at the first bytes of each connection before it takes them for TLS. */
function tellApart(server: Server | SecureServer, other: OtherProtocol, apart: Set<Duplex>): void {
  const secure = server.listeners('connection');
  server.removeAllListeners('connection');
  server.on('connection', (socket: Socket) => {
    let head = Buffer.alloc(0);
    const onError = (): void => {
      socket.destroy();
    };
    const timer = setTimeout(onError, HANDSHAKE_MS);
    const onClose = (): void => {
      clearTimeout(timer);
      apart.delete(socket);
    };
    const look = (): void => {
      const bytes = socket.read() as Buffer | null;
      if (bytes === null) {
        // It ended.
        socket.destroy();
        return;
      }
      head = Buffer.concat([head, bytes]);
      const isTls = head[0] === TLS_HANDSHAKE;
      if (!isTls && head.length < HEAD_BYTES) {
        socket.once('readable', look);
        return;
      }
      clearTimeout(timer);
      socket.unshift(head);
      if (!isTls && other.begins(head)) other.take(socket);
      else {
        socket.off('error', onError).off('close', onClose);
        apart.delete(socket);
        for (const listener of secure) listener.call(server, socket);
      }
    };
    apart.add(socket);
    socket.on('error', onError).once('close', onClose).once('readable', look);
  });
}

function statusOf(error: NodeJS.ErrnoException): string {
  if (error.code === 'HPE_HEADER_OVERFLOW') return '431 Request Header Fields Too Large';
  if (error.code === 'ERR_HTTP_REQUEST_TIMEOUT') return '408 Request Timeout';
  return '400 Bad Request';
}

function listen(server: Server | SecureServer, { host, port }: ListenAddress): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: NodeJS.ErrnoException): void => {
      const place = `${host.includes(':') ? `[${host}]` : host}:${String(port)}`;
      const remedy =
        error.code === 'EADDRINUSE'
          ? `another program listens there; end it (ss -ltnp 'sport = :${String(port)}' shows it), or listen elsewhere`
          : error.code === 'EACCES'
            ? 'ports below 1024 take root'
            : error.code === 'EADDRNOTAVAIL'
              ? 'this machine does not have that address'
              : error.message;
      reject(new ListenError(error.code ?? 'failed', `can't listen on ${place}: ${remedy}`, { cause: error }));
    };
    server.once('error', fail);
    // Else [::] would take IPv4's port too.
    server.listen({ host, port, ipv6Only: host.includes(':'), backlog: 1024 }, () => {
      server.off('error', fail);
      resolve();
    });
  });
}
