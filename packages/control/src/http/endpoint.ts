import type { Services } from '../services.ts';
import type { IncomingRequest } from './api.ts';

/** A request to an {@link Endpoint}. */
export interface EndpointRequest extends IncomingRequest {
  readonly url: URL;
  readonly params: Readonly<Record<string, string>>;
  /** What every answer says to browsers; an endpoint may say something else instead. */
  readonly headers: Readonly<Record<string, string>>;
  readonly services: Services;
  /** The body as JSON. Throws an ApiError where it is none of these media types, faulty, or too large. */
  readonly json: (...mediaTypes: readonly string[]) => Promise<unknown>;
}

/** What stands beside the API because others laid down its form: SCIM, the redirects of OpenID Connect. */
export interface Endpoint {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  /** From the root on, parameters in braces: `/scim/v2/Users/{id}`. */
  readonly path: string;
  readonly serve: (request: EndpointRequest) => Promise<Response>;
  /** The answer to what `serve` threw; default: a problem as everywhere else. */
  readonly answerError?: (error: unknown, request: EndpointRequest, requestId: string) => Response;
}
