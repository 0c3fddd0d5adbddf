/**
 * Logins by an identity provider: OpenID Connect Core 1.0 with the authorization code flow (section 3.1) and PKCE (RFC
 * 7636). A browser is sent to the provider with a sealed cookie that holds all that is known of this login, and comes
 * back with it. What goes wrong leads to `/login?problem=…`, and to the log.
 */
import type { LoginProblem } from '@sallyport/api';
import { createHash, timingSafeEqual } from 'node:crypto';
import {
  buildAuthorizationUrl,
  calculatePKCECodeChallenge,
  randomNonce,
  randomPKCECodeVerifier,
  randomState,
} from 'openid-client';
import { readCookie, setCookie } from '../auth/cookies.ts';
import type { Identity } from '../auth/identity.ts';
import { ApiError } from '../http/api-error.ts';
import type { CallerSession } from '../http/caller.ts';
import { limitKey, type Client } from '../http/client-address.ts';
import type { Endpoint, EndpointRequest } from '../http/endpoint.ts';
import { RateLimiter, type Rate } from '../http/rate-limiter.ts';
import {
  findIdentityProviderById,
  redirectUriOf,
  valueOf,
  type IdentityProviderRow,
} from '../repositories/identity-providers.ts';
import { getUser } from '../repositories/users.ts';
import type { Services } from '../services.ts';
import type { Origin } from '../store/store.ts';
import { askProvider, faultOf } from './code-exchange.ts';
import { finishLogin, finishStepUp, type Answered } from './finish.ts';
import { LoginFault } from './login-fault.ts';
import { ProviderClients } from './provider-clients.ts';
import { returnPath } from './return-path.ts';
import type { Transaction } from './transaction.ts';

/** How long people can take at the provider. */
const LOGIN_MS = 600_000;

/** Answers of one address that came to nothing: each has the provider asked. */
const CALLBACK_RATE: Rate = { burst: 20, perSecond: 1 / 15 };

export function oidcEndpoints(identity: Identity): Endpoint[] {
  const callbacks = new RateLimiter(CALLBACK_RATE);
  // Made with the first request, which brings the services.
  let made: ProviderClients | undefined;
  const clientsOf = (services: Services): ProviderClients => (made ??= new ProviderClients(services));
  const guarded =
    (serve: (request: EndpointRequest) => Promise<Response>, clears: boolean): Endpoint['serve'] =>
    async (request) => {
      try {
        return await serve(request);
      } catch (error) {
        const problem = noteFault(identity, request, error);
        return redirect(request, `/login?problem=${problem}`, clears ? clearing(request.client) : []);
      }
    };
  return [
    {
      method: 'GET',
      path: '/login/oidc/{providerId}/start',
      serve: guarded((request) => start(identity, clientsOf(request.services), request), false),
    },
    {
      method: 'GET',
      path: '/login/oidc/{providerId}/callback',
      serve: guarded((request) => finish(identity, clientsOf(request.services), callbacks, request), true),
    },
  ];
}

async function start(identity: Identity, clients: ProviderClients, request: EndpointRequest): Promise<Response> {
  const { services, url, client } = request;
  const provider = await enabledProvider(request);
  const stepUp =
    url.searchParams.get('stepUp') === 'true' ? await sessionToProve(identity, provider, request) : undefined;
  const transaction: Transaction = {
    providerId: provider.id,
    state: randomState(),
    nonce: randomNonce(),
    codeVerifier: randomPKCECodeVerifier(),
    returnTo: returnPath(url.searchParams.get('return')),
    startedAt: services.now(),
    ...(stepUp === undefined ? {} : { stepUp }),
  };
  // Before the provider is asked: without a way to keep it there is no login.
  const cookie = setCookie('oidc', client, identity.challenges.issue('oidc', transaction, LOGIN_MS), LOGIN_MS / 1000);
  let target: URL;
  try {
    target = buildAuthorizationUrl(await clients.clientOf(provider), {
      redirect_uri: redirectUriOf(services.publicUrl(), provider.id),
      scope: valueOf(provider).scopes.join(' '),
      state: transaction.state,
      nonce: transaction.nonce,
      code_challenge: await calculatePKCECodeChallenge(transaction.codeVerifier),
      code_challenge_method: 'S256',
      ...(stepUp === undefined ? {} : { prompt: 'login', max_age: '0' }),
    });
  } catch (error) {
    throw faultOf(error);
  }
  return redirect(request, target.href, [cookie]);
}

