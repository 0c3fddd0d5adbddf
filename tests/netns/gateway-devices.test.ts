/** What devices have of a gateway besides a way out: the tunnel service, networks behind others, other gateways. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { generateKeys, Laboratory, ping, sallyportDevice, until, wire, WireGuardDevice, wireguardGo } from '@sallyport/netlab'; // prettier-ignore
import type { NetworkNamespace, WireGuardKeys } from '@sallyport/netlab';
import type { DevicePlan, GatewayPlan, GroupPlan } from '@sallyport/policy';
import { RunningRig } from './running-gateway-rig.ts';
import type { PeerTask } from './tunnel-service-peer.ts';

const UID = 64_124;
const PEER = fileURLToPath(new URL('./tunnel-service-peer.ts', import.meta.url));
const GATEWAY = { 4: '100.64.0.1', 6: 'fd00::1' } as const;
const AMNEZIAWG_PORT = 51_821;
const TLS = { host: '', port: 8444, path: `/${'p'.repeat(20)}`, certificateSha256: 'ab'.repeat(32) };
/** A machine behind the connector. */
const BEHIND = ['10.9.0.2', 'fd99::2'] as const;
/** The entrance of another gateway. */
const ENTRANCE = '198.51.100.2';

interface Client {
  readonly namespace: NetworkNamespace;
  readonly keys: WireGuardKeys;
  readonly plan: DevicePlan;
  tunnel: WireGuardDevice;
}

const directory = mkdtempSync(join(tmpdir(), 'sallyport-gateway-'));
let laboratory: Laboratory;
let gateway: NetworkNamespace;
let behind: NetworkNamespace;
let exit: NetworkNamespace;
let rig: RunningRig;
let gatewayKey: string;
let alice: Client;
let carol: Client;
let connector: Client;

before(async () => {
  chownSync(directory, UID, UID);
  chmodSync(directory, 0o700);
  laboratory = Laboratory.open();
  gateway = await laboratory.namespace('gateway');
  behind = await laboratory.namespace('behind');
  exit = await laboratory.namespace('exit');
  await wire(
    { namespace: gateway, name: 'out0', addresses: ['198.51.100.1/24'] },
    { namespace: exit, name: 'out0', addresses: [`${ENTRANCE}/24`] },
  );
  await exit.route('100.64.0.0/10', 'via', '198.51.100.1');
  rig = new RunningRig(gateway.name, directory, laboratory.interfaceName(), UID, { amneziawgPort: AMNEZIAWG_PORT, tls: TLS }); // prettier-ignore
  gatewayKey = (await rig.next('ready'))['wireguardPublicKey'] as string;
  await rig.next('link');
  alice = await client('alice', 1, 'staff');
  carol = await client('carol', 2, 'others');
  connector = await client('connector', 3, 'others');
  await connector.namespace.forward();
  await wire(
    { namespace: connector.namespace, name: 'lan0', addresses: ['10.9.0.1/24', 'fd99::1/64'] },
    { namespace: behind, name: 'lan0', addresses: ['10.9.0.2/24', 'fd99::2/64'] },
  );
  await connector.namespace.masquerade('lan0');
  await behind.route('100.64.0.0/10', 'via', '10.9.0.1');
  await behind.route('fd00::/64', 'via', 'fd99::1');
  await serve([alice.plan, carol.plan, connector.plan]);
  for (const one of [alice, carol, connector]) await connect(one, one === carol);
});

after(async () => {
  rig.child.kill('SIGKILL');
  await laboratory.close();
  rmSync(directory, { recursive: true, force: true });
});

/** A machine with a wire to the gateway's. */
async function client(label: string, number: number, group: string): Promise<Client> {
  const namespace = await laboratory.namespace(label);
  const net = `192.0.2.${String(4 * number + 1)}/30`;
  await wire(
    { namespace: gateway, name: `wan${String(number)}`, addresses: [net] },
    { namespace, name: 'up0', addresses: [`192.0.2.${String(4 * number + 2)}/30`] },
  );
  const keys = generateKeys();
  const plan: DevicePlan = {
    id: label,
    publicKey: keys.publicKey,
    ipv4: `100.64.0.${String(number + 1)}`,
    ipv6: `fd00::${String(number + 1)}`,
    groups: [group],
  };
  const tunnel = await WireGuardDevice.start(namespace, label === 'carol' ? sallyportDevice : wireguardGo);
  return { namespace, keys, plan, tunnel };
}

