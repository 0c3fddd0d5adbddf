/** A control plane with its real database and hub, and gateways that speak the real link but move no packets. */
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gatewayRoutes, openVpnRoutes as openVpnContracts } from '@sallyport/api';
import { PATIENCE_MS, until } from '@sallyport/netlab';
import { pino } from 'pino';
import { Registry } from 'prom-client';
import { createIdentity, type Identity } from '../../packages/control/src/auth/identity.ts';
import { permissionsOf } from '../../packages/control/src/auth/roles.ts';
import { openDirectory } from '../../packages/control/src/directory/open-directory.ts';
import type { Directory } from '../../packages/control/src/directory/directory.ts';
import { openHub, type Hub, type HubOptions } from '../../packages/control/src/hub/hub.ts';
import { createApi } from '../../packages/control/src/http/api.ts';
import { ANONYMOUS } from '../../packages/control/src/http/caller.ts';
import { gatewayImplementations } from '../../packages/control/src/routes/gateway-implementations.ts';
import { addJoinToken } from '../../packages/control/src/routes/join-tokens.ts';
import { openVpnRoutes } from '../../packages/control/src/routes/openvpn.ts';
import type { Services } from '../../packages/control/src/services.ts';
import { openStore } from '../../packages/control/src/store/open-store.ts';
import { SYSTEM, type Store, type Writing } from '../../packages/control/src/store/store.ts';
import {
  createLinkIdentity,
  decodeStateKey,
  LINK_PROTOCOL_VERSION,
  openLink,
  verifyState,
  type Authenticate,
  type AuthenticationVerdict,
  type FromControl,
  type FromGateway,
  type GatewayLink,
  type Hello,
  type LinkIdentity,
  type Report,
  type SignedState,
} from '@sallyport/link';
import { applyChange, poolAddress, type DesiredState, type DevicePlan } from '@sallyport/policy';

const pools = { pool4: '10.64.0.0/16', pool6: 'fd00:64::/64' };
const silent = pino({ level: 'silent' });

export interface World {
  readonly folder: string;
  /** Unix milliseconds; the clock of every node. */
  now: () => number;
}

/** The fields of all answers together; the server checks each answer against its contract. */
export interface Body {
  readonly id: string;
  readonly name: string;
  readonly version: number;
  readonly items: readonly Body[];
  readonly next: string | null;
  readonly code: string;
  readonly token: string;
  readonly command: string;
  readonly url: string;
  readonly usedAt: string | null;
  readonly lastUsedAt: string | null;
  readonly health: string;
  readonly appliedVersion: number;
  readonly egress: readonly { groupId: string | null; ipv4: string | null; ipv6: string | null }[];
  readonly groupName: string | null;
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  readonly day: string;
  readonly recommended: boolean;
}

export interface Answer {
  readonly status: number;
  readonly text: string;
  readonly body: Body;
}

/** One control node. Several can share a world. */
export class ControlNode {
  readonly store: Store;
  readonly directory: Directory;
  readonly services: Services;
  readonly hub: Hub;
  readonly people: Identity;
  readonly #server: Server;
  readonly url: string;

  constructor(services: Services, people: Identity, hub: Hub, server: Server) {
    this.services = services;
    this.store = services.store;
    this.directory = services.directory;
    this.people = people;
    this.hub = hub;
    this.#server = server;
    this.url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  }

