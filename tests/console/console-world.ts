/** The console in Chromium, in front of a real control plane with an organisation in it. */
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ApiClient, routes, type User } from '@sallyport/api';
import { loadConsole, startControl, SYSTEM, WebServer, type Control } from '@sallyport/control';
import { pino } from 'pino';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';
import { generateKeys, PATIENCE_MS, until } from '@sallyport/netlab';

export const ADMINISTRATOR = { name: 'ada', password: 'correct horse battery' } as const;

export interface ConsoleWorld extends AsyncDisposable {
  readonly url: string;
  readonly control: Control;
  /** As the administrator, or nobody where the world has none. */
  readonly api: ApiClient;
  readonly users: Readonly<Record<string, User>>;
  /** A window of a browser that knows nothing. */
  open(options?: WindowOptions): Promise<Window>;
  /** A window in which this user has logged in. */
  openAs(name: string, options?: WindowOptions): Promise<Window>;
  /** The server goes away and comes back, with the same data on the same port. */
  stop(): Promise<void>;
  start(options?: { readonly version?: string }): Promise<void>;
}

/** A window of a browser of its own; disposing of it closes it. */
export interface Window extends AsyncDisposable {
  readonly context: BrowserContext;
  readonly page: Page;
  /** Errors and warnings of its console, errors of its pages, and requests to elsewhere. */
  readonly complaints: string[];
}

export interface WindowOptions {
  readonly width?: number;
  readonly theme?: 'light' | 'dark';
}

let browser: Promise<Browser> | undefined;

/** One browser for a test file; it reaches this machine and nothing else. */
export function launchBrowser(): Promise<Browser> {
  return (browser ??= chromium.launch({
    executablePath: '/usr/bin/chromium',
    args: [
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--disable-background-networking',
      '--disable-component-update',
      '--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE localhost , EXCLUDE 127.0.0.1',
    ],
  }));
}

export async function closeBrowser(): Promise<void> {
  await (await browser)?.close();
  browser = undefined;
}

export interface WorldOptions {
  /** Whether there is an administrator with an organisation. Default: true. */
  readonly organisation?: boolean;
  /** Requests of one address. Default: as many as wanted. */
  readonly now?: () => number;
}

export async function consoleWorld({ organisation = true, now = Date.now }: WorldOptions = {}): Promise<ConsoleWorld> {
  const folder = await mkdtemp(join(tmpdir(), 'sallyport-console-'));
  const files = loadConsole(join(import.meta.dirname, '../../apps/console/dist'));
  let server = await WebServer.bind([{ host: '127.0.0.1', port: 0 }], { tls: false });
  const port = server.addresses[0].port;
  // WebAuthn wants a name, and takes this one without TLS.
  const url = `http://localhost:${port}`;
  const log = pino({ level: 'warn' });
  const startOne = async (version = '1.0.0'): Promise<Control> =>
    startControl({
      databaseUrl: `sqlite:${join(folder, 'db.sqlite')}`,
      masterKeyFile: join(folder, 'master.key'),
      pool4: '10.77.0.0/16',
      pool6: 'fd77::/64',
      publicUrl: url,
      version,
      now,
      log,
      console: files,
      rate: { burst: 1_000_000, perSecond: 1_000_000 },
      checkResults: true,
      identity: { passwordCost: { memoryKiB: 64, passes: 1, parallelism: 1 } },
    });
  let control = await startOne();
  server.open({ request: control.request, upgrade: control.upgrade });
  let api = new ApiClient({ url });
  const users: Record<string, User> = {};
  const timers: NodeJS.Timeout[] = [];
  if (organisation) {
    const setupUrl = (await control.createSetupUrl())!;
    await api.call(routes.setUp, {
      body: { token: new URL(setupUrl).hash.slice(1), displayName: 'Ada Lind', ...ADMINISTRATOR },
    });
    const { token } = await api.call(routes.logIn, { body: ADMINISTRATOR });
    api = api.withToken(token!);
    Object.assign(users, await fill(api, control));
    const beat = (): void => void report(control, now()).catch(() => undefined);
    beat();
    timers.push(setInterval(beat, 2000));
  }
  const world: ConsoleWorld = {
    url,
    get control() {
      return control;
    },
    api,
    users,
    async open({ width = 1280, theme = 'light' } = {}) {
      const context = await (
        await launchBrowser()
      ).newContext({
        baseURL: url,
        viewport: { width, height: width < 500 ? 800 : 860 },
        colorScheme: theme,
        locale: 'en-GB',
        timezoneId: 'UTC',
      });
      // A machine that is full takes its time.
      context.setDefaultTimeout(PATIENCE_MS);
      const page = await context.newPage();
      const complaints: string[] = [];
      page.on('console', (message) => {
        if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
      });
      page.on('pageerror', (error) => complaints.push(String(error)));
      page.on('request', (request) => {
        if (!request.url().startsWith(url) && !request.url().startsWith('blob:') && !request.url().startsWith('data:'))
          complaints.push(`asks elsewhere: ${request.url()}`);
      });
      return { context, page, complaints, [Symbol.asyncDispose]: () => context.close() };
    },
    async openAs(name, options) {
      const window = await world.open(options);
      // Without a page, which would ask for things as nobody first.
      const answer = await window.context.request.post('/api/v1/login', {
        headers: { origin: url },
        data: { name, password: ADMINISTRATOR.password, cookie: true, client: 'Chromium on Linux' },
      });
      if (!answer.ok()) throw new Error(`${name} could not log in: ${await answer.text()}`);
      return window;
    },
    async stop() {
      await server.close();
      await control.close();
    },
    async start({ version } = {}) {
      control = await startOne(version);
      server = await until('the port', () =>
        WebServer.bind([{ host: '127.0.0.1', port }], { tls: false }).catch(() => false as const),
      );
      server.open({ request: control.request, upgrade: control.upgrade });
    },
    async [Symbol.asyncDispose]() {
      for (const timer of timers) clearInterval(timer);
      await world.stop();
      await rm(folder, { recursive: true });
    },
  };
  return world;
}

