/**
 * The HTTP API: what happens to a request before and after the function that serves it, in this order: size, rate,
 * login, permission, proof, form, version, repetition. A route without a contract, a permission or a function does not start.
 */
import { randomBytes } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { getRequestListener, type HttpBindings } from '@hono/node-server';
import { createOpenApi, demandsVersion, statusOf, takesIdempotencyKey, type RouteContract } from '@sallyport/api';
import { Hono, type Context } from 'hono';
import { Histogram, type Registry } from 'prom-client';
import { requireStepUp } from '../auth/step-up.ts';
import type { Services } from '../services.ts';
import type { Origin } from '../store/store.ts';
import { baseHeaders, problemAnswer } from './answers.ts';
import { ApiError } from './api-error.ts';
import { NOBODY, type Authenticated, type Caller } from './caller.ts';
import { clientReader, limitKey, type Client } from './client-address.ts';
import { ConsoleFiles } from './console-files.ts';
import { checkDeclarations, type Declared } from './declarations.ts';
import type { Endpoint, EndpointRequest } from './endpoint.ts';
import { createHealth, type ReadinessCheck } from './health.ts';
import { Idempotency, type IdempotentRequest } from './idempotency.ts';
import type { RouteImplementation } from './implement.ts';
import { RateLimiter, type Rate } from './rate-limiter.ts';
import { checkBodyHeaders, readJsonBody } from './request-body.ts';
import { requestValidator, type Validated } from './validation.ts';
import { etagOf, versionOf } from './version.ts';

/** A request as the parts that know who sends it see it. */
export interface IncomingRequest {
  readonly method: string;
  readonly client: Client;
  /** Name in lower case. */
  readonly header: (name: string) => string | undefined;
  /** Nobody asks: it does not count as a use of the session. */
  readonly unattended?: boolean;
}

export interface ApiOptions {
  readonly services: Services;
  readonly contracts: readonly RouteContract[];
  readonly implementations: readonly RouteImplementation[];
  /** Says who sends a request; throws an ApiError where its credential is no good. */
  readonly authenticate: (request: IncomingRequest) => Promise<Authenticated>;
  readonly metrics: Registry;
  readonly readiness: readonly ReadinessCheck[];
  /** Of the software, for the OpenAPI document. */
  readonly version: string;
  /** What stands beside the API. */
  readonly endpoints?: readonly Endpoint[];
  /** What is shown to browsers. Default: that there is no console. */
  readonly console?: ConsoleFiles;
  /** Addresses and prefixes of the proxies whose X-Forwarded-For and X-Forwarded-Proto count. Default: none. */
  readonly trustedProxies?: readonly string[];
  /** Requests of one address (IPv6: /64). Default: {@link DEFAULT_RATE}. */
  readonly rate?: Rate;
  /** Check answers against the contracts: for tests and development. Default: false. */
  readonly checkResults?: boolean;
}

/** Enough for a console that many people behind one address use, too little to keep a core busy. */
export const DEFAULT_RATE: Rate = { burst: 600, perSecond: 200 };

type Env = { Bindings: HttpBindings; Variables: { state: RequestState } };

interface RequestState {
  readonly id: string;
  readonly client: Client;
  readonly headers: Record<string, string>;
  readonly startedAt: number;
}

