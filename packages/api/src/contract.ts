import type { z } from 'zod';
import type { RoutePermission } from './permission.ts';

export type Method = 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

/** How the command line offers a route; see apps/cli. */
export interface CommandContract {
  /** The words that call it: `user create`. */
  readonly name: string;
  /** The path parameters and body fields that are given by position, in order; the others are options. */
  readonly positional?: readonly string[];
  /** A whole command line or more, for `--help`. */
  readonly examples: readonly string[];
  /** For lists: the fields that make the columns of the table. */
  readonly columns?: readonly string[];
  /** Fields that `--json` alone shows: too long for people. */
  readonly onlyJson?: readonly string[];
}

/** One route of the API: what validates, documents, implements and calls it is made from this. */
export interface RouteContract<
  Params extends z.ZodObject = z.ZodObject,
  Query extends z.ZodObject = z.ZodObject,
  Body extends z.ZodType = z.ZodType,
  Result extends z.ZodType = z.ZodType,
> {
  /** Its operationId. */
  readonly id: string;
  readonly method: Method;
  /** Below /api/v1, parameters in braces: `/users/{userId}`. */
  readonly path: string;
  readonly summary: string;
  readonly permission: RoutePermission;
  readonly tag: string;
  /** Dangerous: a session must have proved itself within the last ten minutes; see the route stepUp. */
  readonly stepUp?: boolean;
  /**
   * The session of a Sallyport client, which lies on a machine for months, may call it; where it has a `deviceId`, with
   * the id of that client's own device alone. For permissions `self` and `enrol`. Default: it may not.
   */
  readonly client?: boolean;
  readonly params?: Params;
  readonly query?: Query;
  readonly body?: Body;
  readonly result?: Result;
  /** Default: 200, or 204 where there is no result. */
  readonly status?: 200 | 201 | 202 | 204;
  /** The answer's media type where it isn't JSON. */
  readonly mediaType?: string;
  /** Answers with an ETag, and demands If-Match where it changes what exists. */
  readonly versioned?: boolean;
  readonly command?: CommandContract;
}

/** Declares a route, keeping its types. */
export function route<
  Params extends z.ZodObject = z.ZodObject,
  Query extends z.ZodObject = z.ZodObject,
  Body extends z.ZodType = z.ZodType,
  Result extends z.ZodType = z.ZodType,
>(contract: RouteContract<Params, Query, Body, Result>): RouteContract<Params, Query, Body, Result> {
  return contract;
}
