import type { RouteContract } from '@sallyport/api';
import type { z } from 'zod';
import type { Services } from '../services.ts';
import type { Origin } from '../store/store.ts';
import type { Caller } from './caller.ts';
import type { Client } from './client-address.ts';

/** A request that was validated and permitted. */
export interface RequestContext<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly caller: Caller;
  /** Who sends it now, in the middle of a long answer. Throws an ApiError where they may not any more. */
  readonly recheck: () => Promise<Caller>;
  readonly origin: Origin;
  /** Where the request came from; for limits and cookies, never to be kept. */
  readonly client: Client;
  readonly services: Services;
  /** The version of If-Match; present where the contract is `versioned` and changes something. */
  readonly ifMatch: number;
  /** The request's headers, lower case. */
  readonly header: (name: string) => string | undefined;
  /** Sets a header of the answer. */
  readonly setHeader: (name: string, value: string) => void;
}

/** Long texts may come piece by piece. */
type Output<R> = R extends z.ZodType
  ? z.input<R> | (z.input<R> extends string ? AsyncIterable<string> : never)
  : unknown;

type Input<T> = T extends z.ZodType ? z.output<T> : undefined;

/**
 * A contract and what serves it. The result is validated against the contract in tests, and has `version` where
 * versioned. A contract with a `mediaType` of its own may be served an AsyncIterable of text, for long answers.
 */
export interface RouteImplementation {
  readonly contract: RouteContract;
  readonly serve: (context: RequestContext<unknown, unknown, unknown>) => Promise<unknown>;
}

export function implement<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType, R extends z.ZodType>(
  contract: RouteContract<P, Q, B, R>,
  serve: (context: RequestContext<Input<P>, Input<Q>, Input<B>>) => Promise<Output<R>>,
): RouteImplementation {
  return { contract: contract, serve: serve as RouteImplementation['serve'] };
}
