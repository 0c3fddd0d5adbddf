/** Calls the API of this origin by the names of its contracts. */
import type { CallInput, Problem, RouteContract, routes } from '@sallyport/api';
import { table } from 'virtual:routes';
import type { z } from 'zod';
import { t } from '../strings/index.ts';
import { endSession, session } from './session.ts';
import { proveAgain } from './step-up.ts';

type Routes = typeof routes;
export type RouteId = keyof Routes;

export type InputOf<I extends RouteId> =
  Routes[I] extends RouteContract<infer P, infer Q, infer B> ? CallInput<P, Q, B> : never;
export type OutputOf<I extends RouteId> =
  Routes[I] extends RouteContract<infer _P, infer _Q, infer _B, infer R>
    ? R extends z.ZodType
      ? z.output<R>
      : undefined
    : never;
/** Inputs may be left out where nothing must be given. */
type Arguments<I extends RouteId> =
  Readonly<Record<string, never>> extends InputOf<I> ? [input?: InputOf<I>] : [input: InputOf<I>];

/** An answer that says what went wrong. */
export class ApiProblem extends Error {
  readonly problem: Problem;
  constructor(problem: Problem) {
    super(problem.detail === '' ? problem.title : problem.detail);
    this.name = 'ApiProblem';
    this.problem = problem;
  }
}

/** No answer came. */
export class Unreachable extends Error {
  override readonly name = 'Unreachable';
}

interface AnyInput {
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: Readonly<Record<string, string | number | boolean | undefined>>;
  readonly body?: unknown;
  readonly ifMatch?: number;
  readonly signal?: AbortSignal | undefined;
}

/** Throws {@link ApiProblem} or {@link Unreachable}. Asks the user to prove themselves where the server demands it. */
export async function call<I extends RouteId>(id: I, ...[input]: Arguments<I>): Promise<OutputOf<I>> {
  return (await callAny(id, (input ?? {}) as AnyInput)) as OutputOf<I>;
}

export async function callAny(id: RouteId, input: AnyInput): Promise<unknown> {
  try {
    return await send(id, input);
  } catch (error) {
    if (!(error instanceof ApiProblem)) throw error;
    const { code } = error.problem;
    if (code === 'loginRequired' && id !== 'logIn') endSession();
    if (code !== 'stepUpRequired' || id === 'stepUp' || !(await proveAgain())) throw error;
    return send(id, input);
  }
}

/** Where a contract is served, for links to downloads. */
export function addressOf(id: RouteId, { params = {}, query = {} }: AnyInput = {}): string {
  const [, path] = table[id];
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => encodeURIComponent(params[name] ?? ''));
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== '') search.set(name, String(value));
  }
  return `/api/v1${filled}${search.size > 0 ? `?${search}` : ''}`;
}

const timeoutMs = 30_000;

async function send(id: RouteId, input: AnyInput): Promise<unknown> {
  const [method, , mediaType] = table[id];
  const headers: Record<string, string> = { accept: mediaType ?? 'application/json' };
  if (input.body !== undefined) headers['content-type'] = 'application/json';
  if (input.ifMatch !== undefined) headers['if-match'] = `"${input.ifMatch}"`;
  const csrfToken = session.value?.session?.csrfToken;
  if (method !== 'GET' && csrfToken != null) headers['x-csrf-token'] = csrfToken;
  const timeout = AbortSignal.timeout(timeoutMs);
  let response: Response;
  let text: string;
  try {
    response = await fetch(addressOf(id, input), {
      method,
      headers,
      body: input.body === undefined ? null : JSON.stringify(input.body),
      signal: input.signal === undefined ? timeout : AbortSignal.any([input.signal, timeout]),
      redirect: 'error',
    });
    text = await response.text();
  } catch (error) {
    if (input.signal?.aborted === true) throw error;
    throw new Unreachable(t.common.unreachable, { cause: error });
  }
  if (response.ok) {
    if (text === '') return undefined;
    return mediaType === null ? (JSON.parse(text) as unknown) : text;
  }
  throw new ApiProblem(problemOf(text, response.status));
}

function problemOf(text: string, status: number): Problem {
  try {
    const problem = JSON.parse(text) as Problem;
    if (typeof problem.code === 'string') return problem;
  } catch {
    // A proxy's page.
  }
  return {
    type: 'about:blank',
    title: t.common.unexpected,
    status,
    code: 'internal',
    detail: t.common.unexpectedAnswer(status),
  };
}

/** What to tell a person about anything that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