/** For `http.createServer` and `https.createServer`. Throws where the declarations have a fault. */
export function createApi(options: ApiOptions): (request: IncomingMessage, response: ServerResponse) => void {
  const { services, contracts } = options;
  const routes = checkDeclarations(contracts, options.implementations);
  const readClient = clientReader(options.trustedProxies ?? []);
  const limiter = new RateLimiter(options.rate ?? DEFAULT_RATE);
  const idempotency = new Idempotency(services.store, services.now);
  const duration = new Histogram({
    name: 'sallyport_http_request_duration_seconds',
    help: 'How long the API took to answer',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10],
    registers: [options.metrics],
  });
  const app = new Hono<Env>();

  app.use('*', async (context, next) => {
    const client = readClient(context.env.incoming);
    const id = randomBytes(8).toString('hex');
    const headers = { ...baseHeaders(client.secure), 'x-request-id': id };
    const state = { id, client, headers, startedAt: performance.now() };
    context.set('state', state);
    checkBodyHeaders(context.env.incoming);
    const wait = limiter.take(limitKey(client.address), services.now());
    if (wait > 0) {
      throw new ApiError('tooManyRequests', 'Too many requests come from your address; wait a moment.', {
        retryAfter: wait / 1000,
      });
    }
    await next();
  });

  for (const route of routes) {
    const serve = createRoute(route, options, idempotency);
    app.on(route.contract.method, apiPrefix + honoPath(route.contract.path), (context) =>
      timed(context, route.contract.path, () => serve(context)),
    );
  }
  const plain = (path: string, answer: (context: Context<Env>) => Response | Promise<Response>): void => {
    app.get(path, (context) => timed(context, path, async () => answer(context)));
  };
  const respond = (context: Context<Env>, body: string, type: string, status = 200): Response =>
    new Response(body, { status, headers: { ...context.get('state').headers, 'content-type': type } });

  const openApi = JSON.stringify(createOpenApi(contracts, options.version));
  plain('/api/openapi.json', (context) => respond(context, openApi, 'application/json'));
  const health = createHealth(options.readiness, services.now);
  plain('/healthz', (context) => respond(context, '{"status":"ok"}', 'application/json'));
  plain('/readyz', async (context) => {
    const { ready, body } = await health();
    return respond(context, JSON.stringify(body), 'application/json', ready ? 200 : 503);
  });
  // By token only. Behind a proxy on the same machine every request comes from the loopback address, so to leave
  // metrics open there would show them to everybody; and Prometheus can send a token.
  plain('/metrics', async (context) => {
    const { caller } = await options.authenticate(incomingRequest(context));
    permit(caller, { permission: 'metrics:read' });
    return respond(context, await options.metrics.metrics(), options.metrics.contentType);
  });
  for (const endpoint of options.endpoints ?? []) {
    app.on(endpoint.method, honoPath(endpoint.path), (context) =>
      timed(context, endpoint.path, async () => {
        const request = endpointRequest(context, services);
        try {
          return await endpoint.serve(request);
        } catch (error) {
          if (endpoint.answerError === undefined) throw error;
          const { id } = context.get('state');
          const answer = endpoint.answerError(error, request, id);
          // What was wrong with the request is said to who sent it; anybody could fill the log with that.
          if (answer.status === 500) services.log.error({ err: error, request: id }, 'a request failed');
          return answer;
        }
      }),
    );
  }
  // What has another method.
  const allowed = new Map<string, string[]>();
  const served = [
    ...routes.map(({ contract }) => ({ method: contract.method, path: apiPrefix + contract.path })),
    ...(options.endpoints ?? []),
  ];
  for (const { method, path } of served) {
    allowed.set(honoPath(path), [...(allowed.get(honoPath(path)) ?? []), method]);
  }
  for (const path of ['/api/openapi.json', '/healthz', '/readyz', '/metrics']) {
    allowed.set(path, ['GET']);
  }
  for (const [path, methods] of allowed) {
    app.all(path, (context) => {
      context.get('state').headers['allow'] = methods.sort().join(', ');
      throw new ApiError('methodNotAllowed', `Here go ${methods.join(', ')}.`);
    });
  }
  const files = options.console ?? new ConsoleFiles();
  app.get('*', (context, next) => {
    const { header } = incomingRequest(context);
    const answer = files.answer({ path: context.req.path, header }, context.get('state').headers);
    return answer === undefined ? next() : timed(context, 'console', () => Promise.resolve(answer));
  });
  app.notFound(() => {
    throw new ApiError('notFound', 'There is nothing at this address. /api/openapi.json lists what there is.');
  });
  app.onError((error, context) => {
    const state = context.get('state') as RequestState | undefined;
    const id = state?.id ?? randomBytes(8).toString('hex');
    if (!(error instanceof ApiError)) services.log.error({ err: error, request: id }, 'a request failed');
    return problemAnswer(error, id, state?.headers ?? { ...baseHeaders(false), 'x-request-id': id });
  });

  const timed = async (context: Context<Env>, path: string, answer: () => Promise<Response>): Promise<Response> => {
    const { startedAt } = context.get('state');
    const { method } = context.req;
    let status = 500;
    try {
      const response = await answer();
      status = response.status;
      return response;
    } catch (error) {
      if (error instanceof ApiError) status = error.status;
      throw error;
    } finally {
      duration.observe({ method, route: path, status }, (performance.now() - startedAt) / 1000);
    }
  };

  const listener = getRequestListener(app.fetch, {
    errorHandler: (error) => {
      // A request that is none: a Host header or a target that can't be read.
      const id = randomBytes(8).toString('hex');
      services.log.debug({ err: error, request: id }, 'a request could not be read');
      const fault = new ApiError('invalidRequest', 'The request line or the Host header is faulty.');
      return problemAnswer(fault, id, { ...baseHeaders(false), 'x-request-id': id });
    },
  });
  return (request, response) => void listener(request, response);
}

