/** The control plane, as the daemon asks it: by address, beside the tunnel, with the account's token and certificate. */
import { isIP, type Socket } from 'node:net';
import { ApiClient, ApiProblem, ApiUnreachable, type CallInput, type RouteContract } from '@sallyport/api';
import type { z } from 'zod';
import { messageOf } from '../failure.ts';
import { addressesOf, reachFirst } from '../network/connect.ts';
import { parseTolerantly } from './tolerant.ts';

const CONNECT_TIMEOUT_MS = 5000;
/** Of all addresses together: the state machine waits no longer. */
const ANSWER_TIMEOUT_MS = 10_000;
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;
const MAX_ADDRESSES = 8;
const MAX_FAILED = 64;

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
  /** It answered at the first of the addresses. */
  #answered = false;
  /** Where somebody took the connection and no answer came: tried last. */
  readonly #failed = new Set<string>();

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

  /** Those that are known: where it answered last first. One that was only connected to is none of them. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** Takes in addresses that the control plane gave for itself, behind the one that works. */
  learn(addresses: readonly string[]): void {
    const [first] = this.#addresses;
    this.#addresses = [...new Set([...(first === undefined ? [] : [first]), ...addresses])].slice(0, MAX_ADDRESSES);
  }

  withToken(token: string): ControlPlane {
    const other = new ControlPlane({ ...this.#options, token, addresses: this.#addresses });
    other.#answered = this.#answered;
    return other;
  }

  /** Throws an ApiProblem for an answer that is one, an ApiUnreachable where none comes. */
  async call<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType, R extends z.ZodType>(
    contract: RouteContract<P, Q, B, R>,
    input: CallInput<P, Q, B>,
  ): Promise<z.output<R>> {
    // What changes something is asked once alone, and so where it is known that the control plane hears it.
    const once = contract.method !== 'GET';
    if (once && !this.#answered) await this.serverTime();
    return this.#ask(once, async (client) => {
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
    const { headers } = await this.#ask(false, (client) => client.send('GET', '/healthz'));
    const at = Date.parse(headers.date ?? '');
    return Number.isNaN(at) ? undefined : at;
  }

  /** One after the other, until an answer comes: who takes a connection there need not be the control plane. */
  async #ask<T>(once: boolean, ask: (client: ApiClient) => Promise<T>): Promise<T> {
    const { url, fingerprint, token, userAgent } = this.#options;
    const end = performance.now() + ANSWER_TIMEOUT_MS;
    let candidates = await this.#candidates(once);
    for (;;) {
      const { socket, address } = await this.#reach(candidates, end);
      const client = new ApiClient({
        url,
        token,
        certificateSha256: fingerprint ?? undefined,
        userAgent,
        timeoutMs: Math.max(1, Math.ceil(end - performance.now())),
        maxAnswerBytes: MAX_ANSWER_BYTES,
        connect: () => socket,
      });
      try {
        const answer = await ask(client);
        this.#answeredAt(address);
        return answer;
      } catch (error) {
        if (error instanceof ApiProblem) this.#answeredAt(address);
        if (!(error instanceof ApiUnreachable)) throw error;
        this.#failedAt(address);
        candidates = candidates.filter((other) => other !== address);
        if (once || candidates.length === 0 || performance.now() >= end) throw error;
      } finally {
        socket.destroy();
      }
    }
  }

  #answeredAt(address: string): void {
    this.#answered = true;
    this.#failed.delete(address);
    this.#addresses = [...new Set([address, ...this.#addresses])].slice(0, MAX_ADDRESSES);
  }

  #failedAt(address: string): void {
    if (this.#addresses[0] === address) this.#answered = false;
    if (this.#failed.size >= MAX_FAILED) this.#failed.clear();
    this.#failed.add(address);
    const known = this.#addresses;
    if (known.includes(address)) this.#addresses = [...known.filter((other) => other !== address), address];
  }

  /** A connection to it, without TLS yet. Throws an ApiUnreachable. */
  async connect(): Promise<Socket> {
    const end = performance.now() + CONNECT_TIMEOUT_MS;
    return (await this.#reach(await this.#candidates(false), end)).socket;
  }

  /** What answered last comes first: a name's answer may be an attacker's, or a portal's. */
  async #candidates(knownOnly: boolean): Promise<string[]> {
    const mayAsk = !knownOnly && (isIP(this.host) !== 0 || this.#options.mayAskNames());
    const all = [...new Set([...this.#addresses, ...(mayAsk ? await addressesOf(this.host) : [])])];
    const failed = (address: string): boolean => this.#failed.has(address);
    return [...all.filter((address) => !failed(address)), ...all.filter(failed)];
  }

  async #reach(
    candidates: readonly string[],
    end: number,
  ): Promise<{ readonly socket: Socket; readonly address: string }> {
    try {
      const timeoutMs = Math.min(CONNECT_TIMEOUT_MS, Math.max(1, end - performance.now()));
      return await reachFirst(candidates, this.port, timeoutMs);
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
