/** Fills a control plane's database as a large organisation would, without the thousands of requests. */
import { randomBytes } from 'node:crypto';
import { createHash } from 'node:crypto';
import { openStore, SYSTEM, type Store, type Writing } from '@sallyport/control';
import { poolAddress } from '@sallyport/policy';
import { pino } from 'pino';

export interface Size {
  readonly devices: number;
  readonly rules: number;
  /** The users and the rules are spread over this many groups. */
  readonly groups: number;
}

/** The device that packets are sent through; it is in every group's first one. */
export interface Carrier {
  readonly publicKey: string;
}

/** Behind the gateway, in a private network. */
export const PROBE_ADDRESS = '10.250.0.2';

/**
 * Does {@link seed} in a new database before anything serves it: a control plane that runs would know nothing of what is
 * written past it.
 */
export async function seedNew(
  database: { readonly databaseUrl: string; readonly masterKeyFile: string },
  pools: { readonly pool4: string; readonly pool6: string },
  size: Size,
  more: (store: Store) => Promise<unknown> = () => Promise.resolve(),
): Promise<string> {
  const { databaseUrl: url, masterKeyFile } = database;
  const store = await openStore({ url, masterKeyFile, now: Date.now, log: pino({ level: 'silent' }) });
  try {
    const token = await seed(store, pools, size, { publicKey: Buffer.alloc(32, 9).toString('base64') });
    await more(store);
    return token;
  } finally {
    await store.close();
  }
}

const ROWS_AT_ONCE = 500;
const FIRST_ADDRESS = 2;

/**
 * Users `u0`…, each with a device and in one group; groups `g0`…; rules `r0`…, each letting a group reach a network of
 * its own. The user `administrator` has the device of `carrier`, is in group g0, and has the API token that is returned.
 */
export async function seed(
  store: Store,
  pools: { readonly pool4: string; readonly pool6: string },
  size: Size,
  carrier: Carrier,
): Promise<string> {
  const token = `spt_${randomBytes(32).toString('base64url')}`;
  await store.write(SYSTEM, async (writing) => {
    const groups = numbers(size.groups).map((n) => ({ id: `g${n}`, name: `g${n}`, description: '' }));
    await insert(writing, 'group', groups, (row) => ({
      ...row,
      ...noLimits,
      require_device_approval: 0,
      session_lifetime_seconds: null,
      version: 1,
    }));
    const users = ['administrator', ...numbers(size.devices - 1).map((n) => `u${n}`)];
    await insert(writing, 'user', users, (id) => userRow(id, writing.now));
    if (size.groups > 0)
      await insert(writing, 'group_member', users, (id) => ({
        group_id: `g${String(id === 'administrator' ? 0 : Number(id.slice(1)) % size.groups)}`,
        user_id: id,
      }));
    await insert(writing, 'device', users, (id) => {
      const number = users.length > 1 && id !== 'administrator' ? Number(id.slice(1)) + 1 : 0;
      return {
        id: `device-${id}`,
        user_id: id,
        name: 'laptop',
        public_key: id === 'administrator' ? carrier.publicKey : randomBytes(32).toString('base64'),
        ipv4: poolAddress(pools.pool4, number + FIRST_ADDRESS),
        ipv6: poolAddress(pools.pool6, number + FIRST_ADDRESS),
        approved: 1,
        expires_at: null,
        bits_per_second: null,
        created_at: writing.now,
        version: 1,
      };
    });
    const rules = numbers(size.rules);
    await insert(writing, 'resource', rules, (n) => ({
      id: `resource${n}`,
      name: `resource${n}`,
      description: '',
      kind: 'network',
      prefixes: JSON.stringify([
        `10.${String(100 + (Number(n) >> 8))}.${String(Number(n) & 255)}.0/24`,
        `fd20:0:0:${Number(n).toString(16)}::/64`,
      ]),
      domain: null,
      services: JSON.stringify([{ protocol: 'tcp', ports: ['443'] }]),
      version: 1,
    }));
    await insert(writing, 'rule', rules, (n) => ({
      id: `r${n}`,
      name: `r${n}`,
      enabled: 1,
      groups: JSON.stringify([size.groups === 0 ? 'everyone' : `g${String(Number(n) % size.groups)}`]),
      resources: JSON.stringify([`resource${n}`]),
      gateways: '[]',
      version: 1,
    }));
    // One rule that alone lets the carrier reach one address, so that it is felt at once whether it is in force.
    await insert(writing, 'resource', ['probe'], (name) => ({
      id: name,
      name,
      description: '',
      kind: 'network',
      prefixes: JSON.stringify([`${PROBE_ADDRESS}/32`]),
      domain: null,
      services: '[]',
      version: 1,
    }));
    await insert(writing, 'rule', ['probe'], (name) => ({
      id: name,
      name,
      enabled: 1,
      groups: '["g0"]',
      resources: '["probe"]',
      gateways: '[]',
      version: 1,
    }));
    await writing.db
      .insertInto('api_token')
      .values({
        id: 'bench',
        token_hash: createHash('sha256').update(token).digest('hex'),
        name: 'bench',
        user_id: 'administrator',
        permissions: JSON.stringify([
          'self',
          'devices:read',
          'users:read',
          'gateways:read',
          'policy:read',
          'policy:write',
        ]),
        created_at: writing.now,
        expires_at: null,
        last_used_at: null,
      })
      .execute();
  });
  return token;
}

const noLimits = { devices_per_user: null, bits_per_second: null, traffic_bytes_per_month: null };

function userRow(id: string, now: number) {
  return {
    ...noLimits,
    id,
    name: id,
    display_name: '',
    email: null,
    role: id === 'administrator' ? 'administrator' : 'user',
    password_hash: null,
    disabled: 0,
    expires_at: null,
    created_at: now,
    last_login_at: null,
    version: 1,
  };
}

function numbers(count: number): string[] {
  return Array.from({ length: Math.max(0, count) }, (_, n) => String(n));
}

async function insert<T>(
  { db }: Writing,
  table: 'group' | 'user' | 'group_member' | 'device' | 'resource' | 'rule',
  items: readonly T[],
  row: (item: T) => object,
): Promise<void> {
  for (let at = 0; at < items.length; at += ROWS_AT_ONCE)
    await db
      .insertInto(table)
      .values(items.slice(at, at + ROWS_AT_ONCE).map(row))
      .execute();
}
