import { isIP, type Socket } from 'node:net';
import { connect, type PeerCertificate, type TLSSocket } from 'node:tls';
import WebSocket from 'ws';
import { CarrierError } from './carrier-error.ts';
import { connectThroughProxy } from './http-proxy.ts';
import { MAX_MESSAGE_BYTES, MAX_MESSAGE_PARTS } from './message.ts';
import { Relay, type Traffic } from './relay.ts';

export interface CarrierClientOptions {
  /** A TCP connection to the gateway or the proxy, open or being opened. It is closed with the carrier. */
  readonly socket: Socket;
  /** Name or address of the gateway: for the Host header, SNI, and the certificate where an authority vouches for it. */
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Exactly this certificate, whoever signed it: SHA-256, hexadecimal. Null: one of `ca`, or of Node's own, for `host`. */
  readonly certificateSha256: string | null;
  /** PEM. */
  readonly ca?: string | undefined;
  /** `socket` leads to an HTTP proxy. `authorization`: the value of Proxy-Authorization. */
  readonly proxy?: { readonly authorization?: string | undefined } | undefined;
  /** The WireGuard device's own UDP port on this machine; 0: whichever sends first. */
  readonly wireguardPort: number;
  /** Until it is open; 10 s by default. */
  readonly timeoutMs?: number | undefined;
  /** Gives up while it is being opened. */
  readonly signal?: AbortSignal | undefined;
  /** Once, where an open carrier ends by itself. */
  readonly onClose: (reason: string) => void;
}

export interface CarrierClient {
  /** The WireGuard peer's endpoint is 127.0.0.1 and this port. */
  readonly port: number;
  /** Live numbers. */
  readonly stats: { readonly toGateway: Readonly<Traffic>; readonly fromGateway: Readonly<Traffic> };
  close(): void;
}

const TIMEOUT_MS = 10_000;
const LOOPBACK = 0x7f000001;
/** More than two of the gateway's pings: who sends none is gone. */
const SILENCE_MS = 60_000;
const NO_MASK = 0;

/** Opens the client's end of the tunnel over TLS. Rejects with a {@link CarrierError}. */
export async function openCarrierClient(options: CarrierClientOptions): Promise<CarrierClient> {
  const { socket, timeoutMs = TIMEOUT_MS, signal } = options;
  const { promise: givenUp, reject: giveUp } = Promise.withResolvers<never>();
  givenUp.catch(() => undefined);
  const timer = setTimeout(() => {
    giveUp(new CarrierError('timeout', `no tunnel over TLS within ${String(timeoutMs)} ms`));
  }, timeoutMs);
  const onAbort = (): void => {
    giveUp(new CarrierError('aborted', 'given up'));
  };
  if (signal?.aborted === true) onAbort();
  signal?.addEventListener('abort', onAbort);
  socket.setNoDelay(true);
  const opening = open(options);
  try {
    return await Promise.race([opening, givenUp]);
  } catch (error) {
    socket.destroy();
    // It may have been opened in the same turn.
    opening.then(
      (client) => {
        client.close();
      },
      () => undefined,
    );
    throw error;
  } finally {
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
  }
}

async function open(options: CarrierClientOptions): Promise<CarrierClient> {
  const { socket, host, port, proxy } = options;
  await connected(socket);
  if (proxy !== undefined) await connectThroughProxy(socket, authority(host, port), proxy.authorization);
  const secure = await secured(options);
  const websocket = await upgraded(secure, options);
  // Before anything else: it may bring a message at once.
  let closed = false;
  const relay = new Relay(websocket, {
    localAddress: LOOPBACK,
    wireguardPort: options.wireguardPort,
    onClose: (reason) => {
      clearInterval(watch);
      if (!closed) options.onClose(reason);
    },
  });
  const watch = setInterval(() => {
    if (!relay.heard) relay.close('the gateway is silent');
    relay.heard = false;
  }, SILENCE_MS);
  watch.unref();
  return {
    port: relay.port,
    stats: { toGateway: relay.outbound, fromGateway: relay.inbound },
    close: () => {
      closed = true;
      relay.close('closed');
    },
  };
}

function connected(socket: Socket): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error?: Error): void => {
      reject(new CarrierError('connection', error?.message ?? 'the connection was closed'));
    };
    if (socket.destroyed) fail();
    socket.on('error', fail).once('close', () => {
      fail();
    });
    if (socket.connecting) socket.once('connect', resolve);
    else resolve();
  });
}

/** TLS to the gateway, once its certificate was seen to be the right one: nothing is sent before. */
function secured({ socket, host, certificateSha256: pinned, ca }: CarrierClientOptions): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const secure = connect({
      socket,
      host,
      ...(isIP(host) === 0 ? { servername: host } : {}),
      // As browsers do.
      ALPNProtocols: ['http/1.1'],
      minVersion: 'TLSv1.2',
      // With a pin neither its issuer nor its names count.
      rejectUnauthorized: pinned === null,
      ...(ca === undefined ? {} : { ca }),
    });
    secure.on('error', (error: NodeJS.ErrnoException) => {
      // What is wrong with a certificate has a code of OpenSSL's or Node's; a connection's has a system's.
      const ofCertificate = /CERT|SIGNED|ISSUER|ALTNAME|CA_|UNABLE_TO/.test(error.code ?? '');
      reject(new CarrierError(ofCertificate ? 'certificate' : 'connection', error.message, { cause: error }));
    });
    secure.once('close', () => {
      reject(new CarrierError('connection', 'the connection was closed'));
    });
    secure.once('secureConnect', () => {
      if (pinned !== null && fingerprintOf(secure.getPeerCertificate()) !== normalised(pinned)) {
        reject(new CarrierError('certificate', "the certificate is not the gateway's"));
        secure.destroy();
      } else resolve(secure);
    });
  });
}

function upgraded(secure: TLSSocket, { host, port, path }: CarrierClientOptions): Promise<WebSocket> {
  return new Promise((resolve, reject) => {
    const websocket = new WebSocket(`wss://${authority(host, port)}${path}`, {
      createConnection: () => secure,
      perMessageDeflate: false,
      maxPayload: MAX_MESSAGE_BYTES,
      ...MAX_MESSAGE_PARTS,
      autoPong: false,
      followRedirects: false,
      // The mask keeps scripts in browsers from choosing what proxies see (RFC 6455 section 10.3). Here TLS hides it,
      // and no script chooses what WireGuard encrypted; a mask of zeros costs neither end a pass over the bytes.
      generateMask: (mask) => {
        mask.fill(NO_MASK);
      },
    });
    websocket.once('open', () => {
      resolve(websocket);
    });
    websocket.once('unexpected-response', (_request, response) => {
      response.destroy();
      reject(new CarrierError('refused', `the answer was ${String(response.statusCode)}`));
    });
    websocket.on('error', (error) => {
      reject(new CarrierError('connection', error.message, { cause: error }));
    });
  });
}

function authority(host: string, port: number): string {
  return `${isIP(host) === 6 ? `[${host}]` : host}:${String(port)}`;
}

function fingerprintOf({ fingerprint256 }: Partial<PeerCertificate>): string | undefined {
  return fingerprint256 === undefined ? undefined : normalised(fingerprint256);
}

function normalised(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase();
}
