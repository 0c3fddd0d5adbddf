import { createSocket, type RemoteInfo, type Socket as UdpSocket } from 'node:dgram';
import { createServer, isIPv6, type Server, type Socket } from 'node:net';
import { writeAnswer, makeAnswer, writeRefusal } from './answer.ts';
import { Clients, type ClientLimits } from './clients.ts';
import { frame, FrameReader } from './framing.ts';
import { MAX_QUERY_BYTES, readQuery, type QueryReading } from './query.ts';
import type { Resolver } from './resolver.ts';

export const CLIENT_LIMITS: ClientLimits = { perSecond: 200, burst: 1000, pending: 200 };

const RECEIVE_BUFFER_BYTES = 1024 * 1024;
const MAX_CONNECTIONS = 256;
const MAX_CONNECTIONS_OF_ONE = 8;
const IDLE_MS = 10_000;
/** Questions of one connection under way, and bytes of answers that its client has not fetched. */
const MAX_PENDING = 64;
const MAX_UNSENT_BYTES = 256 * 1024;

export interface NameServerOptions {
  /** Prefixes of who is answered; everybody else is not. Undefined: everybody. */
  readonly clients?: readonly string[] | undefined;
  readonly limits?: ClientLimits;
}

/** Listens on addresses, by UDP and TCP, and answers there. */
export class NameServer {
  readonly #udp: readonly UdpSocket[];
  readonly #tcp: readonly Server[];
  readonly #connections = new Map<Socket, string>();
  #clients = new Clients(CLIENT_LIMITS);
  #resolver: Resolver | undefined;

  private constructor(udp: readonly UdpSocket[], tcp: readonly Server[]) {
    this.#udp = udp;
    this.#tcp = tcp;
    for (const socket of udp) {
      socket.on('message', (message, from) => {
        this.#onDatagram(socket, message, from);
      });
      // What can't be sent is lost, as everywhere on the way.
      socket.on('error', () => undefined);
    }
    for (const server of tcp) {
      server.on('connection', (connection) => {
        this.#onConnection(connection);
      });
      server.on('error', () => undefined);
    }
  }

  /** Takes the addresses, and lets what comes pass until {@link serve}. Throws the system's error where it can't. */
  static async bind(addresses: readonly string[], port: number): Promise<NameServer> {
    const opened: (UdpSocket | Server)[] = [];
    try {
      const udp: UdpSocket[] = [];
      const tcp: Server[] = [];
      for (const address of addresses) {
        const server = createServer({ noDelay: true });
        opened.push(server);
        server.maxConnections = MAX_CONNECTIONS;
        await settled(server, 'listening', () => server.listen({ host: address, port, ipv6Only: true }));
        tcp.push(server);
        // Port 0: the same for both.
        const taken = (server.address() as { port: number }).port;
        const socket = createSocket({
          type: isIPv6(address) ? 'udp6' : 'udp4',
          ...(isIPv6(address) ? { ipv6Only: true } : {}),
          lookup: (host, _options, callback) => {
            callback(null, host, isIPv6(host) ? 6 : 4);
          },
        });
        opened.push(socket);
        await settled(socket, 'listening', () => socket.bind({ address, port: taken, exclusive: true }));
        udp.push(socket);
      }
      for (const socket of udp) socket.setRecvBufferSize(RECEIVE_BUFFER_BYTES);
      return new NameServer(udp, tcp);
    } catch (error) {
      for (const one of opened) close(one);
      throw error;
    }
  }

  get ports(): number[] {
    return this.#udp.map((socket) => socket.address().port);
  }

  serve(resolver: Resolver, { clients, limits = CLIENT_LIMITS }: NameServerOptions = {}): void {
    this.#clients = new Clients(limits);
    this.#clients.allow(clients);
    this.#resolver = resolver;
  }

  /** Answers these clients from now on: prefixes. */
  allow(clients: readonly string[]): void {
    this.#clients.allow(clients);
  }

  close(): void {
    this.#resolver = undefined;
    for (const connection of this.#connections.keys()) connection.destroy();
    for (const one of [...this.#udp, ...this.#tcp]) close(one);
  }

  #onDatagram(socket: UdpSocket, message: Buffer, { address, port }: RemoteInfo): void {
    // A source port of 0 can't be answered.
    if (port === 0) return;
    this.#answer(message, address, true, (answer) => {
      if (answer === undefined) return;
      try {
        socket.send(answer, port, address, () => undefined);
      } catch {
        // Closed meanwhile.
      }
    });
  }

  #onConnection(connection: Socket): void {
    const address = connection.remoteAddress ?? '';
    const others = [...this.#connections.values()].filter((other) => other === address).length;
    connection.on('error', () => undefined);
    if (this.#resolver === undefined || others >= MAX_CONNECTIONS_OF_ONE || !this.#clients.mayAsk(address)) {
      connection.destroy();
      return;
    }
    this.#connections.set(connection, address);
    let pending = 0;
    const reader = new FrameReader((message) => {
      if (connection.destroyed) return;
      pending += 1;
      if (pending > MAX_PENDING) connection.destroy();
      this.#answer(message, address, false, (answer) => {
        pending -= 1;
        if (answer === undefined || connection.writableLength > MAX_UNSENT_BYTES) connection.destroy();
        else if (!connection.destroyed) connection.write(frame(answer));
      });
    });
    connection
      .setTimeout(IDLE_MS, () => connection.destroy())
      .on('data', (chunk: Buffer) => {
        reader.push(chunk);
        if (reader.announced > MAX_QUERY_BYTES) connection.destroy();
      })
      .on('close', () => this.#connections.delete(connection));
  }

  /** Replies with nothing where nothing is said. */
  #answer(message: Buffer, address: string, byUdp: boolean, reply: (answer: Buffer | undefined) => void): void {
    const resolver = this.#resolver;
    const client = this.#clients.admit(address, performance.now());
    if (resolver === undefined || client === undefined) {
      reply(undefined);
      return;
    }
    const reading = readQuery(message);
    if (reading.kind !== 'query') {
      reply(refusalOf(reading, byUdp));
      return;
    }
    const answer = resolver.answer(reading.query, byUdp);
    if (Buffer.isBuffer(answer)) {
      reply(answer);
      return;
    }
    client.pending += 1;
    void answer.then((late) => {
      client.pending -= 1;
      reply(late);
    });
  }
}

function refusalOf(reading: Exclude<QueryReading, { kind: 'query' }>, byUdp: boolean): Buffer | undefined {
  if (reading.kind === 'drop') return undefined;
  const { query, rcode } = reading;
  if ('question' in query) return writeAnswer({ query, byUdp }, makeAnswer(query.question.bytes, { rcode }), 0);
  return writeRefusal(query.id, rcode);
}

async function settled(emitter: UdpSocket | Server, event: string, start: () => unknown): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  emitter.once('error', reject).once(event, resolve);
  start();
  try {
    await promise;
  } finally {
    emitter.off('error', reject).off(event, resolve);
  }
}

function close(one: UdpSocket | Server): void {
  try {
    one.close();
  } catch {
    // It was not open.
  }
}
