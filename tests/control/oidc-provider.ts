/** A real OpenID provider (the package oidc-provider) on the loopback address, and browsers that go there and back. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import Provider from 'oidc-provider';
import { apiWorld } from './api-world.ts';

export type World = Awaited<ReturnType<typeof apiWorld>>;

/** The service's address, as the providers know it. */
export const SERVICE = 'https://vpn.example.org';

export interface TestClient {
  readonly id: string;
  /** Undefined: one that proves itself by PKCE alone. */
  readonly secret?: string;
  readonly redirectUris: readonly string[];
  /** How it sends the secret. Default: `client_secret_basic`. */
  readonly method?: 'client_secret_basic' | 'client_secret_post';
}

export interface TestProvider extends AsyncDisposable {
  readonly issuer: string;
  /** Claims by subject; tests may change them. */
  readonly accounts: Map<string, Record<string, unknown>>;
  /** Who is at the keyboard; null says no. */
  user: string | null;
  /** The paths that were asked for. */
  readonly requests: string[];
}

/** Listens, so that its port is known before it is registered anywhere. */
export async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

export async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  await once(server, 'close');
}

export async function startProvider(
  clientsOf: (issuer: string) => readonly TestClient[] | Promise<readonly TestClient[]>,
  /** Of the package. */
  configuration: object = {},
): Promise<TestProvider> {
  const server = createServer();
  const issuer = await listen(server);
  const accounts = new Map<string, Record<string, unknown>>();
  const clients = await clientsOf(issuer);
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const provider = new Provider(issuer, {
    adapter: memoryAdapter(),
    clients: clients.map(({ id, secret, redirectUris, method }) => ({
      client_id: id,
      redirect_uris: redirectUris,
      response_types: ['code'],
      grant_types: ['authorization_code'],
      ...(secret === undefined
        ? { token_endpoint_auth_method: 'none' }
        : { client_secret: secret, token_endpoint_auth_method: method ?? 'client_secret_basic' }),
    })),
    jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: 'one', use: 'sig', alg: 'RS256' }] },
    cookies: { keys: [randomBytes(16).toString('hex')] },
    claims: {
      openid: ['sub'],
      email: ['email', 'email_verified'],
      profile: ['name', 'preferred_username'],
      groups: ['groups'],
    },
    pkce: { required: () => true },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_context: unknown, { uid }: { uid: string }) => `/interaction/${uid}` },
    ttl: { AccessToken: 60, AuthorizationCode: 60, IdToken: 600, Interaction: 600, Session: 600, Grant: 600 },
    findAccount: (_context: unknown, id: string) =>
      accounts.has(id) ? { accountId: id, claims: () => ({ sub: id, ...accounts.get(id) }) } : undefined,
    ...configuration,
  });
  const serve = provider.callback();
  const self: TestProvider = {
    issuer,
    accounts,
    user: null,
    requests: [],
    [Symbol.asyncDispose]: () => closeServer(server),
  };
  server.on('request', (request, response) => {
    self.requests.push(request.url ?? '');
    if (request.url?.startsWith('/interaction/') !== true) {
      serve(request, response);
      return;
    }
    void (async () => {
      const { params } = await provider.interactionDetails(request, response);
      if (self.user === null) {
        await provider.interactionFinished(request, response, { error: 'access_denied' });
        return;
      }
      const grant = new provider.Grant({ accountId: self.user, clientId: params.client_id });
      grant.addOIDCScope('openid profile email groups');
      await provider.interactionFinished(request, response, {
        login: { accountId: self.user },
        consent: { grantId: await grant.save() },
      });
    })();
  });
  return self;
}