async function finish(
  identity: Identity,
  clients: ProviderClients,
  callbacks: RateLimiter,
  request: EndpointRequest,
): Promise<Response> {
  const { services, url, client } = request;
  const cookie = readCookie(request.header('cookie'), 'oidc', client);
  const transaction =
    cookie === undefined ? undefined : (identity.challenges.open('oidc', cookie) as Transaction | undefined);
  if (cookie === undefined || transaction === undefined) {
    throw new LoginFault('expired', 'this browser has begun no login, or more than ten minutes ago');
  }
  // One provider's answer must not come to count as another's (RFC 9207, mix-up attacks).
  if (transaction.providerId !== request.params['providerId']) {
    throw new LoginFault('mismatch', 'the login was begun at another provider');
  }
  if (!sameText(url.searchParams.get('state') ?? '', transaction.state)) {
    throw new LoginFault('mismatch', 'the answer belongs to another login');
  }
  const provider = await enabledProvider(request);
  const address = limitKey(client.address);
  if (callbacks.take(address, services.now()) > 0) {
    throw new LoginFault('tooManyRequests', 'too many logins from this address failed');
  }
  const back = new URL(redirectUriOf(services.publicUrl(), provider.id));
  back.search = url.search;
  const claims = await askProvider(() => clients.clientOf(provider), back, provider, transaction);
  const answered: Answered = { provider, transaction, sealed: cookie, claims, request, origin: originOf(request) };
  const cookies =
    transaction.stepUp === undefined
      ? await finishLogin(services, identity, answered)
      : await finishStepUp(services, identity, answered, transaction.stepUp);
  callbacks.giveBack(address);
  return redirect(request, transaction.returnTo, [...cookies, ...clearing(client)]);
}

async function enabledProvider({ params, services }: EndpointRequest): Promise<IdentityProviderRow> {
  const id = params['providerId'] ?? '';
  const provider = /^[\w-]{1,64}$/.test(id) ? await findIdentityProviderById(services.store.db, id) : undefined;
  if (provider?.enabled === 1) return provider;
  throw new LoginFault('providerDisabled', 'there is no such provider, or it is switched off');
}

/** The session of a browser that wants to prove again whose it is, and may do so by this provider. */
async function sessionToProve(
  identity: Identity,
  provider: IdentityProviderRow,
  request: EndpointRequest,
): Promise<NonNullable<Transaction['stepUp']>> {
  const { caller, byCookie } = await identity.authenticate(request);
  if (caller.session === undefined || !byCookie) throw new LoginFault('sessionEnded', 'there is no session to prove');
  const user = await getUser(request.services.store.db, caller.userId);
  if (!mayProve(caller.session, provider.id, user.password_hash !== null)) {
    const { id, name } = user;
    throw new LoginFault('otherUser', 'the session did not come by this provider', { user: { id, name } });
  }
  return { sessionId: caller.credentialId, userId: caller.userId };
}

/** Who has a password, and came by it, shows that: a login at a provider is no way around what goes with it. */
function mayProve({ providerId }: CallerSession, by: string, hasPassword: boolean): boolean {
  return providerId === null ? !hasPassword : providerId === by;
}

function originOf({ services, client }: EndpointRequest): Origin {
  return {
    actor: { kind: 'system', id: null, name: 'anonymous' },
    via: 'oidc',
    address: services.directory.settings.auditAddresses ? client.address : null,
  };
}

/** Says in the log what went wrong, and in the audit log who was refused. */
function noteFault({ failures }: Identity, request: EndpointRequest, error: unknown): LoginProblem {
  const { log } = request.services;
  const provider = request.params['providerId'] ?? '';
  if (error instanceof LoginFault) {
    const { problem, message, user } = error;
    log.info({ provider: provider.slice(0, 64), problem, detail: message }, 'a login by an identity provider failed');
    if (refusals.has(problem)) {
      failures.add({ user, why: problem === 'disabled' ? 'disabled' : 'provider', origin: originOf(request) });
    }
    return problem;
  }
  const problem = error instanceof ApiError ? apiProblems[error.code] : undefined;
  if (problem !== undefined) return problem;
  log.error({ err: error, provider: provider.slice(0, 64) }, 'a login by an identity provider failed');
  return 'internal';
}

const refusals: ReadonlySet<LoginProblem> = new Set(['mismatch', 'notAllowed', 'disabled', 'otherUser']);

const apiProblems: Readonly<Partial<Record<ApiError['code'], LoginProblem>>> = {
  forbidden: 'insecure',
  loginFailed: 'disabled',
  loginRequired: 'sessionEnded',
  notFound: 'sessionEnded',
  tooManyRequests: 'tooManyRequests',
  unavailable: 'unavailable',
};

function clearing(client: Client): string[] {
  return client.secure || client.loopback ? [setCookie('oidc', client, '', 0)] : [];
}

function redirect({ headers }: EndpointRequest, location: string, cookies: readonly string[]): Response {
  const answer = new Response(null, { status: 302, headers: { ...headers, location } });
  for (const cookie of cookies) answer.headers.append('set-cookie', cookie);
  return answer;
}

function sameText(a: string, b: string): boolean {
  const hash = (text: string): Buffer => createHash('sha256').update(text).digest();
  return timingSafeEqual(hash(a), hash(b));
}