/** Carol comes by AmneziaWG. */
async function connect({ namespace, keys, plan, tunnel }: Client, amneziawg: boolean): Promise<void> {
  const index = Number(plan.ipv4.split('.')[3]) - 1;
  const port = amneziawg ? AMNEZIAWG_PORT : 443;
  if (amneziawg) {
    const parameters = JSON.parse(readFileSync(join(directory, 'amneziawg.json'), 'utf8')) as Record<string, number>;
    const lines = Object.entries(parameters).map(([key, value]) => `${key}=${String(value)}\n`);
    assert.match(await tunnel.uapi(`set=1\n${lines.join('')}\n`), /errno=0/);
  }
  await tunnel.apply({
    privateKey: keys.privateKey,
    peers: [{ publicKey: gatewayKey, endpoint: `192.0.2.${String(4 * index + 1)}:${String(port)}`, allowedIps: ['0.0.0.0/0', '::/0'], persistentKeepalive: 5 }], // prettier-ignore
  });
  await tunnel.up([`${plan.ipv4}/32`, `${plan.ipv6}/128`], 1420);
  for (const prefix of ['100.64.0.0/10', 'fd00::/64', '198.51.100.0/24'])
    await namespace.route(prefix, 'dev', tunnel.name);
  if (plan.id !== 'connector')
    for (const prefix of ['10.9.0.0/24', 'fd99::/64']) await namespace.route(prefix, 'dev', tunnel.name);
  await until(`${plan.id} to be connected`, async () => (await ping(namespace, GATEWAY[4], { count: 1 })).received === 1); // prettier-ignore
}

async function serve(devices: readonly DevicePlan[], more: Partial<GatewayPlan> = {}): Promise<void> {
  const mark = rig.told.length;
  const grant = (prefix: string) =>
    ({ rule: 'r', destination: { kind: 'network', prefix }, protocol: 'any', ports: [] }) as const;
  const groups: GroupPlan[] = [
    { id: 'staff', grants: ['10.9.0.0/24', 'fd99::/64', '10.0.5.0/24'].map(grant) },
    { id: 'others', grants: [grant('192.0.2.77/32')] },
  ];
  rig.say({ kind: 'state', devices, groups, gateway: more });
  await rig.next('inForce', mark);
}

async function ask(from: Client, family: 4 | 6, what: PeerTask['ask'], answered = true): Promise<unknown> {
  const own = family === 4 ? from.plan.ipv4 : from.plan.ipv6;
  const task: PeerTask = { from: own, to: GATEWAY[family], ask: what, answered };
  return JSON.parse((await from.namespace.run([process.execPath, PEER, JSON.stringify(task)])).stdout);
}

async function reaches(from: NetworkNamespace, to: string, source?: string): Promise<boolean> {
  const argv = ['ping', '-n', '-c', '1', '-W', '1', ...(source === undefined ? [] : ['-I', source]), to];
  return (await from.run(argv, { allowFailure: true })).code === 0;
}

test('the gateway says how it is reached otherwise', async () => {
  rig.say({ kind: 'hello' });
  const hello = (await rig.next('saidHello'))['hello'] as { tunnel: Record<string, unknown> };
  const parameters = JSON.parse(readFileSync(join(directory, 'amneziawg.json'), 'utf8')) as object;
  assert.deepEqual(hello.tunnel['amneziawg'], { port: AMNEZIAWG_PORT, ...parameters });
  assert.deepEqual(hello.tunnel['tls'], TLS);
});

/** Has Alice begin a new session, by this preshared key. */
async function begin(presharedKey?: string): Promise<void> {
  await alice.tunnel.apply({
    peers: [
      {
        publicKey: gatewayKey,
        ...(presharedKey !== undefined && { presharedKey }),
        endpoint: '192.0.2.5:443',
        allowedIps: ['0.0.0.0/0', '::/0'],
      },
    ],
  });
}

