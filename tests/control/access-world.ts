/** The access routes, and those about gateways and clients, over HTTP, with users who are logged in. */
import { generateKeyPairSync } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  accessRoutes,
  clientRoutes as clientContracts,
  gatewayRoutes,
  openVpnRoutes as openVpnContracts,
  type ClientConfiguration,
} from '@sallyport/api';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createIdentity } from '../../packages/control/src/auth/identity.ts';
import { hashToken, newToken } from '../../packages/control/src/auth/tokens.ts';
import type { Directory } from '../../packages/control/src/directory/directory.ts';
import { openDirectory } from '../../packages/control/src/directory/open-directory.ts';
import { createApi } from '../../packages/control/src/http/api.ts';
import { HostAddresses } from '../../packages/control/src/hub/host-addresses.ts';
import { accessImplementations } from '../../packages/control/src/routes/access.ts';
import { clientRoutes } from '../../packages/control/src/routes/client.ts';
import { gatewayImplementations } from '../../packages/control/src/routes/gateway-implementations.ts';
import { groupRoutes } from '../../packages/control/src/routes/groups.ts';
import { openVpnRoutes } from '../../packages/control/src/routes/openvpn.ts';
import { userRoutes } from '../../packages/control/src/routes/users.ts';
import type { Services } from '../../packages/control/src/services.ts';
import { openStore } from '../../packages/control/src/store/open-store.ts';
import { SYSTEM, type Store } from '../../packages/control/src/store/store.ts';

/** The fields of all answers together: which of them an answer has, its contract says, and the server checks it. */
interface Body {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly items: readonly Body[];
  readonly next: string | null;
  // Problems.
  readonly code: string;
  readonly detail: string;
  readonly faults: readonly { readonly at: string; readonly message: string }[];
  readonly tests: readonly { readonly name: string }[];
  // Devices.
  readonly userName: string;
  readonly standing: string;
  readonly message: string;
  readonly ipv4: string;
  readonly ipv6: string;
  readonly protocol: string;
  readonly publicKey: string | null;
  readonly openvpn: { readonly login: string; readonly certificateExpiresAt: string | null } | null;
  readonly approved: boolean;
  readonly bitsPerSecond: number | null;
  readonly networks: readonly { readonly prefix: string; readonly approved: boolean }[];
  readonly advertised: Body['networks'];
  readonly requireRegionId: string | null;
  readonly requireGatewayId: string | null;
  // The policy.
  readonly prefixes: readonly string[];
  readonly domain: string | null;
  readonly resources: readonly { readonly name: string }[];
  readonly rules: readonly { readonly name: string }[];
  readonly failingTests: readonly { readonly name: string; readonly expected: string }[];
  readonly differences: readonly unknown[];
  // Access.
  readonly verdict: string;
  readonly reason: string;
  readonly ruleName: string | null;
  readonly resourceName: string | null;
  readonly groupName: string | null;
  readonly gateways: readonly string[];
  // The settings.
  readonly dns: unknown;
}

export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  readonly text: string;
  /** Undefined, in spite of its type, where the answer isn't JSON. */
  readonly body: Body;
}

export interface AccessWorld extends AsyncDisposable {
  readonly store: Store;
  readonly directory: Directory;
  /** Unix milliseconds; tests may set it. */
  now: number;
  /** Sends a request as a user. */
  call(as: string, method: string, path: string, body?: unknown, version?: number): Promise<Answer>;
  /** What the client of a user's device is given. */
  configuration(as: string, device: string): Promise<ClientConfiguration>;
  addUser(
    name: string,
    options?: { role?: string; groups?: readonly string[]; devicesPerUser?: number },
  ): Promise<void>;
  addGroup(name: string, options?: { requireDeviceApproval?: boolean }): Promise<void>;
  addGateway(
    name: string,
    options?: {
      endpointHost?: string;
      draining?: boolean;
      regionId?: string;
      transports?: unknown;
    },
  ): Promise<string>;
  /** The audit log's actions, in order. */
  actions(): Promise<string[]>;
}

export function newPublicKey(): string {
  const { x } = generateKeyPairSync('x25519').publicKey.export({ format: 'jwk' });
  return Buffer.from(x as string, 'base64url').toString('base64');
}

