/** Databases of both kinds, made for one test and removed after it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe } from 'node:test';
import { openStore, type Origin, type Store, type StoreOptions, type Writing } from '@sallyport/control';
import { PostgresServer } from '@sallyport/netlab';

export const quiet: StoreOptions['log'] = { info: () => undefined, warn: () => undefined, error: () => undefined };

export const administrator: Origin = {
  actor: { kind: 'user', id: 'u-admin', name: 'admin' },
  via: 'api',
  address: '203.0.113.7',
};

export interface Databases {
  readonly dialect: Store['dialect'];
  /** A folder of the test's own. */
  readonly folder: () => string;
  /** The URL of a new, empty database. */
  readonly create: () => Promise<string>;
  /** Opens a store, which is closed at the end of the test. */
  readonly open: (url: string, options?: Partial<StoreOptions>) => Promise<Store>;
  readonly server: () => PostgresServer;
}

/** The same tests on SQLite and on PostgreSQL. */
export function onBothDatabases(name: string, tests: (databases: Databases) => void): void {
  for (const dialect of ['sqlite', 'postgresql'] as const)
    describe(`${name} on ${dialect}`, () => onOne(dialect, tests));
}

export function onOne(dialect: Store['dialect'], tests: (databases: Databases) => void): void {
  let server: PostgresServer | undefined;
  const folders: string[] = [];
  const stores: Store[] = [];
  const folder = (): string => {
    const path = mkdtempSync(join(tmpdir(), 'sallyport-store-'));
    folders.push(path);
    return path;
  };
  if (dialect === 'postgresql') {
    before(async () => {
      server = await PostgresServer.start({ durable: false });
    });
    after(() => server?.remove());
  }
  afterEach(async () => {
    await Promise.all(stores.splice(0).map((store) => store.close()));
    for (const path of folders.splice(0)) rmSync(path, { recursive: true });
  });
  tests({
    dialect,
    folder,
    create: async () => (dialect === 'sqlite' ? `sqlite:${join(folder(), 'test.db')}` : server!.createDatabase()),
    open: async (url, options) => {
      const store = await openStore({ url, now: Date.now, log: quiet, ...options });
      stores.push(store);
      return store;
    },
    server: () => server!,
  });
}

/** The row of a user, for tests that need one. */
export function userRow(id: string) {
  return {
    id,
    name: id,
    display_name: id,
    email: null,
    role: 'user',
    password_hash: null,
    disabled: 0,
    expires_at: null,
    devices_per_user: null,
    bits_per_second: null,
    traffic_bytes_per_month: null,
    created_at: 1,
    last_login_at: null,
    login_epoch: '',
    version: 1,
  };
}

export function deviceRow(number: number, userId: string) {
  return {
    id: `d${number}`,
    user_id: userId,
    name: `device ${number}`,
    public_key: `key ${number}`,
    ipv4: `10.0.${number >> 8}.${number & 0xff}`,
    ipv6: `fd00::${number.toString(16)}`,
    approved: 1,
    expires_at: null,
    bits_per_second: null,
    created_at: 1,
    version: 1,
  };
}

/** Adds a user as the service would: row, audit entry, change. */
export async function addUser({ db, audit, changed }: Writing, id: string): Promise<void> {
  await db.insertInto('user').values(userRow(id)).execute();
  await audit('user.create', { kind: 'user', id, name: id }, undefined, { id, name: id });
  changed('user', id);
}