describe('the tunnel service', () => {
  test('answers devices at both addresses, and nobody else', async () => {
    for (const family of [4, 6] as const)
      assert.deepEqual(await ask(alice, family, { kind: 'ping', padding: 200 }), { kind: 'pong', padding: 200, draining: false }); // prettier-ignore
    // By AmneziaWG as well.
    assert.deepEqual(await ask(carol, 4, { kind: 'ping', padding: 1 }), { kind: 'pong', padding: 1, draining: false });
    const task: PeerTask = { from: ENTRANCE, to: GATEWAY[4], ask: { kind: 'ping', padding: 1 }, answered: false };
    assert.equal((await exit.run([process.execPath, PEER, JSON.stringify(task)])).stdout, 'null');
    await serve([alice.plan, carol.plan, connector.plan], { draining: true });
    assert.deepEqual(await ask(alice, 4, { kind: 'ping', padding: 1 }), { kind: 'pong', padding: 1, draining: true });
    await serve([alice.plan, carol.plan, connector.plan]);
  });

  test('agrees a key, by which the next session is made, and by no other', async () => {
    const agreed = await ask(alice, 6, { kind: 'agree', gateway: gatewayKey, device: alice.keys.publicKey });
    assert.equal(typeof agreed, 'string');
    await begin(Buffer.alloc(32, 1).toString('base64'));
    assert.equal((await ping(alice.namespace, GATEWAY[4], { count: 10, intervalMs: 100 })).received, 0);
    await begin(agreed as string);
    await until('the session', () => reaches(alice.namespace, GATEWAY[4]));
    const [peer] = await alice.tunnel.peers();
    assert.ok(peer?.hasPresharedKey && peer.latestHandshake > 0);
  });

  test('has packets cut to what a device can take, and goes back when it is gone', async () => {
    const routes = async (): Promise<string> =>
      `${await gateway.ip('-4', 'route', 'show', alice.plan.ipv4)}${await gateway.ip('-6', 'route', 'show', alice.plan.ipv6)}`;
    assert.equal(await routes(), '');
    assert.deepEqual(await ask(alice, 4, { kind: 'pathMtu', mtu: 1300 }), { kind: 'pathMtuTaken' });
    assert.equal([...(await routes()).matchAll(/mtu lock 1300/g)].length, 2);
    assert.equal(await ask(alice, 4, { kind: 'ping', padding: 1301 - 28 - 12 }, false), null);
    assert.notEqual(await ask(alice, 4, { kind: 'ping', padding: 1300 - 28 - 12 }), null);
    assert.deepEqual(await ask(alice, 6, { kind: 'pathMtu', mtu: 1420 }), { kind: 'pathMtuTaken' });
    assert.equal(await routes(), '');
    assert.notEqual(await ask(alice, 4, { kind: 'ping', padding: 1301 }), null);
    assert.deepEqual(await ask(alice, 4, { kind: 'pathMtu', mtu: 1290 }), { kind: 'pathMtuTaken' });
    await serve([carol.plan, connector.plan]);
    await until('the limit to be gone', async () => (await routes()) === '');
    await serve([alice.plan, carol.plan, connector.plan]);
    // The key went with her.
    await begin();
    await until('alice to be back', () => reaches(alice.namespace, GATEWAY[4]));
  });
});

test('a network behind a device is reached by its group, through the device, and begins nothing', async () => {
  const [before] = await connector.tunnel.peers();
  for (const address of BEHIND) assert.ok(!(await reaches(alice.namespace, address)), `${address} too early`);
  await serve([alice.plan, carol.plan, { ...connector.plan, networks: ['10.9.0.0/24', 'fd99::/64'] }]);
  for (const address of BEHIND) {
    await until(`${address} from who may`, () => reaches(alice.namespace, address));
    assert.ok(!(await reaches(carol.namespace, address)), `${address} from who may not`);
  }
  for (const to of [alice.plan.ipv4, alice.plan.ipv6, GATEWAY[4], GATEWAY[6]])
    assert.ok(!(await reaches(behind, to)), `${to} from behind`);
  // The connector passes them on: it is the gateway that refuses.
  const sent = async (): Promise<number> => {
    const [status] = await connector.tunnel.peers();
    return status?.sent ?? 0;
  };
  const sentBefore = await sent();
  await until('what comes to the tunnel', async () => {
    // More than the tunnel's own messages.
    await ping(behind, alice.plan.ipv4, { count: 1, bytes: 1000 });
    return (await sent()) - sentBefore > 1000;
  });
  // Its own session went on all the while, unless it was renewed for its age (REKEY_AFTER_TIME).
  const [now] = await connector.tunnel.peers();
  const later = (now?.latestHandshake ?? 0) - (before?.latestHandshake ?? 0);
  assert.ok(later === 0 || later >= 119, `another handshake after ${String(later)} s`);

  await serve([alice.plan, carol.plan, connector.plan]);
  for (const address of BEHIND) assert.ok(!(await reaches(alice.namespace, address)), `${address} when it is over`);
});

