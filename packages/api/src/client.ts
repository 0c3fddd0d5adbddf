/** Calls the API by its contracts. */
import { request as httpRequest, type IncomingHttpHeaders } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { createHash } from 'node:crypto';
import { isIP, type Socket } from 'node:net';
import { connect as connectTls, type PeerCertificate, type TLSSocket } from 'node:tls';
import type { z } from 'zod';
import type { RouteContract } from './contract.ts';
import { problem as problemSchema, type Problem } from './problem.ts';

export interface ApiClientOptions {
  /** `https://vpn.example.org`, without /api/v1. */
  readonly url: string;
  /** A session's or an API token; undefined for routes that need no login. */
  readonly token?: string | undefined;
  /** SHA-256 of the server's certificate (DER), hexadecimal: this certificate is trusted and no other. */
  readonly certificateSha256?: string | undefined;
  /** Certificates in PEM that are trusted instead of the system's. */
  readonly ca?: string | undefined;
  /** Default: 30,000. */
  readonly timeoutMs?: number | undefined;
  /** Default: 64 MiB. */
  readonly maxAnswerBytes?: number | undefined;
  /** Sent as User-Agent; the audit log tells the command line and the console from others by it. */
  readonly userAgent?: string | undefined;
  /** Begins a TCP connection, where Node's own isn't wanted; TLS comes on top of it. Each request has one of its own. */
  readonly connect?: ((host: string, port: number) => Socket) | undefined;
}

/** An answer that says what went wrong. */
export class ApiProblem extends Error {
  readonly problem: Problem;
  /** Seconds. */
  readonly retryAfter: number | undefined;
  constructor(problem: Problem, retryAfter: number | undefined) {
    super(problem.detail === '' ? problem.title : problem.detail);
    this.name = 'ApiProblem';
    this.problem = problem;
    this.retryAfter = retryAfter;
  }
}

/** No answer came, or one that is not the API's. */
export class ApiUnreachable extends Error {
  override readonly name = 'ApiUnreachable';
}

type InputOf<T> = T extends z.ZodType ? z.input<T> : undefined;
type OutputOf<T> = T extends z.ZodType ? z.output<T> : undefined;
/** What can be given where nothing must. */
type Nothing = Readonly<Record<string, never>>;
type Given<Name extends string, T> = T extends z.ZodType
  ? Nothing extends z.input<T>
    ? { readonly [K in Name]?: z.input<T> }
    : { readonly [K in Name]: z.input<T> }
  : { readonly [K in Name]?: undefined };

export type CallInput<P, Q, B> = Given<'params', P> &
  Given<'query', Q> &
  Given<'body', B> & {
    /** The version of what is changed. */
    readonly ifMatch?: number | undefined;
    readonly idempotencyKey?: string | undefined;
  };

export interface RawAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export class ApiClient {
  readonly #options: ApiClientOptions;
  readonly #base: URL;

  constructor(options: ApiClientOptions) {
    this.#base = new URL(options.url);
    if (this.#base.protocol !== 'https:' && this.#base.protocol !== 'http:') {
      throw new ApiUnreachable(`${options.url} is no address of a service: it begins with https:// or http://`);
    }
    this.#options = options;
  }

