import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream, type SecureClientSessionOptions } from 'node:http2'; // prettier-ignore
import type { SecureContext } from 'node:tls';
import { readAnswer, type Answer } from '../answer.ts';
import { MAX_MESSAGE_BYTES } from '../wire.ts';
import { UpstreamError, writeQuery, type Asked, type Upstream } from './upstream.ts';

export interface HttpsOptions {
  /** `https://dns.quad9.net` */
  readonly origin: string;
  readonly path: string;
  readonly context?: SecureContext | undefined;
}

const IDLE_MS = 30_000;
const MEDIA_TYPE = 'application/dns-message';

/** A name server by HTTPS (RFC 8484), HTTP/2 on one connection. Its own name is asked of the system. */
export class HttpsUpstream implements Upstream {
  readonly patienceMs = 2500;
  readonly #options: HttpsOptions;
  #session: Session | undefined;
  #closed = false;

  constructor(options: HttpsOptions) {
    this.#options = options;
  }

  async ask(asked: Asked, timeoutMs: number): Promise<Answer> {
    const deadline = performance.now() + timeoutMs;
    for (;;) {
      if (this.#closed) throw new UpstreamError('closed');
      const known = this.#session?.isOpen === true ? this.#session : undefined;
      const session = known ?? new Session(this.#options);
      this.#session = session;
      try {
        return await session.ask(asked, this.#options.path, deadline - performance.now());
      } catch (error) {
        const wasUsed = known?.wasAnswered === true && !known.isOpen && performance.now() < deadline;
        if (!(wasUsed && error instanceof UpstreamError && error.fault === 'broken')) throw error;
      }
    }
  }

  close(): void {
    this.#closed = true;
    this.#session?.end();
  }
}

class Session {
  readonly #session: ClientHttp2Session;
  isOpen = true;
  wasAnswered = false;
  #heardAt = 0;

  constructor({ origin, context }: HttpsOptions) {
    const options: SecureClientSessionOptions & { secureContext?: SecureContext } = {
      minVersion: 'TLSv1.2',
      settings: { enablePush: false },
      ...(context === undefined ? {} : { secureContext: context }),
    };
    const over = (): void => {
      this.isOpen = false;
    };
    this.#session = connect(origin, options).on('error', over).on('goaway', over).on('close', over);
    this.#session.setTimeout(IDLE_MS, () => {
      this.end();
    });
  }

  async ask(asked: Asked, path: string, timeoutMs: number): Promise<Answer> {
    // The id is 0 (section 4.1): what belongs together is known by the stream.
    const query = writeQuery(0, asked.question, asked, true);
    const startedAt = performance.now();
    let stream: ClientHttp2Stream;
    try {
      stream = this.#session.request({
        ':method': 'POST',
        ':path': path,
        'content-type': MEDIA_TYPE,
        accept: MEDIA_TYPE,
        'content-length': query.length,
      });
    } catch {
      this.isOpen = false;
      throw new UpstreamError('broken');
    }
    const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
    const timer = setTimeout(
      () => {
        if (this.#heardAt < startedAt) this.end();
        reject(new UpstreamError('silent'));
      },
      Math.max(timeoutMs, 1),
    );
    const chunks: Buffer[] = [];
    let length = 0;
    stream
      .on('response', (headers) => {
        this.#heardAt = performance.now();
        if (headers[':status'] !== 200 || headers['content-type'] !== MEDIA_TYPE) reject(new UpstreamError('broken'));
      })
      .on('data', (chunk: Buffer) => {
        length += chunk.length;
        if (length > MAX_MESSAGE_BYTES) reject(new UpstreamError('broken'));
        else chunks.push(chunk);
      })
      .on('end', () => {
        resolve(Buffer.concat(chunks));
      })
      .on('error', () => {
        reject(new UpstreamError('broken'));
      })
      .on('close', () => {
        reject(new UpstreamError('broken'));
      });
    stream.end(query);
    try {
      const reading = readAnswer(await promise, 0, asked.question);
      if (reading.kind !== 'answer') throw new UpstreamError('broken');
      this.wasAnswered = true;
      return reading.answer;
    } finally {
      clearTimeout(timer);
      if (!stream.destroyed) stream.close(constants.NGHTTP2_CANCEL);
    }
  }

  end(): void {
    this.isOpen = false;
    this.#session.destroy();
  }
}