test('senders behind a device hear from the gateway what does not fit, by the tunnel', async () => {
  const connected = { ...connector.plan, networks: ['10.9.0.0/24', 'fd99::/64'] };
  await serve([alice.plan, carol.plan, connected]);
  assert.deepEqual(await ask(alice, 4, { kind: 'pathMtu', mtu: 1300 }), { kind: 'pathMtuTaken' });
  // Answers with more than alice can take.
  const serveLarge = `
    for (const type of ['udp4', 'udp6']) {
      const socket = require('node:dgram').createSocket({ type, ipv6Only: type === 'udp6' });
      socket.on('message', (_, from) => socket.send(Buffer.alloc(1320), from.port, from.address));
      socket.on('error', () => undefined);
      socket.bind(7000, () => console.log('ready'));
    }`;
  const server = await behind.start([process.execPath, '--eval', serveLarge]);
  await until('the server', () => server.stdout.split('ready').length === 3);
  for (const [address, via] of [
    [BEHIND[0], '10.9.0.1'],
    [BEHIND[1], 'fd99::1'],
  ] as const) {
    const knock = (waitMs: number): string => `
      const socket = require('node:dgram').createSocket('${address.includes(':') ? 'udp6' : 'udp4'}');
      socket.send('x', 7000, '${address}');
      socket.on('message', (bytes) => { console.log(bytes.length); process.exit(); });
      setTimeout(() => process.exit(), ${String(waitMs)});`;
    await until(`what ${via} can't take`, async () => {
      await alice.namespace.run([process.execPath, '--eval', knock(800)]);
      return /\bmtu 1300\b/.test(await behind.ip('route', 'get', via));
    });
    // What is sent then comes in pieces.
    assert.match((await alice.namespace.run([process.execPath, '--eval', knock(20_000)])).stdout, /1320/, address);
  }
  server.signal('SIGTERM');
  await ask(alice, 4, { kind: 'pathMtu', mtu: 1420 });
  await serve([alice.plan, carol.plan, connector.plan]);
});

test('a network that lies behind a device elsewhere is not reached where the gateway has the same', async () => {
  await wire(
    { namespace: gateway, name: 'lan0', addresses: ['10.0.5.1/24'] },
    { namespace: exit, name: 'lan0', addresses: ['10.0.5.2/24'] },
  );
  await alice.namespace.route('10.0.5.0/24', 'dev', alice.tunnel.name);
  const reached = async (): Promise<boolean[]> =>
    Promise.all(['10.0.5.1', '10.0.5.2'].map((address) => reaches(alice.namespace, address)));
  const all = [alice.plan, carol.plan, connector.plan];
  await serve(all);
  await until('a network of the gateway’s own, for which there is a rule', async () =>
    (await reached()).every(Boolean),
  );
  const networks = ['10.0.5.0/24'];
  await serve([alice.plan, carol.plan, { ...connector.plan, networks }]);
  assert.deepEqual(await reached(), [false, false], 'it can’t be routed here');
  await serve([alice.plan, carol.plan, { ...connector.plan, networks, validUntil: 1 }]);
  assert.deepEqual(await reached(), [false, false], 'its device may not connect any more');
  await serve([alice.plan, carol.plan], { connectedNetworks: networks });
  assert.deepEqual(await reached(), [false, false], 'its device is elsewhere');
  await serve(all);
  await until('what lies behind no device', async () => (await reached()).every(Boolean));
});

test('the entrance of another gateway is open to every device, by UDP at its port alone', async () => {
  const echo = `
    for (const port of [51820, 51822]) {
      const socket = require('node:dgram').createSocket('udp4');
      socket.on('message', (_, from) => socket.send(from.address, from.port, from.address));
      socket.bind(port, () => console.log('ready'));
    }`;
  const server = await exit.start([process.execPath, '--eval', echo]);
  await until('the other gateway', () => server.stdout.split('ready').length === 3);
  const knock = async (from: Client, port: number, waitMs = 800): Promise<string> => {
    const script = `
      const socket = require('node:dgram').createSocket('udp4');
      socket.on('message', (text) => { console.log(String(text)); process.exit(); });
      socket.on('error', () => process.exit());
      socket.send('x', ${String(port)}, '${ENTRANCE}');
      setTimeout(() => process.exit(), ${String(waitMs)});`;
    return (await from.namespace.run([process.execPath, '--eval', script])).stdout.trim();
  };
  assert.equal(await knock(alice, 51_820), '');
  const neighbours = [{ gatewayId: 'other', host: ENTRANCE, port: 51_820 }];
  await serve([alice.plan, carol.plan, connector.plan], { neighbours });
  for (const one of [alice, carol]) {
    assert.equal(await knock(one, 51_820, 20_000), '198.51.100.1', 'by the gateway’s address');
    assert.equal(await knock(one, 51_822), '');
    assert.ok(!(await reaches(one.namespace, ENTRANCE)));
  }
});
