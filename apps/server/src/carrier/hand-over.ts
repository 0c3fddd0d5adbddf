import type { IncomingMessage } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { webTunnel, type WebTunnel } from './carrier-configuration.ts';

/** What the carrier needs of a request; the rest stays here. */
const HEADERS = ['host', 'upgrade', 'connection', 'sec-websocket-key', 'sec-websocket-version'] as const;

/** The third byte of OpenVPN over TCP, behind the packet's length: a client's hard reset, of version 2 or 3, with key id 0. */
const RESETS: ReadonlySet<number | undefined> = new Set([7 << 3, 10 << 3]);

/**
 * Hands tunnels that come by the console's port on to the carrier's process, bytes as they are: what speaks WebSocket with
 * them is over there, and WireGuard behind it.
 */
export class TunnelHandOver {
  #tunnel: WebTunnel | undefined;

  /** A message of the supervisor's: where the carrier is now. Others are passed over. */
  take(message: unknown): void {
    const { success, data } = webTunnel.safeParse(message);
    if (success) this.#tunnel = data;
  }

  /** Takes the socket where the request is for a tunnel; false where it is for somebody else. */
  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): boolean {
    const tunnel = this.#tunnel;
    if (tunnel?.port === undefined || request.method !== 'GET' || request.url !== tunnel.path) return false;
    const lines = HEADERS.flatMap((name) => {
      const value = request.headers[name];
      return value === undefined ? [] : [`${name}: ${value}`];
    });
    const from = request.socket.remoteAddress ?? '';
    const upstream = connect({ host: '127.0.0.1', port: tunnel.port, noDelay: true });
    upstream.write(`GET ${tunnel.path} HTTP/1.1\r\n${lines.join('\r\n')}\r\nx-forwarded-for: ${from}\r\n\r\n`);
    if (head.length > 0) upstream.write(head);
    join(socket, upstream);
    return true;
  }

  /** OpenVPN over TCP, which the web server tells from TLS by how it begins. */
  readonly openvpn = {
    begins: (head: Uint8Array): boolean => this.#tunnel?.openvpnPort !== undefined && RESETS.has(head[2]),
    take: (socket: Socket): void => {
      const port = this.#tunnel?.openvpnPort;
      if (port === undefined) {
        socket.destroy();
        return;
      }
      const upstream = connect({ host: '127.0.0.1', port, noDelay: true });
      // What the carrier counts by comes first, on a line of its own.
      upstream.write(`${socket.remoteAddress ?? ''}\n`);
      socket.setNoDelay(true);
      join(socket, upstream);
    },
  };
}

/** Each way ends both: a tunnel has no halves. */
function join(socket: Duplex, upstream: Socket): void {
  const end = (): void => {
    socket.destroy();
    upstream.destroy();
  };
  for (const side of [socket, upstream]) side.on('error', end).on('close', end);
  socket.pipe(upstream).pipe(socket);
}
