import { chmodSync, chownSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openStore } from '@sallyport/control';
import {
  generateKeys,
  ping,
  until,
  wire,
  WireGuardDevice,
  type Laboratory,
  type NetworkNamespace,
  type Process,
  type Program,
} from '@sallyport/netlab';
import { pino } from 'pino';
import { PROBE_ADDRESS, seed, type Size } from './seed.ts';

const sallyport = fileURLToPath(new URL('../../bin/sallyport', import.meta.url));
const DESTINATION = '203.0.113.2';
const POOL = { pool4: '10.64.0.0/16', pool6: 'fd64::/64' };
const CONTROL_PORT = 8443;
const LISTEN_PORT = 51820;

/** A client, a gateway, and a destination behind it: packets go through a tunnel and are forwarded. */
export interface Site {
  readonly client: NetworkNamespace;
  readonly gateway: NetworkNamespace;
  readonly destination: NetworkNamespace;
  /** By which the client reaches the destination. */
  readonly address: string;
}

export interface ServiceSite extends Site {
  readonly url: string;
  readonly token: string;
  readonly fingerprint: string;
  readonly processes: Readonly<Record<'supervisor' | 'control' | 'helper' | 'gateway', number>>;
  /** From the program's start, where there is a database already, to its word that it is ready. */
  readonly readyMs: number;
  /** Ends the service. */
  stop(): Promise<void>;
}

async function openMachines(laboratory: Laboratory, label: string): Promise<Site> {
  const [client, gateway, destination] = await Promise.all(
    ['client', 'gateway', 'destination'].map((name) => laboratory.namespace(`${label}-${name}`)),
  );
  if (client === undefined || gateway === undefined || destination === undefined)
    throw new Error('a machine is missing');
  await wire(
    { namespace: client, name: 'to-gateway', addresses: ['192.0.2.1/24'] },
    { namespace: gateway, name: 'to-client', addresses: ['192.0.2.2/24'] },
  );
  await wire(
    { namespace: gateway, name: 'to-destination', addresses: ['203.0.113.1/24'] },
    { namespace: destination, name: 'to-gateway', addresses: [`${DESTINATION}/24`] },
  );
  await destination.address('to-gateway', `${PROBE_ADDRESS}/32`);
  await gateway.route(`${PROBE_ADDRESS}/32`, 'via', DESTINATION);
  await destination.route('0.0.0.0/0', 'via', '203.0.113.1');
  return { client, gateway, destination, address: DESTINATION };
}

/** The tunnel alone: the device of this checkout at both ends, the gateway's kernel forwards without a rule. */
export async function openBareSite(laboratory: Laboratory, label: string, program: Program): Promise<Site> {
  const site = await openMachines(laboratory, label);
  const [ours, theirs] = [generateKeys(), generateKeys()];
  const far = await WireGuardDevice.start(site.gateway, program);
  await far.configure({
    privateKey: theirs.privateKey,
    listenPort: LISTEN_PORT,
    peers: [{ publicKey: ours.publicKey, allowedIps: ['10.64.0.2/32'] }],
  });
  await far.up(['10.64.0.1/16'], 1420);
  await site.gateway.forward();
  await connect(site, program, ours.privateKey, theirs.publicKey);
  return site;
}

/** The whole service, with an organisation of a certain size. */
export async function openServiceSite(
  laboratory: Laboratory,
  label: string,
  program: Program,
  size: Size,
): Promise<ServiceSite> {
  const site = await openMachines(laboratory, label);
  // The processes that keep their data there are not root: they must be able to pass.
  chmodSync(laboratory.folder, 0o711);
  const data = join(laboratory.folder, `${label}-data`);
  const configuration = laboratory.file(
    `${label}.toml`,
    `data = ${JSON.stringify(data)}\n[web]\nlisten = ["192.0.2.2:${String(CONTROL_PORT)}"]\n` +
      `[network]\npool4 = "${POOL.pool4}"\npool6 = "${POOL.pool6}"\n`,
  );
  const first = await startServer(site.gateway, configuration);
  await first.process.stop();
  const keys = generateKeys();
  const { token, gatewayKey } = await fill(join(data, 'control'), size, keys.publicKey);
  const started = performance.now();
  const { announcement, process } = await startServer(site.gateway, configuration);
  const readyMs = performance.now() - started;
  await connect(site, program, keys.privateKey, gatewayKey);
  return {
    ...site,
    url: announcement.control.url,
    fingerprint: announcement.control.fingerprint,
    token,
    processes: announcement.processes,
    readyMs,
    async stop() {
      await process.stop();
    },
  };
}

async function fill(
  folder: string,
  size: Size,
  publicKey: string,
): Promise<{ readonly token: string; readonly gatewayKey: string }> {
  const store = await openStore({
    url: `sqlite:${join(folder, 'sallyport.db')}`,
    masterKeyFile: join(folder, 'master.key'),
    now: Date.now,
    log: pino({ level: 'silent' }),
  });
  try {
    const token = await seed(store, POOL, size, { publicKey });
    const [gateway] = await store.db.selectFrom('gateway').select('wireguard_public_key').execute();
    return { token, gatewayKey: gateway?.wireguard_public_key ?? '' };
  } finally {
    await store.close();
    const { uid, gid } = statSync(folder);
    for (const name of readdirSync(folder)) chownSync(join(folder, name), uid, gid);
  }
}

interface Announcement {
  readonly control: { readonly url: string; readonly fingerprint: string };
  readonly processes: ServiceSite['processes'];
}

async function startServer(
  namespace: NetworkNamespace,
  configuration: string,
): Promise<{ readonly process: Process; readonly announcement: Announcement }> {
  const process = await namespace.start([sallyport, 'server', '--config', configuration, '--json']);
  await until(
    'the service',
    () => {
      if (process.exit !== undefined) throw new Error(`the service ended: ${process.stderr}`);
      return /^\}\s*$|^\{.*\}\s*$/m.test(process.stdout);
    },
    60_000,
  );
  return { process, announcement: JSON.parse(process.stdout) as Announcement };
}

async function connect(site: Site, program: Program, privateKey: string, gatewayKey: string): Promise<void> {
  const device = await WireGuardDevice.start(site.client, program);
  await device.configure({
    privateKey,
    peers: [
      {
        publicKey: gatewayKey,
        endpoint: `192.0.2.2:${String(LISTEN_PORT)}`,
        allowedIps: ['0.0.0.0/0'],
        persistentKeepalive: 25,
      },
    ],
  });
  await device.up(['10.64.0.2/32'], 1420);
  await site.client.route('203.0.113.0/24', 'dev', device.name);
  await site.client.route(`${PROBE_ADDRESS}/32`, 'dev', device.name);
  const answers = async (): Promise<boolean> =>
    (await ping(site.client, site.address, { count: 1, waitMs: 500 })).received === 1;
  await until('the destination, through the tunnel', answers, 30_000);
}
