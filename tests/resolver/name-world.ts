/** Name servers that do as they are told, and a client that reads every byte. */
import { once } from 'node:events';
import { createSocket } from 'node:dgram';
import { createSecureServer, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { createSecureContext, createServer as createTlsServer, type SecureContext } from 'node:tls';
import packet from 'dns-packet';
import { makeSelfSigned } from '../../packages/control/src/tls/self-signed.ts';
import { FrameReader, frame } from '../../packages/resolver/src/framing.ts';
import {
  NameServer,
  Resolver,
  type NamesPlan,
  type NameServerOptions,
  type ResolverOptions,
} from '@sallyport/resolver';

export const EMPTY: NamesPlan = { upstreams: [], blocked: [], blockLists: [], hosts: [], domains: [] };

export interface Asked {
  readonly query: packet.DecodedPacket;
  readonly name: string;
  readonly type: string;
  readonly bytes: Buffer;
  readonly way: 'udp' | 'tcp' | 'tls' | 'https';
}
/** Messages that are sent back, in this order. */
export type Behaviour = (asked: Asked) => Buffer | readonly Buffer[] | undefined | Promise<Buffer | undefined>;

export interface FakeServer {
  readonly port: number;
  readonly asked: Asked[];
  /** Connections that were made. */
  readonly connections: () => number;
  close(): void;
}

/** An answer to what was asked, with the id and the question as they came. */
export function answer(asked: Asked, given: packet.Packet & { rcode?: number }): Buffer {
  const { rcode = 0, flags = 0, ...rest } = given;
  return packet.encode({
    type: 'response',
    id: asked.query.id,
    flags: packet.RECURSION_DESIRED | packet.RECURSION_AVAILABLE | flags | rcode,
    questions: asked.query.questions,
    ...rest,
  });
}

export function address(asked: Asked, data = '192.0.2.1', ttl = 300): Buffer {
  return answer(asked, { answers: [{ type: 'A', name: asked.query.questions?.[0]?.name ?? '', ttl, data }] });
}

export function soa(name: string, ttl: number, minimum: number): packet.Answer {
  const data = { mname: 'ns.example', rname: 'root.example', serial: 1, refresh: 2, retry: 3, expire: 4, minimum };
  return { type: 'SOA', name, ttl, data };
}

function read(bytes: Buffer, way: Asked['way']): Asked {
  const query = packet.decode(bytes);
  const [question] = query.questions ?? [];
  return { query, bytes, way, name: question?.name.toLowerCase() ?? '', type: question?.type ?? '' };
}

async function respond(behaviour: Behaviour, asked: Asked, send: (message: Buffer) => void): Promise<void> {
  const messages = await behaviour(asked);
  for (const message of messages === undefined ? [] : Buffer.isBuffer(messages) ? [messages] : (messages as Buffer[]))
    send(message);
}

/** By UDP and TCP, on one port. */
export async function plainServer(behaviour: Behaviour): Promise<FakeServer> {
  const asked: Asked[] = [];
  const streams = streamServer(createServer(), 'tcp', behaviour, asked);
  const port = await streams.listen();
  const socket = createSocket('udp4');
  socket.on('message', (bytes, from) => {
    const question = read(bytes, 'udp');
    asked.push(question);
    void respond(behaviour, question, (message) => {
      socket.send(message, from.port, from.address);
    });
  });
  socket.bind(port, '127.0.0.1');
  await once(socket, 'listening');
  return {
    port,
    asked,
    connections: streams.connections,
    close: () => {
      socket.close();
      streams.close();
    },
  };
}

export function certificateFor(...hosts: string[]): { chain: string; key: string; context: SecureContext } {
  const { chain, key } = makeSelfSigned(hosts, Date.now());
  return { chain, key: key.reveal(), context: createSecureContext({ ca: chain }) };
}

export async function tlsServer(
  certificate: { chain: string; key: string },
  behaviour: Behaviour,
): Promise<FakeServer & { readonly names: string[] }> {
  const asked: Asked[] = [];
  const names: string[] = [];
  const server = createTlsServer({ cert: certificate.chain, key: certificate.key });
  const streams = streamServer(server, 'tls', behaviour, asked);
  server.on('secureConnection', (socket) => names.push(String(socket.servername)));
  return { port: await streams.listen(), asked, names, connections: streams.connections, close: streams.close };
}

function streamServer(server: Server, way: 'tcp' | 'tls', behaviour: Behaviour, asked: Asked[]) {
  const sockets = new Set<Socket>();
  let connections = 0;
  server.on(way === 'tls' ? 'secureConnection' : 'connection', (socket: Socket) => {
    connections += 1;
    sockets.add(socket);
    socket.on('error', () => undefined);
    const reader = new FrameReader((bytes) => {
      const question = read(bytes, way);
      asked.push(question);
      void respond(behaviour, question, (message) => {
        if (message.length === 0) socket.destroy();
        else socket.write(frame(message));
      });
    });
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk);
    });
  });
  return {
    connections: () => connections,
    listen: async () => {
      server.listen(0, '127.0.0.1');
      await once(server, 'listening');
      return (server.address() as AddressInfo).port;
    },
    close: () => {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}

export async function httpsServer(
  certificate: { chain: string; key: string },
  behaviour: Behaviour,
  status = 200,
): Promise<FakeServer & { readonly headers: Record<string, unknown>[]; readonly drop: () => void }> {
  const asked: Asked[] = [];
  const headers: Record<string, unknown>[] = [];
  const server = createSecureServer({ cert: certificate.chain, key: certificate.key });
  let connections = 0;
  const sessions = new Set<ServerHttp2Session>();
  server.on('session', (session: ServerHttp2Session) => {
    connections += 1;
    sessions.add(session);
  });
  server.on('stream', (stream: ServerHttp2Stream, received) => {
    headers.push(received);
    const chunks: Buffer[] = [];
    stream.on('error', () => undefined);
    stream.on('data', (chunk: Buffer) => chunks.push(chunk));
    stream.on('end', () => {
      const question = read(Buffer.concat(chunks), 'https');
      asked.push(question);
      void respond(behaviour, question, (message) => {
        stream.respond({ ':status': status, 'content-type': 'application/dns-message' });
        stream.end(message);
      });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const drop = (): void => {
    for (const session of sessions) session.destroy();
    sessions.clear();
  };
  const close = (): void => {
    drop();
    server.close();
  };
  return { port: (server.address() as AddressInfo).port, asked, headers, connections: () => connections, drop, close };
}

export interface Answered extends packet.DecodedPacket {
  readonly rcode: string;
  readonly bytes: Buffer;
}

export interface Wanted {
  readonly name?: string;
  readonly type?: string;
  readonly flags?: number;
  readonly edns?: { readonly bytes?: number; readonly dnssecOk?: boolean; readonly version?: number };
  readonly tcp?: boolean;
  /** Instead of all that. */
  readonly bytes?: Buffer;
}

export function queryBytes({
  name = 'www.example.com',
  type = 'A',
  flags = packet.RECURSION_DESIRED,
  edns,
}: Wanted): Buffer {
  const opt = {
    type: 'OPT',
    name: '.',
    udpPayloadSize: edns?.bytes ?? 1232,
    flags: edns?.dnssecOk === true ? packet.DNSSEC_OK : 0,
    ednsVersion: edns?.version ?? 0,
    options: [],
  } as unknown as packet.OptAnswer;
  return packet.encode({
    type: 'query',
    id: 0x1234,
    flags,
    questions: [{ name, type: type as packet.RecordType }],
    additionals: edns === undefined ? [] : [opt],
  });
}

/** A name server of the gateway's, for a plan, on a port of its own. */
export class World {
  readonly server: NameServer;
  readonly resolver: Resolver;
  readonly port: number;

  private constructor(server: NameServer, resolver: Resolver) {
    this.server = server;
    this.resolver = resolver;
    this.port = server.ports[0] ?? 0;
  }

  static async open(
    plan: Partial<NamesPlan>,
    options: ResolverOptions = {},
    serving: NameServerOptions = {},
  ): Promise<World> {
    const server = await NameServer.bind(['127.0.0.1'], 0);
    const resolver = new Resolver({ ...EMPTY, ...plan }, options);
    server.serve(resolver, serving);
    return new World(server, resolver);
  }

  /** Undefined where no answer comes within `waitMs`. */
  async tryAsk(wanted: Wanted, waitMs = 300): Promise<Answered | undefined> {
    const bytes = wanted.bytes ?? queryBytes(wanted);
    const received = wanted.tcp === true ? await this.#byTcp(bytes, waitMs) : await this.#byUdp(bytes, waitMs);
    if (received === undefined) return undefined;
    return { ...(packet.decode(received) as Answered), bytes: received };
  }

  async ask(wanted: Wanted): Promise<Answered> {
    const answered = await this.tryAsk(wanted, 60_000);
    if (answered === undefined) throw new Error('no answer');
    return answered;
  }

  async #byUdp(bytes: Buffer, waitMs: number): Promise<Buffer | undefined> {
    const socket = createSocket('udp4');
    const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
    const timer = setTimeout(resolve, waitMs, undefined);
    socket.on('message', resolve);
    socket.send(bytes, this.port, '127.0.0.1');
    const received = await promise;
    clearTimeout(timer);
    socket.close();
    return received;
  }

  async #byTcp(bytes: Buffer, waitMs: number): Promise<Buffer | undefined> {
    const socket = connect(this.port, '127.0.0.1');
    const { promise, resolve } = Promise.withResolvers<Buffer | undefined>();
    const timer = setTimeout(resolve, waitMs, undefined);
    const reader = new FrameReader(resolve);
    socket.on('data', (chunk: Buffer) => {
      reader.push(chunk);
    });
    socket.on('error', () => resolve(undefined)).on('close', () => resolve(undefined));
    socket.write(frame(bytes));
    const received = await promise;
    clearTimeout(timer);
    socket.destroy();
    return received;
  }

  close(): void {
    this.server.close();
    this.resolver.close();
  }
}

/** The data of the answers of a type, as text. */
export function dataOf(answered: Answered): string[] {
  return (answered.answers ?? []).map((record) => String((record as { data?: unknown }).data));
}
