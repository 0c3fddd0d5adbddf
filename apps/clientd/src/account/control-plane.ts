/** The control plane, as the daemon asks it: by address, beside the tunnel, with the account's token and certificate. */
import { isIP, type Socket } from 'node:net';
import { ApiClient, ApiProblem, ApiUnreachable, type CallInput, type RouteContract } from '@sallyport/api';
import type { z } from 'zod';
import { messageOf } from '../failure.ts';
import { addressesOf, connectFirst } from '../network/connect.ts';
import { parseTolerantly } from './tolerant.ts';

const CONNECT_TIMEOUT_MS = 5000;
const ANSWER_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const MAX_ADDRESSES = 8;

export interface ControlPlaneOptions {
  readonly url: string;
  readonly fingerprint: string | null;
  readonly token: string | undefined;
  /** Known already, the best first. */
  readonly addresses: readonly string[];
  /** Whether names may be asked now: not while everything outside the tunnel is blocked. */
  readonly mayAskNames: () => boolean;
  readonly userAgent: string;
}

export class ControlPlane {
  readonly host: string;
  readonly port: number;
  readonly #options: ControlPlaneOptions;
  #addresses: string[];

  /** Throws an ApiUnreachable for what is no address of a service, or one that would be told the token in the clear. */
  constructor(options: ControlPlaneOptions) {
    // Checks the address.
    new ApiClient({ url: options.url });
    const url = new URL(options.url);
    this.host = url.hostname.replace(/^\[|\]$/g, '');
    if (url.protocol !== 'https:' && !isLoopback(this.host))
      throw new ApiUnreachable(`${options.url} is not encrypted: everybody on the way could read the login and take it over; use https://, with --fingerprint where no authority vouches for the certificate`); // prettier-ignore
    this.port = url.port === '' ? (url.protocol === 'https:' ? 443 : 80) : Number(url.port);
    this.#options = options;
    this.#addresses = [...options.addresses].slice(0, MAX_ADDRESSES);
  }

  /** Those that are known: where it answered last first. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** Takes in addresses that the control plane gave for itself, behind the one that works. */
  learn(addresses: readonly string[]): void {
    const [first] = this.#addresses;
    this.#addresses = [...new Set([...(first === undefined ? [] : [first]), ...addresses])].slice(0, MAX_ADDRESSES);
  }

  withToken(token: string): ControlPlane {
    return new ControlPlane({ ...this.#options, token, addresses: this.#addresses });
  }

  /** Throws an ApiProblem for an answer that is one, an ApiUnreachable where none comes. */
  async call<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType, R extends z.ZodType>(
    contract: RouteContract<P, Q, B, R>,
    input: CallInput<P, Q, B>,
  ): Promise<z.output<R>> {
    return this.#ask(async (client) => {
      const answer = await client.callUntyped(contract, input);
      if (contract.result === undefined) return undefined as z.output<R>;
      const parsed = parseTolerantly(contract.result, answer);
      if (parsed === undefined)
        throw new ApiUnreachable(`${this.host} answered with something other than the API's JSON`);
      return parsed;
    });
  }

  /** The server's clock, Unix milliseconds, to the second; undefined where it doesn't say. Throws an ApiUnreachable. */
  async serverTime(): Promise<number | undefined> {
    const { headers } = await this.#ask((client) => client.send('GET', '/healthz'));
    const at = Date.parse(headers.date ?? '');
    return Number.isNaN(at) ? undefined : at;
  }

  async #ask<T>(ask: (client: ApiClient) => Promise<T>): Promise<T> {
    const { url, fingerprint, token, userAgent } = this.#options;
    const socket = await this.connect();
    const client = new ApiClient({
      url,
      token,
      certificateSha256: fingerprint ?? undefined,
      userAgent,
      timeoutMs: ANSWER_TIMEOUT_MS,
      maxAnswerBytes: MAX_ANSWER_BYTES,
      connect: () => socket,
    });
    try {
      return await ask(client);
    } finally {
      socket.destroy();
    }
  }

  /** A connection to it, without TLS yet. Throws an ApiUnreachable. */
  async connect(): Promise<Socket> {
    // What worked last comes first: a name's answer may be an attacker's, or a portal's.
    const known = this.#addresses;
    const asked = isIP(this.host) !== 0 || this.#options.mayAskNames() ? await addressesOf(this.host) : [];
    const candidates = [...new Set([...known, ...asked])].slice(0, MAX_ADDRESSES);
    try {
      const socket = await connectFirst(candidates, this.port, CONNECT_TIMEOUT_MS);
      const reached = socket.remoteAddress;
      if (reached !== undefined) this.#addresses = [...new Set([reached, ...candidates])].slice(0, MAX_ADDRESSES);
      return socket;
    } catch (error) {
      throw new ApiUnreachable(`${this.host} can't be reached: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** By its address: what a name means is said by others. */
function isLoopback(host: string): boolean {
  return host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** The code of the API's problem that an error is. */
export function problemCode(error: unknown): string | undefined {
  return error instanceof ApiProblem ? error.problem.code : undefined;
}