const GATEWAYS = [
  ['frankfurt-1', 'frankfurt', 'DE', 'Frankfurt', 50.11, 8.68],
  ['frankfurt-2', 'frankfurt', 'DE', 'Frankfurt', 50.11, 8.68],
  ['oslo-1', 'oslo', 'NO', 'Oslo', 59.91, 10.75],
  ['singapore-1', 'singapore', 'SG', 'Singapore', 1.35, 103.82],
  ['saopaulo-1', 'sao-paulo', 'BR', 'São Paulo', -23.55, -46.63],
] as const;

function newCertificateKey(): string {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  return publicKey.export({ format: 'der', type: 'spki' }).toString('base64');
}

/** People, devices, gateways and a policy, as a small company has them. */
async function fill(api: ApiClient, control: Control): Promise<Record<string, User>> {
  const users: Record<string, User> = {};
  for (const [name, description] of [
    ['engineering', 'Builds and runs the product'],
    ['finance', 'Books and payroll'],
    ['contractors', 'From outside, for a time'],
  ] as const)
    await api.call(routes.createGroup, {
      body: {
        name,
        description,
        ...(name === 'contractors' ? { requireDeviceApproval: true, devicesPerUser: 2 } : {}),
      },
    });
  for (const [name, displayName, groups, role] of [
    ['bob', 'Bob Reyes', ['engineering'], 'user'],
    ['carol', 'Carol Nakamura', ['engineering', 'finance'], 'auditor'],
    ['dave', 'Dave Okafor', ['contractors'], 'user'],
    ['erin', 'Erin Sato', ['finance'], 'user'],
    ['mallory', 'Mallory Quinn', [], 'user'],
  ] as const) {
    users[name] = await api.call(routes.createUser, {
      body: { name, displayName, email: `${name}@example.org`, groups: [...groups], role },
    });
    const { token } = await api.call(routes.createInvitation, { body: { userId: name } });
    if (name !== 'mallory')
      await new ApiClient({ url: control.services.publicUrl() }).call(routes.acceptInvitation, {
        body: { token, password: ADMINISTRATOR.password },
      });
  }
  for (const [user, name] of [
    ['ada', 'laptop'],
    ['ada', 'phone'],
    ['bob', 'workstation'],
    ['bob', 'phone'],
    ['carol', 'laptop'],
    ['dave', 'own laptop'],
    ['dave', 'tablet'],
    ['erin', 'laptop'],
  ] as const)
    await api.call(routes.createDevice, { body: { user, name, publicKey: generateKeys().publicKey } });
  for (const [user, name, login] of [
    ['ada', 'old tablet', 'certificate'],
    ['erin', 'chromebook', 'web'],
  ] as const)
    await api.call(routes.createOpenVpnDevice, { body: { user, name, login, publicKey: newCertificateKey() } });
  for (const id of ['frankfurt', 'oslo', 'singapore', 'sao-paulo'])
    await api.call(routes.createRegion, {
      body: { id, name: { frankfurt: 'Frankfurt', oslo: 'Oslo', singapore: 'Singapore' }[id] ?? 'São Paulo' },
    });
  await control.services.store.write(SYSTEM, async ({ db, now, changed }) => {
    for (const [index, [name, region, country, city, latitude, longitude]] of GATEWAYS.entries()) {
      await db
        .insertInto('gateway')
        .values({
          id: name,
          name,
          region_id: region,
          country,
          city,
          latitude,
          longitude,
          endpoint_host: `198.51.100.${10 + index}`,
          endpoint_port: 51_820,
          wireguard_public_key: generateKeys().publicKey,
          link_key_hash: randomBytes(32).toString('hex'),
          egress: '[]',
          addresses: JSON.stringify([`198.51.100.${10 + index}`, `2001:db8::${10 + index}`]),
          draining: name === 'frankfurt-2' ? 1 : 0,
          created_at: now,
          version: 1,
        })
        .execute();
      changed('gateway', name);
    }
    await db
      .updateTable('gateway')
      .set({
        transports: JSON.stringify({
          amneziawg: {
            port: 51_821,
            jc: 4,
            jmin: 40,
            jmax: 70,
            s1: 11,
            s2: 22,
            h1: 1001,
            h2: 1002,
            h3: 1003,
            h4: 1004,
          },
          tls: { host: '', port: 443, path: '/tunnel', certificateSha256: null },
          openvpn: { port: 1194, tcpPort: 443 },
        }),
      })
      .where('id', '=', 'frankfurt-1')
      .execute();
    await db
      .updateTable('gateway')
      .set({ transports: JSON.stringify({ amneziawg: null, tls: null, openvpn: { port: 1194, tcpPort: 0 } }) })
      .where('id', '=', 'oslo-1')
      .execute();
    const networks = [
      { prefix: '10.40.0.0/16', approved: false },
      { prefix: 'fd40::/48', approved: false },
    ];
    const connector = await db
      .updateTable('device')
      .set({ networks: JSON.stringify(networks) })
      .where('name', '=', 'workstation')
      .returning('id')
      .executeTakeFirstOrThrow();
    changed('device', connector.id);
  });
  const create = [
    ['wiki', { kind: 'name', domain: 'wiki.corp.example', services: [{ protocol: 'tcp', ports: ['443'] }] }],
    [
      'database',
      { kind: 'network', prefixes: ['10.20.0.5', 'fd20::5'], services: [{ protocol: 'tcp', ports: ['5432'] }] },
    ],
    ['office', { kind: 'network', prefixes: ['10.30.0.0/16', 'fd30::/48'] }],
  ] as const;
  for (const [name, rest] of create) await api.call(routes.createResource, { body: { name, ...(rest as object) } });
  for (const [name, groups, resources] of [
    ['engineers-systems', ['engineering'], ['wiki', 'database']],
    ['finance-office', ['finance'], ['office', 'wiki']],
  ] as const)
    await api.call(routes.createRule, { body: { name, groups: [...groups], resources: [...resources] } });
  await api.call(routes.createPolicyTest, {
    body: { name: 'bob uses the database', user: 'bob', destination: '10.20.0.5', port: 5432, expect: 'allow' },
  });
  await api.call(routes.createPolicyTest, {
    body: { name: 'erin does not', user: 'erin', destination: '10.20.0.5', port: 5432, expect: 'deny' },
  });
  return users;
}