/** Ids are the names, which tests read more easily. */
export async function accessWorld(
  options: {
    pool4?: string;
    pool6?: string;
    /** Default: SQLite, a database of its own. */
    url?: string;
    resolve?: (host: string) => Promise<readonly string[]>;
  } = {},
): Promise<AccessWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-access-'));
  const log = pino({ level: 'silent' });
  const clock = { now: Date.UTC(2027, 0, 15, 12) };
  const now = (): number => clock.now;
  const store = await openStore({
    url: options.url ?? `sqlite:${join(folder, 'db.sqlite')}`,
    masterKeyFile: join(folder, 'master.key'),
    now,
    log,
  });
  const directory = await openDirectory(store, {
    pool4: options.pool4 ?? '100.64.0.0/16',
    pool6: options.pool6 ?? 'fd00:5a11::/64',
    log,
  });
  const services: Services = { store, directory, now, log, publicUrl: () => 'http://127.0.0.1' };
  const identity = await createIdentity(services);
  const memberships = [...groupRoutes(), ...userRoutes(identity)];
  const hosts = new HostAddresses({ now, resolve: options.resolve ?? (() => Promise.resolve(['192.0.2.80'])) });
  const server = createServer(
    createApi({
      services,
      contracts: [
        ...Object.values(accessRoutes),
        ...Object.values(gatewayRoutes),
        ...Object.values(clientContracts),
        ...Object.values(openVpnContracts),
        ...memberships.map(({ contract }) => contract),
      ],
      implementations: [
        ...accessImplementations,
        ...gatewayImplementations,
        ...clientRoutes(hosts),
        ...openVpnRoutes(),
        ...memberships,
      ],
      authenticate: identity.authenticate,
      metrics: new Registry(),
      readiness: [],
      version: '0',
      rate: { burst: 100_000, perSecond: 100_000 },
      checkResults: true,
    }),
  );
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const tokens = new Map<string, string>();

  const world: AccessWorld = {
    store,
    directory,
    get now() {
      return clock.now;
    },
    set now(value) {
      clock.now = value;
    },
    async call(as, method, path, body, version) {
      const response = await fetch(`http://127.0.0.1:${String(port)}/api/v1${path}`, {
        method,
        headers: {
          ...(as === '' ? {} : { authorization: `Bearer ${tokens.get(as) ?? ''}` }),
          ...(body === undefined ? {} : { 'content-type': 'application/json' }),
          ...(version === undefined ? {} : { 'if-match': `"${String(version)}"` }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      const json = response.headers.get('content-type')?.includes('json') === true;
      return {
        status: response.status,
        headers: response.headers,
        text,
        body: (json ? JSON.parse(text) : undefined) as Body,
      };
    },
    async configuration(as, device) {
      const answer = await world.call(as, 'GET', `/me/devices/${encodeURIComponent(device)}/client`);
      if (answer.status !== 200) throw new Error(answer.text);
      return JSON.parse(answer.text) as ClientConfiguration;
    },
    async addUser(name, { role = 'user', groups = [], devicesPerUser } = {}) {
      const token = newToken('session');
      tokens.set(name, token);
      await store.write(SYSTEM, async (writing) => {
        const { db } = writing;
        await db
          .insertInto('user')
          .values({
            id: name,
            name,
            display_name: '',
            email: null,
            role,
            password_hash: null,
            disabled: 0,
            expires_at: null,
            devices_per_user: devicesPerUser ?? null,
            bits_per_second: null,
            traffic_bytes_per_month: null,
            created_at: clock.now,
            last_login_at: clock.now,
            version: 1,
          })
          .execute();
        for (const group of groups) {
          await db.insertInto('group_member').values({ group_id: group, user_id: name }).execute();
        }
        await db
          .insertInto('session')
          .values({
            id: `session-${name}`,
            token_hash: hashToken(token),
            user_id: name,
            client: 'test',
            created_at: clock.now,
            last_used_at: clock.now,
            expires_at: clock.now + 7 * 86_400_000,
            authenticated_at: clock.now,
          })
          .execute();
        writing.changed('user', name);
      });
    },
    async addGroup(name, { requireDeviceApproval = false } = {}) {
      await store.write(SYSTEM, async (writing) => {
        const { db } = writing;
        await db
          .insertInto('group')
          .values({
            id: name,
            name,
            description: '',
            require_device_approval: requireDeviceApproval ? 1 : 0,
            session_lifetime_seconds: null,
            devices_per_user: null,
            bits_per_second: null,
            traffic_bytes_per_month: null,
            version: 1,
          })
          .execute();
        writing.changed('group', name);
      });
    },
    async addGateway(name, options = {}) {
      const { endpointHost = 'gw.example.org', draining = false, regionId = 'default' } = options;
      const publicKey = newPublicKey();
      await store.write(SYSTEM, async (writing) => {
        const { db } = writing;
        await db
          .insertInto('gateway')
          .values({
            id: name,
            name,
            region_id: regionId,
            country: null,
            city: null,
            latitude: null,
            longitude: null,
            endpoint_host: endpointHost,
            endpoint_port: 51820,
            wireguard_public_key: publicKey,
            link_key_hash: `hash-${name}`,
            egress: '[]',
            addresses: '[]',
            ...(options.transports === undefined ? {} : { transports: JSON.stringify(options.transports) }),
            draining: draining ? 1 : 0,
            created_at: clock.now,
            version: 1,
          })
          .execute();
        writing.changed('gateway', name);
      });
      return publicKey;
    },
    async actions() {
      const rows = await store.db.selectFrom('audit').select('action').orderBy('number').execute();
      return rows.map(({ action }) => action);
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
      directory.close();
      await store.close();
      await rm(folder, { recursive: true });
    },
  };
  await world.addUser('root', { role: 'administrator' });
  return world;
}