  static async start(
    world: World,
    { url, ...options }: Omit<HubOptions, 'services' | 'identity' | 'key'> & { readonly url?: string } = {},
  ): Promise<ControlNode> {
    const now = (): number => world.now();
    const store = await openStore({
      url: url ?? `sqlite:${join(world.folder, 'control.db')}`,
      masterKeyFile: join(world.folder, 'master.key'),
      now,
      log: silent,
    });
    const directory = await openDirectory(store, { ...pools, log: silent });
    const services: Services = { store, directory, now, log: silent, publicUrl: () => 'https://vpn.example.org' };
    // Passwords cost next to nothing here.
    const people = await createIdentity(services, { passwordCost: { memoryKiB: 8, passes: 1, parallelism: 1 } });
    const hub = await openHub({ services, people, ...options });
    const server = createServer(
      createApi({
        services,
        contracts: [...Object.values(gatewayRoutes), ...Object.values(openVpnContracts)],
        implementations: [...gatewayImplementations, ...openVpnRoutes()],
        // Who asks is who they say they are: logging in is tested elsewhere.
        authenticate: async (request) => {
          const [id = '', proof] = request.header('authorization')?.slice('Bearer '.length).split(' ') ?? [];
          const user = await store.db.selectFrom('user').selectAll().where('id', '=', id).executeTakeFirst();
          if (user === undefined) return { caller: ANONYMOUS, secret: '', byCookie: false };
          const permissions = permissionsOf(user.role);
          const session = {
            kind: 'login' as const,
            deviceId: null,
            methods: ['password'],
            // Whoever says so logged in long ago.
            authenticatedAt: proof === 'stale' ? 0 : now(),
            providerId: null,
            mustEnrol: false,
          };
          const who = { userId: id, userName: user.name, credentialId: id };
          const caller = { kind: 'session', ...who, permissions, session } as const;
          return { caller, secret: id, byCookie: false };
        },
        metrics: new Registry(),
        readiness: [],
        version: '0',
        checkResults: true,
      }),
    );
    server.on('upgrade', (request, socket, head) => {
      hub.handleUpgrade(request, socket, head);
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ControlNode(services, people, hub, server);
  }

  async close(): Promise<void> {
    await this.hub.close();
    await this.people.close();
    this.directory.close();
    await this.store.close();
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** Sends a request to the API as a user, whose id stands for their credential; as nobody where it is empty. */
  async call(as: string, method: string, path: string, body?: unknown, version?: number): Promise<Answer> {
    const response = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: {
        ...(as === '' ? {} : { authorization: `Bearer ${as}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
        ...(version === undefined ? {} : { 'if-match': `"${String(version)}"` }),
      },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await response.text();
    const isJson = response.headers.get('content-type')?.includes('json') === true;
    return { status: response.status, text, body: (isJson ? JSON.parse(text) : {}) as Body };
  }

  async joinToken(expiresInSeconds = 3600, regionId?: string): Promise<string> {
    return (await addJoinToken(this.services, SYSTEM, { expiresInSeconds, regionId })).token;
  }

  write<T>(work: (writing: Writing) => Promise<T>): Promise<T> {
    return this.store.write(SYSTEM, work);
  }

  /** Users `u0`, `u1`, … with a device each: `d0`, `d1`, …. Everybody may reach the internet. */
  addPeople(count: number, from = 0): Promise<void> {
    return this.write(async (writing) => {
      const numbers = Array.from({ length: count }, (_, index) => from + index);
      for (let at = 0; at < count; at += 500) {
        const some = numbers.slice(at, at + 500);
        await writing.db
          .insertInto('user')
          .values(
            some.map((n) => ({
              id: `u${String(n)}`,
              name: `u${String(n)}`,
              display_name: '',
              email: null,
              role: 'user',
              password_hash: null,
              disabled: 0,
              expires_at: null,
              devices_per_user: null,
              bits_per_second: null,
              traffic_bytes_per_month: null,
              created_at: writing.now,
              last_login_at: null,
              version: 1,
            })),
          )
          .execute();
        await writing.db
          .insertInto('device')
          .values(
            some.map((n) => ({
              id: `d${String(n)}`,
              user_id: `u${String(n)}`,
              name: 'laptop',
              public_key: randomBytes(32).toString('base64'),
              ipv4: poolAddress(pools.pool4, n + 2),
              ipv6: poolAddress(pools.pool6, n + 2),
              approved: 1,
              expires_at: null,
              bits_per_second: null,
              created_at: writing.now,
              version: 1,
            })),
          )
          .execute();
      }
      for (const n of numbers) {
        writing.changed('user', `u${String(n)}`);
        writing.changed('device', `d${String(n)}`);
      }
    });
  }

  setUser(id: string, values: { disabled?: number; traffic_bytes_per_month?: number | null }): Promise<void> {
    return this.write(async ({ db, changed }) => {
      await db.updateTable('user').set(values).where('id', '=', id).execute();
      changed('user', id);
    });
  }

  async auditActions(): Promise<string[]> {
    return (await this.store.db.selectFrom('audit').select('action').orderBy('number').execute()).map((a) => a.action);
  }
}

export function openWorld(now: () => number = Date.now): World & { remove(): void } {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-hub-'));
  return { folder, now, remove: () => rmSync(folder, { recursive: true, force: true }) };
}

/** Waits until something holds. Throws when it doesn't within two minutes. */
export async function eventually(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  await until(what, holds, PATIENCE_MS, 5);
}

type Goodbye = Extract<FromControl, { kind: 'goodbye' }>;

/** A gateway that does with its state what a real one does, and keeps it in memory. */
export class SimulatedGateway {
  readonly identity: LinkIdentity;
  readonly hello: Partial<Hello>;
  id: string | undefined;
  state: DesiredState | undefined;
  version = 0;
  /** Every state that came, as it was signed, the changes left out. */
  readonly received: Pick<SignedState, 'version' | 'base'>[] = [];
  readonly stored: number[] = [];
  /** By the number of the question, in the order in which they came. */
  readonly verdicts = new Map<number, AuthenticationVerdict[]>();
  #asked = 0;
  goodbye: Goodbye | undefined;
  link: GatewayLink | undefined;
  /** Called when a state was applied. */
  onApplied: ((gateway: SimulatedGateway) => void) | undefined;
  /** Takes a state as one that can't be used. */
  refuses: ((state: SignedState) => boolean) | undefined;
  /** While false, states are applied and not acknowledged. */
  acknowledges = true;

  constructor(identity: LinkIdentity, hello: Partial<Hello> = {}) {
    this.identity = identity;
    this.hello = hello;
  }

  static create(hello: Partial<Hello> = {}): SimulatedGateway {
    return new SimulatedGateway(createLinkIdentity('simulated gateway'), {
      tunnel: { wireguardPublicKey: publicKey(), endpointHost: 'gateway.example.org', endpointPort: 51820 },
      ...hello,
    });
  }

  get connected(): boolean {
    return this.link?.closed === false;
  }

  async connect(url: string, token?: string): Promise<void> {
    this.goodbye = undefined;
    const link = await openLink({ url, identity: this.identity, expectKey: () => true });
    this.link = link;
    let welcomed: (() => void) | undefined;
    const ready = new Promise<void>((resolve) => (welcomed = resolve));
    let key: ReturnType<typeof decodeStateKey>;
    link.onClose(() => welcomed?.());
    link.onMessage((message) => {
      switch (message.kind) {
        case 'welcome':
          this.id = message.gatewayId;
          key = decodeStateKey(message.stateKey);
          welcomed?.();
          return;
        case 'goodbye':
          this.goodbye = message;
          return;
        case 'stored':
          this.stored.push(message.number);
          return;
        case 'authenticated':
          this.verdicts.get(message.number)?.push(message.verdict);
          return;
        case 'state': {
          if (key === undefined || this.id === undefined) throw new Error('a state came before the welcome');
          const verified = verifyState(message, key, this.id);
          if (!verified.ok) throw new Error(verified.fault);
          this.#take(verified.state);
          return;
        }
        case 'ping':
      }
    });
    link.send({
      kind: 'hello',
      protocolVersion: LINK_PROTOCOL_VERSION,
      software: 'simulated',
      ...(token === undefined ? {} : { token }),
      stateVersion: this.version,
      addresses: ['192.0.2.1', '2001:db8::1'],
      ...this.hello,
    } as FromGateway);
    await ready;
  }

  #take(state: SignedState): void {
    if (state.version <= this.version)
      throw new Error(`version ${String(state.version)} after ${String(this.version)}`);
    this.received.push({ version: state.version, base: state.base });
    const misfit = state.base !== 0 && state.base !== this.version;
    if (misfit || this.refuses?.(state) === true) {
      this.link?.send({ kind: 'resync', reason: misfit ? 'the base is another' : 'refused' });
      return;
    }
    this.#apply(state);
    this.version = state.version;
    this.onApplied?.(this);
    if (this.acknowledges) this.link?.send({ kind: 'acknowledge', version: state.version });
  }

  /** In place: a hundred copies of ten thousand devices for each change would be most of what is measured. */
  #apply({ base, change }: SignedState): void {
    const before = base === 0 ? undefined : this.state;
    const held = (before?.devices ?? new Map()) as Map<string, DevicePlan>;
    for (const id of change.removeDevices) held.delete(id);
    for (const device of change.putDevices) held.set(device.id, device);
    this.state = { ...applyChange(before, { ...change, putDevices: [], removeDevices: [] }), devices: held };
  }

  report(devices: Report['devices'], more: Partial<Report> = {}): void {
    this.link?.send({
      kind: 'report',
      devices,
      health: 'healthy',
      problems: [],
      load: { cpu: 0.1, memoryBytes: 1, receivedBitsPerSecond: 0, sentBitsPerSecond: 0, activeDevices: 0 },
      ...more,
    });
  }

  /** Asks about a login: the number of the question. */
  ask(deviceId: string, proof: Authenticate['proof'], more: Partial<Authenticate> = {}): number {
    const number = ++this.#asked;
    this.verdicts.set(number, []);
    const client = { address: '192.0.2.7', client: 'OpenVPN 2.6' };
    this.link?.send({ kind: 'authenticate', number, deviceId, ...client, proof, ...more });
    return number;
  }

  /** The first verdict, or the `nth`. */
  async verdict(number: number, nth = 0): Promise<AuthenticationVerdict> {
    await eventually('a verdict', () => (this.verdicts.get(number)?.length ?? 0) > nth);
    return this.verdicts.get(number)![nth];
  }

  async disconnect(): Promise<void> {
    const { link } = this;
    if (link === undefined || link.closed) return;
    await new Promise<void>((resolve) => {
      link.onClose(() => resolve());
      link.close();
    });
  }
}

function publicKey(): string {
  return randomBytes(32).toString('base64');
}
