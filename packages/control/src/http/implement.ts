import type { RouteContract } from '@sallyport/api';
import type { z } from 'zod';
import type { Services } from '../services.ts';
import type { Origin } from '../store/store.ts';
import type { Caller } from './caller.ts';

/** A request that was validated and permitted. */
export interface RequestContext<Params, Query, Body> {
  readonly params: Params;
  readonly query: Query;
  readonly body: Body;
  readonly caller: Caller;
  readonly origin: Origin;
  readonly services: Services;
  /** The version of If-Match; present where the contract is `versioned` and changes something. */
  readonly ifMatch: number;
  /** The request's headers, lower case. */
  header(name: string): string | undefined;
  /** Sets a header of the answer. */
  setHeader(name: string, value: string): void;
}

type Input<T> = T extends z.ZodType ? z.output<T> : undefined;

/** A contract and what serves it. The result is validated against the contract in tests, and has `version` where versioned. */
export interface RouteImplementation {
  readonly contract: RouteContract;
  readonly serve: (context: RequestContext<unknown, unknown, unknown>) => Promise<unknown>;
}

export function implement<P extends z.ZodObject, Q extends z.ZodObject, B extends z.ZodType, R extends z.ZodType>(
  contract: RouteContract<P, Q, B, R>,
  serve: (context: RequestContext<Input<P>, Input<Q>, Input<B>>) => Promise<z.input<R>>,
): RouteImplementation {
  return { contract: contract, serve: serve as RouteImplementation['serve'] };
}
