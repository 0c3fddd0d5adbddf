// A control plane's listening end of links, over real sockets, with and without a TLS around the one inside.
import { createServer as createHttpServer, type Server } from 'node:http';
import { createServer as createHttpsServer } from 'node:https';
import { connect, createServer as createTcpServer, type AddressInfo, type Socket } from 'node:net';
import {
  acceptLink,
  createLinkIdentity,
  openLink,
  type ControlLink,
  type FromControl,
  type FromGateway,
  type GatewayLink,
  type LinkConnection,
  type LinkError,
  type LinkIdentity,
  type LinkTimes,
} from '@sallyport/link';

export const control = createLinkIdentity('control');
export const gateway = createLinkIdentity('gateway');
export const stranger = createLinkIdentity('stranger');

export interface Listening {
  readonly url: string;
  readonly port: number;
  /** Links and failures to take one, as they come. */
  next(): Promise<ControlLink>;
  /** Open sockets of the server. */
  readonly sockets: ReadonlySet<Socket>;
  close(): Promise<void>;
}

export async function listen(
  scheme: 'http' | 'https',
  options: { identity?: LinkIdentity; handshakeMs?: number; times?: Partial<LinkTimes> } = {},
): Promise<Listening> {
  const { identity = control } = options;
  const server: Server =
    scheme === 'http'
      ? createHttpServer()
      : createHttpsServer({ cert: stranger.certificatePem, key: stranger.privateKeyPem.reveal() });
  const waiting: ((link: Promise<ControlLink>) => void)[] = [];
  const come: Promise<ControlLink>[] = [];
  const sockets = new Set<Socket>();
  server.on('connection', (socket: Socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
  });
  server.on('upgrade', (request, socket, head) => {
    const link = acceptLink(request, socket, head, identity, options);
    link.catch(() => undefined);
    const taker = waiting.shift();
    if (taker === undefined) come.push(link);
    else taker(link);
  });
  const port = await listenOn(server);
  return {
    url: `${scheme}://127.0.0.1:${port}`,
    port,
    sockets,
    next: () => come.shift() ?? new Promise((resolve) => waiting.push(resolve)),
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => {
          resolve();
        });
      }),
  };
}

function listenOn(server: { listen(port: number, host: string, done: () => void): unknown; address(): unknown }) {
  return new Promise<number>((resolve) => {
    server.listen(0, '127.0.0.1', () => {
      resolve((server.address() as AddressInfo).port);
    });
  });
}

/** Both ends of a link. */
export async function open(
  at: Listening,
  options: { times?: Partial<LinkTimes>; expectKey?: (hash: string) => boolean; identity?: LinkIdentity } = {},
): Promise<{ there: ControlLink; here: GatewayLink }> {
  const [there, here] = await Promise.all([
    at.next(),
    openLink({
      url: at.url,
      identity: options.identity ?? gateway,
      expectKey: options.expectKey ?? ((hash) => hash === control.keyHash),
      ...(options.times && { times: options.times }),
    }),
  ]);
  return { there, here };
}

export function closed(link: LinkConnection<never, never> | ControlLink | GatewayLink): Promise<LinkError | undefined> {
  return new Promise((resolve) => {
    (link as ControlLink).onClose(resolve);
  });
}

/** The next `count` messages. */
export function take(link: ControlLink, count: number): Promise<FromGateway[]>;
export function take(link: GatewayLink, count: number): Promise<FromControl[]>;
export function take(link: ControlLink | GatewayLink, count: number): Promise<(FromGateway | FromControl)[]> {
  return new Promise((resolve) => {
    const messages: (FromGateway | FromControl)[] = [];
    link.onMessage((message: FromGateway | FromControl) => {
      messages.push(message);
      if (messages.length === count) resolve(messages);
    });
  });
}

/** Something between both that passes bytes on to `port`, until `broken` is called. */
export async function proxy(
  port: number,
  pass: (from: Socket, to: Socket) => void = (from, to) => {
    from.pipe(to).pipe(from);
  },
): Promise<{ port: number; close(): void }> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((from) => {
    const to = connect(port, '127.0.0.1');
    for (const socket of [from, to]) {
      sockets.add(socket);
      socket.on('error', () => undefined);
    }
    pass(from, to);
  });
  const own = await listenOn(server);
  return {
    port: own,
    close() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