/** What the gateways would say; one is unwell, one never came. */
async function report({ services: { store } }: Control, now: number): Promise<void> {
  const wave = Math.sin(now / 20_000);
  for (const [index, [name]] of GATEWAYS.slice(0, 4).entries()) {
    const row = {
      gateway_id: name,
      connected: 1,
      health: name === 'singapore-1' ? 'degraded' : 'healthy',
      problems: name === 'singapore-1' ? '["The link to the control plane is slow: 310 ms"]' : '[]',
      load: JSON.stringify({
        cpu: 0.2 + 0.1 * index,
        memoryBytes: 90_000_000,
        receivedBitsPerSecond: (3 - 0.5 * index) * 40_000_000 * (1.3 + wave),
        sentBitsPerSecond: (3 - 0.5 * index) * 250_000_000 * (1.3 + wave),
        activeDevices: Math.max(0, 3 - index),
      }),
      latency_ms: 8 + 60 * index,
      software: '1.0.0',
      last_seen_at: now,
      node: 'here',
      state_version: 7,
      applied_version: 7,
      applied_digest: '',
      report_number: 1,
    };
    await store.db
      .insertInto('gateway_status')
      .values(row)
      .onConflict((conflict) => conflict.column('gateway_id').doUpdateSet(row))
      .execute();
  }
  const devices = await store.db.selectFrom('device').select(['id', 'user_id']).execute();
  for (const [index, { id, user_id: userId }] of devices.slice(0, 5).entries()) {
    const status = { gateway_id: GATEWAYS[index % 3][0], last_handshake_at: now - index * 400_000 };
    await store.db
      .insertInto('device_status')
      .values({ device_id: id, ...status })
      .onConflict((conflict) => conflict.column('device_id').doUpdateSet(status))
      .execute();
    for (let day = 0; day < 20; day++) {
      const usage = {
        sent_bytes: 30_000_000 * (1 + ((day * 7 + index) % 5)),
        received_bytes: 400_000_000 * (1 + ((day * 3 + index) % 7)),
      };
      await store.db
        .insertInto('usage')
        .values({
          device_id: id,
          user_id: userId,
          day: new Date(now - day * 86_400_000).toISOString().slice(0, 10),
          ...usage,
        })
        .onConflict((conflict) => conflict.columns(['device_id', 'day']).doNothing())
        .execute();
    }
  }
}