  /** The same service with another token. */
  withToken(token: string | undefined): ApiClient {
    return new ApiClient({ ...this.#options, token });
  }

  /** Throws an {@link ApiProblem} for an answer that is one, {@link ApiUnreachable} where none comes. */
  async call<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType, R extends z.ZodType>(
    contract: RouteContract<P, Q, B, R>,
    ...[input]: Nothing extends CallInput<P, Q, B> ? [CallInput<P, Q, B>?] : [CallInput<P, Q, B>]
  ): Promise<OutputOf<R>> {
    return (await this.callUntyped(contract, input ?? {})) as OutputOf<R>;
  }

  /** {@link call} for who takes contracts as they come: what goes in is checked by the server alone. */
  async callUntyped(
    contract: RouteContract,
    input: {
      readonly params?: unknown;
      readonly query?: unknown;
      readonly body?: unknown;
      readonly ifMatch?: number | undefined;
      readonly idempotencyKey?: string | undefined;
    },
  ): Promise<unknown> {
    const headers: Record<string, string> = { accept: contract.mediaType ?? 'application/json' };
    if (input.ifMatch !== undefined) headers['if-match'] = `"${input.ifMatch}"`;
    if (input.idempotencyKey !== undefined) headers['idempotency-key'] = input.idempotencyKey;
    const answer = await this.send(contract.method, apiPath(contract, input), headers, input.body);
    if (answer.status >= 400) throw problemOf(answer);
    if (contract.result === undefined) return undefined;
    const text = answer.body.toString('utf8');
    if (contract.mediaType !== undefined && contract.mediaType !== 'application/json') return text;
    try {
      return JSON.parse(text) as unknown;
    } catch (error) {
      throw new ApiUnreachable(`${this.#base.host} answered with something other than the API's JSON`, {
        cause: error,
      });
    }
  }

  /** All the items of a list, page after page. */
  async *list<P extends z.ZodObject, Q extends z.ZodObject, T>(
    contract: RouteContract<P, Q, z.ZodType, z.ZodType<{ items: T[]; next: string | null }>>,
    input: { readonly params?: InputOf<P>; readonly query?: Partial<InputOf<Q>> } = {},
  ): AsyncGenerator<T> {
    let after: string | null = null;
    do {
      const query: Record<string, unknown> = { ...input.query, ...(after === null ? {} : { after }) };
      const answer = (await this.callUntyped(contract, {
        params: input.params,
        query,
      })) as { items: T[]; next: string | null };
      yield* answer.items;
      after = answer.next;
    } while (after !== null);
  }

  /** One request; `path` as it stands behind the host. */
  send(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body?: unknown,
  ): Promise<RawAnswer> {
    const { token, timeoutMs = 30_000, maxAnswerBytes = 64 * 1024 * 1024, userAgent = 'sallyport' } = this.#options;
    const payload = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    return new Promise((resolve, reject) => {
      const fail = (error: Error): void =>
        reject(new ApiUnreachable(`${this.#base.host} can't be reached: ${error.message}`, { cause: error }));
      const request = (this.#base.protocol === 'https:' ? httpsRequest : httpRequest)({
        method,
        host: this.#base.hostname.replace(/^\[|\]$/g, ''),
        port: this.#base.port === '' ? undefined : this.#base.port,
        path,
        headers: {
          host: this.#base.host,
          'user-agent': userAgent,
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
          ...(payload === undefined
            ? {}
            : { 'content-type': 'application/json', 'content-length': String(payload.length) }),
          ...headers,
        },
        signal: AbortSignal.timeout(timeoutMs),
        ...this.#trust(),
        ...this.#connection(),
      });
      request.on('error', fail);
      request.on('response', (response) => {
        const chunks: Buffer[] = [];
        let size = 0;
        response.on('data', (chunk: Buffer) => {
          size += chunk.length;
          if (size <= maxAnswerBytes) chunks.push(chunk);
          else {
            // Before destroy: what has arrived already would end the answer as if it were whole.
            fail(new Error('the answer is too large'));
            request.destroy();
          }
        });
        response.on('error', fail);
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
        );
      });
      const pinned = this.#options.certificateSha256;
      if (pinned === undefined || this.#base.protocol !== 'https:') {
        request.end(payload);
        return;
      }
      // Nothing is sent before the certificate was seen to be the pinned one.
      request.on('socket', (socket) => {
        const tls = socket as unknown as Pick<TLSSocket, 'getPeerCertificate' | 'connecting' | 'once'> & {
          readonly secureConnecting?: boolean;
        };
        const check = (): void => {
          const certificate = tls.getPeerCertificate();
          if (fingerprintOf(certificate) === normalised(pinned)) request.end(payload);
          else
            request.destroy(
              new Error("the server's certificate isn't the one that was pinned; if it has a new one, log in again"),
            );
        };
        if (tls.connecting || tls.secureConnecting === true) tls.once('secureConnect', check);
        else check();
      });
    });
  }

  #trust(): object {
    if (this.#base.protocol !== 'https:') return {};
    // With a pinned certificate neither its issuer nor its names count, and a connection is never shared with others.
    if (this.#options.certificateSha256 !== undefined) return { rejectUnauthorized: false, agent: false };
    return this.#options.ca === undefined ? {} : { ca: this.#options.ca };
  }

  #connection(): object {
    const { connect } = this.#options;
    if (connect === undefined) return {};
    const secure = this.#base.protocol === 'https:';
    const host = this.#base.hostname.replace(/^\[|\]$/g, '');
    const port = this.#base.port === '' ? (secure ? 443 : 80) : Number(this.#base.port);
    const createConnection = (): Socket => {
      const socket = connect(host, port);
      if (!secure) return socket;
      // TLS takes the socket over, with its errors.
      const name = isIP(host) === 0 ? { servername: host } : {};
      return connectTls({ ...this.#trust(), ...name, host, socket });
    };
    return { createConnection, agent: undefined };
  }
}

function fingerprintOf(certificate: PeerCertificate): string | undefined {
  return certificate.raw === undefined ? undefined : createHash('sha256').update(certificate.raw).digest('hex');
}

function normalised(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase();
}

/** The path and query of a call. */
export function apiPath(
  contract: RouteContract,
  input: { readonly params?: unknown; readonly query?: unknown },
): string {
  const params = (input.params ?? {}) as Record<string, unknown>;
  const path = contract.path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(String(params[name])));
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries((input.query ?? {}) as Record<string, unknown>)) {
    if (value !== undefined)
      for (const one of [value].flat()) query.append(name, `${one as string | number | boolean}`);
  }
  return `/api/v1${path}${query.size > 0 ? `?${query.toString()}` : ''}`;
}

function problemOf(answer: RawAnswer): Error {
  let parsed: unknown;
  try {
    parsed = JSON.parse(answer.body.toString('utf8'));
  } catch {
    parsed = undefined;
  }
  const problem = problemSchema.safeParse(parsed);
  if (!problem.success) return new ApiUnreachable(`the answer is no problem of the API but status ${answer.status}`);
  const seconds = Number(answer.headers['retry-after']);
  return new ApiProblem(problem.data, Number.isFinite(seconds) ? seconds : undefined);
}
