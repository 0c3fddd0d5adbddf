/**
 * The control plane with its console, by plain HTTP on loopback: console-server.ts FOLDER DEVICES. Prints its address and
 * the session of an administrator as JSON once it serves, and renames a device, to `renamed-0` and on, with each SIGUSR2.
 */
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { loadConsole, startControl, WebServer } from '@sallyport/control';
import { pino } from 'pino';
import { seedNew } from './seed.ts';

/** How often the control plane looks at its gateways. */
const SAMPLE_MS = 5000;

const [folder = '', devices = '0'] = process.argv.slice(2);
const pools = { pool4: '10.64.0.0/16', pool6: 'fd64::/64' };
const server = await WebServer.bind([{ host: '127.0.0.1', port: 0 }], { tls: false });
const url = `http://localhost:${String(server.addresses[0].port)}`;
const database = {
  databaseUrl: `sqlite:${join(folder, 'console.db')}`,
  masterKeyFile: join(folder, 'master.key'),
};
const session = `sps_${randomBytes(32).toString('base64url')}`;
const gateways = Array.from({ length: 20 }, (_, n) => `gateway-${String(n)}`);
await seedNew(database, pools, { devices: Number(devices), rules: 100, groups: 10 }, async ({ db }) => {
  const now = Date.now();
  await db
    .insertInto('session')
    .values({
      id: 'bench',
      token_hash: createHash('sha256').update(session).digest('hex'),
      user_id: 'administrator',
      client: 'bench',
      created_at: now,
      last_used_at: now,
      expires_at: now + 3_600_000,
      authenticated_at: now,
      methods: '["password"]',
      provider_id: null,
    })
    .execute();
  await db.insertInto('region').values({ id: 'here', name: 'Here', version: 1 }).execute();
  await db
    .insertInto('gateway')
    .values(
      gateways.map((id, n) => ({
        id,
        name: id,
        region_id: 'here',
        country: null,
        city: null,
        latitude: null,
        longitude: null,
        endpoint_host: `198.51.100.${String(n + 1)}`,
        endpoint_port: 51_820,
        wireguard_public_key: randomBytes(32).toString('base64'),
        link_key_hash: randomBytes(32).toString('hex'),
        egress: '[]',
        addresses: '[]',
        draining: 0,
        created_at: now,
        version: 1,
      })),
    )
    .execute();
});
const control = await startControl({
  ...pools,
  ...database,
  publicUrl: url,
  version: '0',
  now: Date.now,
  log: pino({ level: 'silent' }),
  rate: { burst: 1e9, perSecond: 1e9 },
  console: loadConsole(join(import.meta.dirname, '../../apps/console/dist')),
});
const { store } = control.services;

/** What the gateways would say. */
async function report(): Promise<void> {
  for (const id of gateways) {
    const status = {
      gateway_id: id,
      connected: 1,
      health: 'healthy',
      problems: '[]',
      load: JSON.stringify({
        cpu: 0.3,
        memoryBytes: 1e8,
        receivedBitsPerSecond: 1e8 * Math.random(),
        sentBitsPerSecond: 1e9 * Math.random(),
        activeDevices: 500,
      }),
      latency_ms: 20,
      software: '0',
      last_seen_at: Date.now(),
      node: 'bench',
      state_version: 1,
      applied_version: 1,
      applied_digest: '',
      report_number: 1,
    };
    await store.db
      .insertInto('gateway_status')
      .values(status)
      .onConflict((conflict) => conflict.column('gateway_id').doUpdateSet(status))
      .execute();
  }
}
await report();
setInterval(() => void report(), 2000);
// The overview plots from its second sample on.
await delay(2 * SAMPLE_MS + 1000);
server.open({ request: control.request, upgrade: control.upgrade });
process.stdout.write(`${JSON.stringify({ url, session })}\n`);

let renamed = 0;
process.on('SIGUSR2', () => {
  const by = { actor: { kind: 'user', id: 'u1', name: 'u1' }, via: 'console', address: null } as const;
  void store.write(by, async ({ db, changed }) => {
    await db
      .updateTable('device')
      .set({ name: `renamed-${String(renamed++)}` })
      .where('id', '=', 'device-u1')
      .execute();
    changed('device', 'device-u1');
  });
});
