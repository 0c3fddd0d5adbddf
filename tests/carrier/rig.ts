// A gateway's end on loopback, sockets in the place of WireGuard's, and clients of every kind.
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { connect as connectTls, type TLSSocket } from 'node:tls';
import type { TestContext } from 'node:test';
import {
  CarrierServer,
  openCarrierClient,
  type CarrierClient,
  type CarrierClientOptions,
  type CarrierLimits,
} from '@sallyport/carrier';
import { makeSelfSigned } from '@sallyport/control';
import WebSocket from 'ws';

export const PATH = '/iWq2mTf0cVnB7xkR9sLd';
export const HOST = 'gateway.example';
const made = makeSelfSigned([HOST], Date.now());
export const CERTIFICATE = { chain: made.chain, key: made.key.reveal() };
export const FINGERPRINT = new X509Certificate(made.chain).fingerprint256;
export const other = makeSelfSigned([HOST], Date.now());

/** A UDP socket on loopback that remembers what it received. */
export class Device {
  readonly received: Buffer[] = [];
  readonly from = new Set<string>();
  readonly #socket: UdpSocket;
  #answers: (message: Buffer) => boolean = () => false;

  private constructor(socket: UdpSocket) {
    this.#socket = socket;
    socket.on('message', (message, { address, port }) => {
      this.received.push(message);
      this.from.add(`${address}:${String(port)}`);
      if (this.#answers(message)) socket.send(message, port, address);
    });
  }

  static async open(t: TestContext): Promise<Device> {
    const socket = createSocket('udp4');
    socket.bind(0, '127.0.0.1');
    await once(socket, 'listening');
    socket.setRecvBufferSize(4 << 20);
    t.after(() => {
      socket.close();
    });
    return new Device(socket);
  }

  get port(): number {
    return this.#socket.address().port;
  }

  /** Sends back what comes. */
  echo(which: (message: Buffer) => boolean = () => true): this {
    this.#answers = which;
    return this;
  }

  send(message: Uint8Array, to: string | number): Promise<void> {
    const [address, port] = typeof to === 'number' ? ['127.0.0.1', to] : to.split(':');
    return new Promise((resolve, reject) => {
      this.#socket.send(message, Number(port), address, (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }
}

export interface Gateway {
  readonly server: CarrierServer;
  readonly port: number;
  readonly device: Device;
}

export async function openGateway(t: TestContext, limits: Partial<CarrierLimits> = {}): Promise<Gateway> {
  const device = await Device.open(t);
  const listen = [{ host: '127.0.0.1', port: 0 }];
  const server = await CarrierServer.bind({ listen, wireguardPort: device.port, limits });
  t.after(() => server.close());
  server.open(PATH, CERTIFICATE);
  return { server, port: server.addresses[0]?.port ?? 0, device };
}

export interface Client {
  readonly carrier: CarrierClient;
  readonly device: Device;
  /** Why it ended by itself. */
  readonly ends: string[];
}

export async function openClient(
  t: TestContext,
  { port }: Pick<Gateway, 'port'>,
  options: Partial<CarrierClientOptions> = {},
): Promise<Client> {
  const device = await Device.open(t);
  const ends: string[] = [];
  const carrier = await openCarrierClient({
    socket: connect(port, '127.0.0.1'),
    host: HOST,
    port,
    path: PATH,
    certificateSha256: FINGERPRINT,
    wireguardPort: device.port,
    onClose: (reason) => ends.push(reason),
    ...options,
  });
  t.after(() => {
    carrier.close();
  });
  return { carrier, device, ends };
}

/** A connection that can say anything. */
export async function openTls(t: TestContext, { port }: Pick<Gateway, 'port'>): Promise<TLSSocket> {
  const socket = connectTls({ port, host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] });
  socket.on('error', () => undefined);
  t.after(() => {
    socket.destroy();
  });
  await once(socket, 'secureConnect');
  return socket;
}

export async function openTcp(t: TestContext, { port }: Pick<Gateway, 'port'>): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  socket.on('error', () => undefined);
  t.after(() => {
    socket.destroy();
  });
  await once(socket, 'connect');
  return socket;
}

/** Any WebSocket client. */
export async function openWebSocket(t: TestContext, { port }: Pick<Gateway, 'port'>): Promise<WebSocket> {
  const websocket = new WebSocket(`wss://127.0.0.1:${String(port)}${PATH}`, {
    rejectUnauthorized: false,
    perMessageDeflate: false,
  });
  websocket.on('error', () => undefined);
  t.after(() => {
    websocket.terminate();
  });
  await once(websocket, 'open');
  return websocket;
}

/** All that a server says to a request, until it closes or `enough` has come. */
export async function ask(socket: TLSSocket, request: string): Promise<string> {
  let answer = '';
  socket.setEncoding('latin1').on('data', (text: string) => {
    answer += text;
  });
  socket.write(request);
  const deadline = Date.now() + 60_000;
  const whole = /^HTTP\/1\.1 (?:101 [^]*\r\n\r\n|[^]*\r\n\r\n[^]*\n)$/;
  while (!whole.test(answer)) {
    if (socket.closed || Date.now() > deadline) break;
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  return answer;
}

export function closed(socket: Socket | WebSocket): Promise<unknown[]> {
  return once(socket, 'close');
}