const apiPrefix = '/api/v1';

/** A path as the router writes it. */
function honoPath(path: string): string {
  return path.replace(/\{(\w+)\}/g, ':$1');
}

function createRoute(
  { contract, serve }: Declared,
  options: ApiOptions,
  idempotency: Idempotency,
): (context: Context<Env>) => Promise<Response> {
  const { services } = options;
  const validate = requestValidator(contract);
  const needsVersion = demandsVersion(contract);
  const mayRepeat = takesIdempotencyKey(contract);
  return async (context) => {
    const state = context.get('state');
    const request = incomingRequest(context);
    // What needs no login takes no notice of one: a browser sends the cookie of a session that a page knows nothing of.
    const authenticated = contract.permission === 'public' ? NOBODY : await options.authenticate(request);
    const { caller } = authenticated;
    const deviceId = context.req.param('deviceId');
    permit(caller, contract, deviceId);
    if (contract.stepUp === true) requireStepUp(caller, services.now());
    const body = contract.body === undefined ? undefined : await readJsonBody(context.env.incoming);
    const url = new URL(context.req.url);
    const input = validate(context.req.param(), url.searchParams, body?.value);
    const ifMatch = needsVersion ? versionOf(request.header('if-match')) : 0;
    const key = mayRepeat ? request.header('idempotency-key') : undefined;
    let repetition: IdempotentRequest | undefined;
    if (key !== undefined) {
      repetition = await idempotency.begin(key, authenticated, {
        method: contract.method,
        path: url.pathname + url.search,
        body: body?.bytes ?? Buffer.alloc(0),
      });
      if (repetition.replay !== undefined) {
        const { status, body: text } = repetition.replay;
        const value: unknown = text === '' ? undefined : JSON.parse(text);
        return jsonAnswer(contract, status, text, value, { ...state.headers, 'idempotency-replayed': 'true' });
      }
    }
    const headers: [string, string][] = [];
    const origin = originOf(services, caller, authenticated.byCookie, request);
    let result: unknown;
    try {
      result = await serve({
        ...(input as Required<Validated>),
        caller,
        recheck: async () => {
          const now = await options.authenticate({ ...request, unattended: true });
          permit(now.caller, contract, deviceId);
          return now.caller;
        },
        origin,
        client: state.client,
        services,
        ifMatch,
        header: (name) => request.header(name),
        setHeader: (name, value) => headers.push([name, value]),
      });
      if (options.checkResults === true) checkResult(contract, result);
    } catch (error) {
      // What was made, or may have been, is not made again: the key stays taken.
      if (origin.outcome?.written !== true) await repetition?.abandon().catch(() => undefined);
      throw error;
    }
    const answerHeaders = { ...state.headers };
    const status = statusOf(contract);
    let answer: Response;
    if (isStream(result)) {
      const chunks = result[Symbol.asyncIterator]();
      const isHead = context.env.incoming.method === 'HEAD';
      if (isHead) await chunks.return?.();
      answer = new Response(isHead ? null : streamOf(chunks), {
        status,
        headers: { ...answerHeaders, 'content-type': contract.mediaType ?? 'text/plain; charset=utf-8' },
      });
    } else if (contract.mediaType !== undefined && contract.mediaType !== 'application/json') {
      answer = new Response(result as string, {
        status,
        headers: { ...answerHeaders, 'content-type': contract.mediaType },
      });
    } else {
      const text = contract.result === undefined ? '' : JSON.stringify(result);
      await repetition?.finish({ status, body: text });
      answer = jsonAnswer(contract, status, text, result, answerHeaders, request.header('if-none-match'));
    }
    for (const [name, value] of headers) answer.headers.append(name, value);
    return answer;
  };
}

