import { connect as connectTcp, isIP, type Socket } from 'node:net';
import { connect as connectTls, type SecureContext } from 'node:tls';
import { FrameReader, frame } from '../framing.ts';
import { readAnswer, type Answer } from '../answer.ts';
import { randomId, UpstreamError, writeQuery, type Asked, type Upstream } from './upstream.ts';

export interface StreamOptions {
  readonly host: string;
  readonly port: number;
  /** By TLS: what the certificate must be for, and whose word counts for that (by default that of Node's authorities). */
  readonly tls?: { readonly name: string; readonly context?: SecureContext | undefined };
}

/** Questions under way on a connection. */
const MAX_PENDING = 256;
const IDLE_MS = 10_000;

/** A name server by TCP (RFC 7766) or TLS (RFC 7858): one connection for all questions, which don't wait for each other. */
export class StreamUpstream implements Upstream {
  readonly patienceMs = 2500;
  readonly #options: StreamOptions;
  #connection: Connection | undefined;
  #closed = false;

  constructor(options: StreamOptions) {
    this.#options = options;
  }

  async ask(asked: Asked, timeoutMs: number): Promise<Answer> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      if (this.#closed) throw new UpstreamError('closed');
      const known = this.#connection?.isOpen === true ? this.#connection : undefined;
      const connection = known ?? new Connection(this.#options);
      this.#connection = connection;
      try {
        return await connection.ask(asked, deadline - performance.now());
      } catch (error) {
        // A server may close a connection at any time; whether it still answers, a new one shows.
        const wasUsed = known?.wasAnswered === true && performance.now() < deadline;
        if (!(wasUsed && error instanceof UpstreamError && error.fault === 'broken')) throw error;
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#connection?.end('closed');
  }
}

interface Pending {
  readonly question: Buffer;
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: UpstreamError) => void;
}

class Connection {
  readonly #socket: Socket;
  readonly #padded: boolean;
  readonly #pending = new Map<number, Pending>();
  isOpen = true;
  wasAnswered = false;
  #heardAt = 0;

  constructor({ host, port, tls }: StreamOptions) {
    this.#padded = tls !== undefined;
    this.#socket =
      tls === undefined
        ? connectTcp({ host, port, noDelay: true })
        : connectTls({
            host,
            port,
            minVersion: 'TLSv1.2',
            // An address is no name to ask for (RFC 6066), and is checked against the certificate all the same.
            ...(isIP(tls.name) === 0 ? { servername: tls.name } : {}),
            ...(tls.context === undefined ? {} : { secureContext: tls.context }),
          });
    const reader = new FrameReader((message) => {
      this.#take(message);
    });
    this.#socket
      .setTimeout(IDLE_MS, () => {
        this.end('silent');
      })
      .on('data', (chunk: Buffer) => {
        reader.push(chunk);
      })
      .on('error', () => {
        this.end('broken');
      })
      .on('close', () => {
        this.end('broken');
      })
      .on('end', () => {
        this.end('broken');
      });
  }

  ask(asked: Asked, timeoutMs: number): Promise<Answer> {
    if (this.#pending.size >= MAX_PENDING) return Promise.reject(new UpstreamError('silent'));
    let id = randomId();
    while (this.#pending.has(id)) id = (id + 1) & 0xffff;
    const startedAt = performance.now();
    return new Promise<Answer>((resolve, reject) => {
      const timer = setTimeout(
        () => {
          // Nothing at all since then: the connection leads nowhere.
          if (this.#heardAt < startedAt) this.end('silent');
          this.#finish(id)?.reject(new UpstreamError('silent'));
        },
        Math.max(timeoutMs, 1),
      );
      this.#pending.set(id, {
        question: asked.question,
        resolve: (answer) => {
          clearTimeout(timer);
          resolve(answer);
        },
        reject: (error) => {
          clearTimeout(timer);
          reject(error);
        },
      });
      this.#socket.write(frame(writeQuery(id, asked.question, asked, this.#padded)));
    });
  }

  #take(message: Buffer): void {
    this.#heardAt = performance.now();
    if (message.length < 2) return;
    const id = message.readUInt16BE(0);
    const pending = this.#pending.get(id);
    // The answer to what is no longer waited for.
    if (pending === undefined) return;
    const reading = readAnswer(message, id, pending.question);
    if (reading.kind !== 'answer') {
      this.#finish(id)?.reject(new UpstreamError('broken'));
      return;
    }
    this.wasAnswered = true;
    this.#finish(id);
    pending.resolve(reading.answer);
  }

  #finish(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    this.#pending.delete(id);
    return pending;
  }

  end(fault: 'broken' | 'silent' | 'closed'): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.#socket.destroy();
    for (const { reject } of this.#pending.values()) reject(new UpstreamError(fault));
    this.#pending.clear();
  }
}
