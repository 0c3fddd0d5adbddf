import { constants } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { createServer, type TLSSocket } from 'node:tls';
import { controlLink, type ControlLink, type LinkTimes } from './connection.ts';
import { hashPublicKey, type LinkIdentity } from './identity.ts';
import { LinkError } from './link-error.ts';
import { LINK_UPGRADE } from './messages.ts';

const HANDSHAKE_MS = 10_000;

export interface AcceptOptions {
  readonly handshakeMs?: number;
  readonly times?: Partial<LinkTimes>;
}

/**
 * Takes a gateway's link out of an HTTP server's 'upgrade' event. The gateway has then proved to hold the key whose hash
 * is `peerKeyHash`; whether it may stay is the caller's to say, and its first message comes within ten seconds or the
 * link ends. Rejects with a LinkError where the request is not for a link or the handshake fails; the socket is gone then.
 */
export async function acceptLink(
  request: IncomingMessage,
  socket: Duplex,
  head: Buffer,
  identity: LinkIdentity,
  options: AcceptOptions = {},
): Promise<ControlLink> {
  // Before anything can go wrong: an error that nobody hears would end the process.
  socket.on('error', () => undefined);
  // An HTTP server's sockets stay half open at the other side's end, and the TLS inside would wait on.
  socket.allowHalfOpen = false;
  if (request.method !== 'GET' || request.headers.upgrade?.toLowerCase() !== LINK_UPGRADE) {
    socket.end(
      `HTTP/1.1 426 Upgrade Required\r\nUpgrade: ${LINK_UPGRADE}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`,
    );
    socket.once('finish', () => socket.destroy());
    throw new LinkError('notALink', `the request does not ask for ${LINK_UPGRADE}`);
  }
  if ('setTimeout' in socket) (socket as Duplex & { setTimeout(ms: number): void }).setTimeout(0);
  socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${LINK_UPGRADE}\r\n\r\n`);
  if (head.length > 0) socket.unshift(head);
  const secure = await handshake(socket, identity, options.handshakeMs ?? HANDSHAKE_MS);
  const certificate = secure.getPeerX509Certificate();
  if (certificate === undefined) {
    secure.destroy();
    throw new LinkError('handshakeFailed', 'the gateway showed no certificate');
  }
  return controlLink(secure, hashPublicKey(certificate.publicKey), options.times);
}

function handshake(socket: Duplex, identity: LinkIdentity, handshakeMs: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const fail = (message: string, cause?: Error): void => {
      clearTimeout(timer);
      socket.destroy();
      reject(new LinkError('handshakeFailed', message, { cause }));
    };
    const timer = setTimeout(() => {
      fail('the gateway did not finish the TLS handshake in time');
    }, handshakeMs);
    // A server that listens nowhere: it is handed its one connection.
    const server = createServer(
      {
        cert: identity.certificatePem,
        key: identity.privateKeyPem.reveal(),
        requestCert: true,
        // Keys are pinned, by the caller; that the other side holds the key is proved all the same.
        rejectUnauthorized: false,
        minVersion: 'TLSv1.3',
        // No resumption: each link proves its keys anew.
        secureOptions: constants.SSL_OP_NO_TICKET,
        handshakeTimeout: handshakeMs,
      },
      (secure) => {
        clearTimeout(timer);
        resolve(secure);
      },
    );
    server.on('tlsClientError', (error) => {
      fail(`the TLS handshake failed: ${error.message}`, error);
    });
    socket.once('close', () => {
      fail('the gateway went away during the TLS handshake');
    });
    server.emit('connection', socket);
  });
}
