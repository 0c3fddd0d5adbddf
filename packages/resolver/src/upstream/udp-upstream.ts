import { randomBytes } from 'node:crypto';
import { createSocket, type Socket } from 'node:dgram';
import { lookup } from 'node:dns/promises';
import { isIP } from 'node:net';
import { readAnswer, type Answer } from '../answer.ts';
import { randomId, UpstreamError, writeQuery, type Asked, type Upstream } from './upstream.ts';
import { StreamUpstream } from './stream-upstream.ts';

/** After so many datagrams that answer something else somebody is guessing, which TCP does not allow. */
const MAX_FOREIGN = 8;

/**
 * A name server by UDP, and by TCP for what UDP does not carry. Whoever would forge an answer has to guess the port of a
 * socket that is there for one question (RFC 5452), its id, and which letters of the name were written large.
 */
export class UdpUpstream implements Upstream {
  readonly patienceMs = 1200;
  readonly #host: string;
  readonly #port: number;
  readonly #stream: StreamUpstream;
  readonly #sockets = new Map<Socket, (error: UpstreamError) => void>();
  #closed = false;

  constructor(host: string, port: number) {
    this.#host = host;
    this.#port = port;
    this.#stream = new StreamUpstream({ host, port });
  }

  async ask(asked: Asked, timeoutMs: number): Promise<Answer> {
    const startedAt = performance.now();
    const answer = await this.#askOnce(asked, timeoutMs);
    if (answer !== undefined) return answer;
    return this.#stream.ask(asked, Math.max(timeoutMs - (performance.now() - startedAt), this.#stream.patienceMs));
  }

  /** Undefined where TCP has to be asked. */
  async #askOnce(asked: Asked, timeoutMs: number): Promise<Answer | undefined> {
    const address = isIP(this.#host) === 0 ? await addressOf(this.#host) : this.#host;
    if (this.#closed) throw new UpstreamError('closed');
    const socket = createSocket({ type: isIP(address) === 6 ? 'udp6' : 'udp4', lookup: noLookup });
    const { promise, resolve, reject } = Promise.withResolvers<Answer | undefined>();
    this.#sockets.set(socket, reject);
    const timer = setTimeout(() => {
      reject(new UpstreamError('silent'));
    }, timeoutMs);
    const id = randomId();
    const question = mixCase(asked.question);
    let foreign = 0;
    socket.on('error', () => {
      reject(new UpstreamError('broken'));
    });
    socket.on('message', (message) => {
      const reading = readAnswer(message, id, question);
      if (reading.kind === 'faulty') reject(new UpstreamError('broken'));
      else if (reading.kind === 'truncated' || (reading.kind === 'answer' && !reading.sameCase)) resolve(undefined);
      else if (reading.kind === 'answer') resolve(reading.answer);
      else if (++foreign > MAX_FOREIGN) resolve(undefined);
    });
    // Connected, so that the kernel takes datagrams from this address alone and says when nobody is there.
    socket.connect(this.#port, address, (error?: Error) => {
      // No way leads there: that comes here, not as an event.
      if (error !== undefined) reject(new UpstreamError('broken'));
      else if (this.#sockets.has(socket)) socket.send(writeQuery(id, question, asked, false));
    });
    try {
      return await promise;
    } finally {
      clearTimeout(timer);
      this.#sockets.delete(socket);
      socket.close();
    }
  }

  close(): void {
    this.#closed = true;
    for (const reject of this.#sockets.values()) reject(new UpstreamError('closed'));
    this.#stream.close();
  }
}

async function addressOf(host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch {
    throw new UpstreamError('broken');
  }
}

/** It is an address already. */
function noLookup(
  host: string,
  _options: unknown,
  callback: (error: null, address: string, family: number) => void,
): void {
  callback(null, host, isIP(host));
}

/** The question with the case of each letter drawn by lot; the server writes it back as it is. */
function mixCase(question: Buffer): Buffer {
  const mixed = Buffer.from(question);
  const lots = randomBytes(mixed.length);
  for (let at = 0; at < mixed.length - 4;) {
    const end = at + 1 + mixed[at];
    for (let i = at + 1; i < end; i++) {
      const lower = mixed[i] | 0x20;
      if (lower >= 0x61 && lower <= 0x7a) mixed[i] = lower ^ (lots[i] & 0x20);
    }
    at = end;
  }
  return mixed;
}
