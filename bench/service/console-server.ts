/**
 * The control plane with its console, by plain HTTP on loopback: console-server.ts FOLDER DEVICES. Prints its address and
 * the session of an administrator as JSON once it serves, and renames a device, to `renamed-0` and on, with each SIGUSR2.
 */
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { loadConsole, startControl, WebServer } from '@sallyport/control';
import { pino } from 'pino';
import { seed } from './seed.ts';

const [folder = '', devices = '0'] = process.argv.slice(2);
const pools = { pool4: '10.64.0.0/16', pool6: 'fd64::/64' };
const server = await WebServer.bind([{ host: '127.0.0.1', port: 0 }], { tls: false });
const url = `http://localhost:${String(server.addresses[0].port)}`;
const control = await startControl({
  ...pools,
  databaseUrl: `sqlite:${join(folder, 'console.db')}`,
  masterKeyFile: join(folder, 'master.key'),
  publicUrl: url,
  version: '0',
  now: Date.now,
  log: pino({ level: 'silent' }),
  rate: { burst: 1e9, perSecond: 1e9 },
  console: loadConsole(join(import.meta.dirname, '../../apps/console/dist')),
});
const { store } = control.services;
const size = { devices: Number(devices), rules: 100, groups: 10 };
await seed(store, pools, size, { publicKey: Buffer.alloc(32, 9).toString('base64') });
const session = `sps_${randomBytes(32).toString('base64url')}`;
const now = Date.now();
await store.db
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