/** What the package keeps, for one provider. */
function memoryAdapter() {
  const all = new Map<string, Record<string, unknown>>();
  return class {
    readonly #name: string;
    constructor(name: string) {
      this.#name = name;
    }
    #key(id: string): string {
      return `${this.#name} ${id}`;
    }
    async upsert(id: string, payload: Record<string, unknown>): Promise<void> {
      await Promise.resolve(all.set(this.#key(id), payload));
    }
    async find(id: string): Promise<unknown> {
      return Promise.resolve(all.get(this.#key(id)));
    }
    async findByUid(uid: string): Promise<unknown> {
      return Promise.resolve(
        [...all].find(([key, value]) => key.startsWith(`${this.#name} `) && value['uid'] === uid)?.[1],
      );
    }
    async consume(id: string): Promise<void> {
      const payload = all.get(this.#key(id));
      await Promise.resolve(payload === undefined ? undefined : (payload['consumed'] = Math.floor(Date.now() / 1000)));
    }
    async destroy(id: string): Promise<void> {
      await Promise.resolve(all.delete(this.#key(id)));
    }
    async revokeByGrantId(grantId: string): Promise<void> {
      for (const [key, value] of all) if (value['grantId'] === grantId) all.delete(key);
      await Promise.resolve();
    }
  };
}

interface Cookie {
  readonly value: string;
  readonly strict: boolean;
}

/** Where a browser came to stand, and what it was told there. */
export interface Arrival {
  readonly url: URL;
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
}

/** A browser without pages: it follows redirects and keeps cookies as browsers do, `SameSite=Strict` included. */
export class Browser {
  readonly cookies = new Map<string, Map<string, Cookie>>();
  readonly #world: World;

  constructor(world: World) {
    this.#world = world;
  }

  /** Types an address, or follows a link of the service's own page, until there is no redirect or `stop` says so. */
  async go(address: string, stop: (url: URL) => boolean = () => false): Promise<Arrival> {
    let url = new URL(address, SERVICE);
    let crossSite = false;
    for (let hops = 0; hops < 20; hops++) {
      const arrival = await this.#request(url, crossSite);
      const location = arrival.headers.get('location');
      if (location === null) return arrival;
      const next = new URL(location, url);
      if (stop(next)) return { ...arrival, url: next };
      // One other site in the chain of redirects is enough.
      crossSite ||= next.origin !== url.origin;
      url = next;
    }
    throw new Error('redirected without end');
  }

  /** A login by a provider. Answers where it led: a path of the service. */
  async logIn(providerId: string, query = ''): Promise<string> {
    const { url } = await this.go(`/login/oidc/${providerId}/start${query}`, atEnd);
    return url.pathname + url.search + url.hash;
  }

  /** The address that a provider sends the browser back to, which it doesn't go to. */
  async upToCallback(providerId: string, query = ''): Promise<URL> {
    const { url } = await this.go(`/login/oidc/${providerId}/start${query}`, (next) => next.origin === SERVICE);
    return url;
  }

  cookie(name: string, origin = SERVICE): string | undefined {
    return this.cookies.get(origin)?.get(name)?.value;
  }

  setCookie(name: string, value: string, strict = false): void {
    const jar = this.cookies.get(SERVICE) ?? new Map<string, Cookie>();
    this.cookies.set(SERVICE, jar.set(name, { value, strict }));
  }

  async #request(url: URL, crossSite: boolean): Promise<Arrival> {
    const jar = this.cookies.get(url.origin) ?? new Map<string, Cookie>();
    this.cookies.set(url.origin, jar);
    const cookie = [...jar]
      .filter(([, { strict }]) => !strict || !crossSite)
      .map(([name, { value }]) => `${name}=${value}`)
      .join('; ');
    const target = url.origin === SERVICE ? `http://127.0.0.1:${this.#world.port}${url.pathname}${url.search}` : url;
    const response = await fetch(target, {
      redirect: 'manual',
      headers: { ...(cookie === '' ? {} : { cookie }) },
    });
    for (const line of response.headers.getSetCookie()) {
      const [pair = '', ...attributes] = line.split(';').map((part) => part.trim());
      const at = pair.indexOf('=');
      const has = (text: string): boolean => attributes.some((one) => one.toLowerCase() === text);
      const name = pair.slice(0, at);
      if (has('max-age=0') || has('expires=thu, 01 jan 1970 00:00:00 gmt')) jar.delete(name);
      else jar.set(name, { value: pair.slice(at + 1), strict: has('samesite=strict') });
    }
    return { url, status: response.status, headers: response.headers, text: await response.text() };
  }
}

/** A page of the service that is not a step of the login. */
export function atEnd(url: URL): boolean {
  return url.origin === SERVICE && !url.pathname.startsWith('/login/oidc/');
}

export const CLIENT_SECRET = 'tops of the secret: +%&=":';

/** A service with one real provider that it knows, and an administrator `root`. */
export async function oidcWorld(
  options: Parameters<typeof apiWorld>[0] = {},
  /** Of the identity provider at the service. `clientSecret: null`: a client with PKCE only. */
  fields: Record<string, unknown> = {},
  method?: TestClient['method'],
): Promise<
  AsyncDisposable & {
    readonly world: World;
    readonly root: string;
    readonly provider: TestProvider;
    readonly id: string;
    /** Changes it at the service. */
    readonly change: (body: Record<string, unknown>) => Promise<void>;
  }
> {
  const world = await apiWorld(options);
  // The provider has no clock to set.
  world.now = Date.now();
  const root = await world.logIn('root');
  let id = '';
  const secret = fields['clientSecret'] === null ? undefined : CLIENT_SECRET;
  const provider = await startProvider(async (issuer) => {
    id = await addProvider(world, root, { name: 'Company', issuer, clientSecret: CLIENT_SECRET, ...fields });
    return [
      {
        id: 'sallyport',
        redirectUris: [`${SERVICE}/login/oidc/${id}/callback`],
        ...(secret === undefined ? {} : { secret }),
        ...(method === undefined ? {} : { method }),
      },
    ];
  });
  return {
    world,
    root,
    provider,
    id,
    change: async (body) => {
      const { version } = (await world.call(root, 'GET', `/identity-providers/${id}`)).body as { version: number };
      const answer = await world.call(root, 'PATCH', `/identity-providers/${id}`, body, version);
      if (answer.status !== 200) throw new Error(answer.text);
    },
    [Symbol.asyncDispose]: async () => {
      await provider[Symbol.asyncDispose]();
      await world[Symbol.asyncDispose]();
    },
  };
}

/** Registers a provider at the service; answers its id. */
export async function addProvider(world: World, token: string, fields: Record<string, unknown>): Promise<string> {
  const body = { clientId: 'sallyport', scopes: ['openid', 'profile', 'email', 'groups'], ...fields };
  const answer = await world.call(token, 'POST', '/identity-providers', body);
  if (answer.status !== 201) throw new Error(answer.text);
  return answer.body['id'] as string;
}

/** Who a browser is at the service. */
export async function whoAmI(world: World, browser: Browser): Promise<Record<string, unknown> | undefined> {
  const session = browser.cookie('sallyport');
  if (session === undefined) return undefined;
  const answer = await world.send('GET', '/api/v1/me', { headers: { cookie: `sallyport=${session}` } });
  return answer.status === 200 ? (answer.body['user'] as Record<string, unknown>) : undefined;
}