/** Throws unless a caller may call a route, which may be about a device. */
function permit(
  caller: Caller,
  { permission, client }: Pick<RouteContract, 'permission' | 'client'>,
  deviceId?: string,
): void {
  if (permission === 'public') return;
  if (caller.kind === 'anonymous') {
    throw new ApiError('loginRequired', 'Log in, or send an API token, as "authorization: Bearer …".');
  }
  const { permissions } = caller;
  const isClient = caller.session?.kind === 'client';
  if (isClient && client !== true) {
    throw new ApiError(
      'forbidden',
      'This is the session of a Sallyport client, which may do what the client needs to connect, and nothing else: log in ' +
        'yourself for this.',
    );
  }
  // One that was stolen is no way to the user's other devices.
  if (isClient && deviceId !== undefined && deviceId !== caller.session.deviceId) {
    throw new ApiError('forbidden', 'The session of a Sallyport client is for that client’s own device, by its id.');
  }
  if (permissions.has(permission) || (permission === 'enrol' && permissions.has('self'))) return;
  if (caller.session?.mustEnrol === true) {
    throw new ApiError(
      'enrolmentRequired',
      isClient
        ? 'Your group asks for a second factor, which was not shown when this client was let in: log the client in anew.'
        : 'Your group asks for a second factor: set up an authenticator app or a passkey first (/api/v1/me/second-factors), or ' +
            'show the one that you have at POST /api/v1/me/step-up.',
    );
  }
  throw new ApiError('forbidden', `This needs the permission ${permission}, which you or your token don't have.`);
}

function originOf(services: Services, caller: Caller, byCookie: boolean, request: IncomingRequest): Origin {
  const agent = request.header('user-agent') ?? '';
  return {
    actor:
      caller.kind === 'anonymous'
        ? { kind: 'system', id: null, name: 'anonymous' }
        : caller.kind === 'session'
          ? { kind: 'user', id: caller.userId, name: caller.userName }
          : { kind: 'token', id: caller.credentialId, name: caller.userName },
    via: byCookie ? 'console' : agent.startsWith('sallyport-cli') ? 'cli' : 'api',
    address: services.directory.settings.auditAddresses ? request.client.address : null,
    outcome: { written: false },
  };
}

function incomingRequest(context: Context<Env>): IncomingRequest {
  const { incoming } = context.env;
  return {
    method: incoming.method ?? 'GET',
    client: context.get('state').client,
    header: (name) => {
      const value = incoming.headers[name];
      return Array.isArray(value) ? value.join(', ') : value;
    },
  };
}

function endpointRequest(context: Context<Env>, services: Services): EndpointRequest {
  return {
    ...incomingRequest(context),
    url: new URL(context.req.url),
    params: context.req.param(),
    headers: context.get('state').headers,
    services,
    json: async (...mediaTypes) => (await readJsonBody(context.env.incoming, mediaTypes)).value,
  };
}

function checkResult(contract: RouteContract, result: unknown): void {
  if (contract.result === undefined) {
    if (result !== undefined) throw new Error(`${contract.id} answers nothing by its contract, but gave a result`);
    return;
  }
  if (isStream(result)) {
    if (contract.mediaType === undefined) throw new Error(`${contract.id} gave a stream, but answers JSON`);
    return;
  }
  const checked = contract.result.safeParse(result);
  if (!checked.success)
    throw new Error(`${contract.id} gave what its contract doesn't allow: ${checked.error.message}`);
  if (contract.versioned === true && typeof (result as { version?: unknown }).version !== 'number') {
    throw new Error(`${contract.id} is versioned, but its result has no version`);
  }
}

function jsonAnswer(
  contract: RouteContract,
  status: number,
  text: string,
  result: unknown,
  headers: Record<string, string>,
  ifNoneMatch?: string,
): Response {
  const version = contract.versioned === true ? (result as { version?: number } | undefined)?.version : undefined;
  if (version !== undefined) headers['etag'] = etagOf(version);
  if (contract.result === undefined) return new Response(null, { status, headers });
  if (version !== undefined && contract.method === 'GET' && ifNoneMatch !== undefined) {
    const seen = ifNoneMatch.split(',').map((tag) => tag.trim().replace(/^W\//, ''));
    if (seen.includes(etagOf(version))) return new Response(null, { status: 304, headers });
  }
  return new Response(text, { status, headers: { ...headers, 'content-type': 'application/json' } });
}

function isStream(value: unknown): value is AsyncIterable<string> {
  return typeof value === 'object' && value !== null && Symbol.asyncIterator in value;
}

/** Asks for a piece when the client has taken the one before, and says so when it is gone. */
function streamOf(chunks: AsyncIterator<string, unknown>): ReadableStream<Uint8Array> {
  const encoder = new TextEncoder();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await chunks.next();
        if (done === true) controller.close();
        else controller.enqueue(encoder.encode(value));
      },
      async cancel() {
        await chunks.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}
