import { connect } from 'node:net';
import { join } from 'node:path';
import type { Problem, routes } from '@sallyport/api';
import { until, type NetworkNamespace } from '@sallyport/netlab';
import type { z } from 'zod';

export interface AgentRequest {
  readonly url: string;
  readonly fingerprint: string;
  readonly token: string | undefined;
  readonly route: string;
  readonly input: {
    readonly params?: object;
    readonly query?: object;
    readonly body?: unknown;
    readonly ifMatch?: number;
  };
}

export interface AgentAnswer {
  /** Unix milliseconds. */
  readonly sentAt: number;
  readonly answeredAt: number;
  readonly result?: unknown;
  readonly message?: string;
  readonly problem?: Problem;
}

/** The API refused, or was not reached (then there is no problem). */
export class CallFailed extends Error {
  readonly problem: Problem | undefined;

  constructor(route: string, { message = '', problem }: AgentAnswer) {
    super(`${route}: ${message} ${problem === undefined ? '' : JSON.stringify(problem)}`);
    this.problem = problem;
  }
}

type RouteName = keyof typeof routes;
type ResultOf<N extends RouteName> = (typeof routes)[N] extends { readonly result?: infer R }
  ? R extends z.ZodType
    ? z.output<R>
    : undefined
  : undefined;

/** The API as somebody at a machine of the laboratory uses it. */
export class Api {
  readonly #socket: string;
  readonly url: string;
  readonly #fingerprint: string;
  readonly token: string | undefined;

  private constructor(socket: string, url: string, fingerprint: string, token?: string) {
    this.#socket = socket;
    this.url = url;
    this.#fingerprint = fingerprint;
    this.token = token;
  }

  static async start(machine: NetworkNamespace, url: string, fingerprint: string): Promise<Api> {
    const socket = join(machine.laboratory.folder, `api-${machine.label}`);
    const agent = await machine.start([process.execPath, join(import.meta.dirname, 'api-agent.ts'), socket]);
    await until('the agent', () => {
      if (agent.exit !== undefined) throw new Error(agent.stderr);
      return agent.stdout.includes('ready');
    });
    return new Api(socket, url, fingerprint);
  }

  withToken(token: string | undefined): Api {
    return new Api(this.#socket, this.url, this.#fingerprint, token);
  }

  /** @throws CallFailed */
  async call<N extends RouteName>(route: N, input: AgentRequest['input'] = {}): Promise<ResultOf<N>> {
    return (await this.timed(route, input)).result as ResultOf<N>;
  }

  /** The same, with its times. @throws CallFailed */
  async timed(route: RouteName, input: AgentRequest['input'] = {}): Promise<AgentAnswer> {
    const request: AgentRequest = { url: this.url, fingerprint: this.#fingerprint, token: this.token, route, input };
    const answer = await this.#ask(request);
    if (answer.message !== undefined) throw new CallFailed(route, answer);
    return answer;
  }

  /** What went wrong with a call that must fail. */
  async refusal(route: RouteName, input: AgentRequest['input'] = {}): Promise<CallFailed> {
    try {
      await this.timed(route, input);
    } catch (error) {
      if (error instanceof CallFailed) return error;
      throw error;
    }
    throw new Error(`${route} was not refused`);
  }

  /** Changes or removes what `read` shows, of the version that it has now. */
  async change(read: RouteName, change: RouteName, params: object, body?: unknown): Promise<AgentAnswer> {
    const { version } = (await this.timed(read, { params })).result as { version: number };
    return this.timed(change, { params, ifMatch: version, ...(body === undefined ? {} : { body }) });
  }

  #ask(request: AgentRequest): Promise<AgentAnswer> {
    return new Promise((resolve, reject) => {
      const socket = connect({ path: this.#socket, allowHalfOpen: true });
      let text = '';
      socket.setEncoding('utf8').on('data', (piece: string) => (text += piece));
      socket.on('end', () => resolve(JSON.parse(text) as AgentAnswer));
      socket.on('error', reject);
      socket.write(`${JSON.stringify(request)}\n`);
    });
  }
}
