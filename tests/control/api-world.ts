/** The whole API over HTTP, on a database of its own. */
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer, request as httpRequest, type IncomingHttpHeaders, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { allRoutes, ApiClient, ApiProblem, routes, type TokenScope } from '@sallyport/api';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createIdentity, type Identity, type IdentityOptions } from '../../packages/control/src/auth/identity.ts';
import { createSetupToken } from '../../packages/control/src/auth/setup-token.ts';
import { openDirectory } from '../../packages/control/src/directory/open-directory.ts';
import { createApi, type ApiOptions } from '../../packages/control/src/http/api.ts';
import { LiveFeed, type LiveFeedOptions } from '../../packages/control/src/live/live-feed.ts';
import { allEndpoints, allImplementations } from '../../packages/control/src/routes/all.ts';
import type { Services } from '../../packages/control/src/services.ts';
import { openStore } from '../../packages/control/src/store/open-store.ts';

export const PASSWORD = 'correct horse battery';

export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly text: string;
  /** Of JSON; undefined where it is none. */
  readonly body: Record<string, unknown>;
}

export interface ApiWorld extends AsyncDisposable {
  readonly services: Services;
  readonly identity: Identity;
  readonly live: LiveFeed;
  readonly port: number;
  readonly server: Server;
  /** What the log holds, a line each. */
  readonly logged: readonly string[];
  /** Unix milliseconds; tests may set it. */
  now: number;
  /** One request, as it is given. */
  send(
    method: string,
    path: string,
    options?: {
      readonly headers?: Readonly<Record<string, string | readonly string[]>>;
      readonly body?: string | Buffer | undefined;
      readonly token?: string | undefined;
    },
  ): Promise<Answer>;
  /** A request below /api/v1 with a body of JSON. */
  call(token: string | undefined, method: string, path: string, body?: unknown, version?: number): Promise<Answer>;
  client(token?: string): ApiClient;
  /** A session of a new user with this role, who has the password {@link PASSWORD}. */
  addUser(name: string, role?: 'administrator' | 'auditor' | 'user'): Promise<string>;
  logIn(name: string, password?: string): Promise<string>;
  addToken(as: string, permissions: readonly TokenScope[]): Promise<string>;
  /** The audit log, oldest first. */
  audit(): Promise<{ action: string; actor: { kind: string; name: string }; target: string; all: string }[]>;
}

/** The code of the problem that a call ends with, or `ok`. */
export async function codeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
  } catch (error) {
    if (error instanceof ApiProblem) return error.problem.code;
    throw error;
  }
  return 'ok';
}

/** Passwords cost little here, but in the tests that are about that. */
const cheap: IdentityOptions = { passwordCost: { memoryKiB: 64, passes: 1, parallelism: 1 } };

/** Its first user is the administrator `root`, whose session is {@link root}, made by the one-time link. */
export async function apiWorld(
  options: {
    readonly identity?: IdentityOptions;
    readonly api?: Partial<ApiOptions>;
    readonly live?: Partial<LiveFeedOptions>;
    /** Whether there is an administrator. Default: true. */
    readonly setUp?: boolean;
    /** Of the database. Default: a new SQLite file. */
    readonly url?: string;
    /** Of a node that shares its database with another. */
    readonly masterKeyFile?: string;
  } = {},
): Promise<ApiWorld & { readonly root: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-api-'));
  const logged: string[] = [];
  const log = pino({ level: 'debug' }, { write: (line: string) => void logged.push(line) });
  const clock = { now: Date.UTC(2027, 0, 15, 12) };
  const now = (): number => clock.now;
  const store = await openStore({
    url: options.url ?? `sqlite:${join(folder, 'db.sqlite')}`,
    masterKeyFile: options.masterKeyFile ?? join(folder, 'master.key'),
    now,
    log,
  });
  const directory = await openDirectory(store, { pool4: '100.64.0.0/16', pool6: 'fd00:5a11::/64', log });
  const services: Services = { store, directory, now, log, publicUrl: () => 'https://vpn.example.org' };
  const identity = await createIdentity(services, { ...cheap, ...options.identity });
  const live = new LiveFeed(services, { version: '0.0.0', ...options.live });
  const server = createServer(
    createApi({
      services,
      contracts: allRoutes,
      implementations: allImplementations(identity, live),
      endpoints: allEndpoints(identity),
      authenticate: identity.authenticate,
      metrics: new Registry(),
      readiness: [],
      version: '0.0.0',
      rate: { burst: 1_000_000, perSecond: 1_000_000 },
      checkResults: true,
      ...options.api,
    }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;

  const world: ApiWorld = {
    services,
    identity,
    live,
    port,
    server,
    logged,
    get now() {
      return clock.now;
    },
    set now(value) {
      clock.now = value;
    },
    send: (method, path, { headers = {}, body, token } = {}) =>
      new Promise((resolve, reject) => {
        const request = httpRequest(
          {
            method,
            port,
            host: '127.0.0.1',
            path,
            headers: {
              ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
              ...(body === undefined ? {} : { 'content-length': String(Buffer.byteLength(body)) }),
              ...headers,
            },
          },
          (response) => {
            const chunks: Buffer[] = [];
            const finish = (): void => {
              const text = Buffer.concat(chunks).toString('utf8');
              const type = response.headers['content-type'] ?? '';
              const json = /^application\/(problem\+|scim\+)?json$/.test(type);
              resolve({
                status: response.statusCode ?? 0,
                headers: response.headers,
                text,
                body: (json && text !== '' ? JSON.parse(text) : undefined) as Record<string, unknown>,
              });
            };
            response.on('data', (chunk: Buffer) => {
              chunks.push(chunk);
              // A stream of events has no end.
              if (response.headers['content-type'] !== 'text/event-stream') return;
              finish();
              response.destroy();
            });
            response.on('error', reject);
            response.on('end', finish);
          },
        );
        request.on('error', reject);
        request.end(body);
      }),
    call: (token, method, path, body, version) =>
      world.send(method, `/api/v1${path}`, {
        token,
        headers: {
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(version === undefined ? {} : { 'if-match': `"${version}"` }),
        },
        body: body === undefined ? undefined : JSON.stringify(body),
      }),
    client: (token) => new ApiClient({ url: `http://127.0.0.1:${port}`, token }),
    async addUser(name, role = 'user') {
      const admin = world.client(rootToken);
      const user = await admin.call(routes.createUser, { body: { name, role } });
      const { token } = await admin.call(routes.createInvitation, { body: { userId: user.id } });
      await world.client().call(routes.acceptInvitation, { body: { token, password: PASSWORD } });
      return world.logIn(name);
    },
    async logIn(name, password = PASSWORD) {
      const { token } = await world.client().call(routes.logIn, { body: { name, password } });
      return token!;
    },
    async addToken(as, permissions) {
      const body = { name: 'test', permissions: [...permissions] };
      return (await world.client(as).call(routes.createToken, { body })).token;
    },
    async audit() {
      await identity.failures.flush();
      const rows = await store.db.selectFrom('audit').selectAll().orderBy('number').execute();
      return rows.map((row) => ({
        action: row.action,
        actor: JSON.parse(row.actor) as { kind: string; name: string },
        target: (JSON.parse(row.target) as { name: string }).name,
        all: JSON.stringify(row),
      }));
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      await live.close();
      await identity.close();
      directory.close();
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
  let rootToken = '';
  if (options.setUp !== false) {
    const { token } = (await createSetupToken(services))!;
    await world.client().call(routes.setUp, { body: { token, name: 'root', password: PASSWORD } });
    rootToken = await world.logIn('root');
  }
  return Object.assign(world, { root: rootToken });
}
