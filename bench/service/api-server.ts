/**
 * The control plane's API alone, by plain HTTP on loopback: api-server.ts DATABASE-URL FOLDER DEVICES. Prints the address
 * and an API token as JSON once it serves. It is the API of `sallyport server`, but for the limit on requests.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { startControl } from '@sallyport/control';
import { pino } from 'pino';
import { seedNew } from './seed.ts';

const [databaseUrl = '', folder = '', devices = '0'] = process.argv.slice(2);
const pools = { pool4: '10.64.0.0/16', pool6: 'fd64::/64' };
const database = { databaseUrl, masterKeyFile: join(folder, 'master.key') };
const token = await seedNew(database, pools, { devices: Number(devices), rules: 100, groups: 10 });
const control = await startControl({
  ...pools,
  ...database,
  publicUrl: 'http://127.0.0.1',
  version: '0',
  now: Date.now,
  log: pino({ level: 'silent' }),
  rate: { burst: 1e9, perSecond: 1e9 },
});
const server = createServer(control.request);
server.listen(0, '127.0.0.1');
await once(server, 'listening');
process.stdout.write(`${JSON.stringify({ port: (server.address() as AddressInfo).port, token })}\n`);
