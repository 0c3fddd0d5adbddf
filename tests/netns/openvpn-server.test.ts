/** Our client at Debian's openvpn as the server. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { iperf, pingSteadily, until, type Process } from '@sallyport/netlab';
import type { ClientEvent, PushedConfiguration } from '@sallyport/openvpn';
import { randomBytes } from 'node:crypto';
import { formatStaticKey } from '../../packages/openvpn/src/wire/key-file.ts';
import type { ClientStart } from './openvpn-client-child.ts';
import { assertPassesUnderLoad, OUTER4, OUTER6, PORT, saying, withOpenVpnRig, type OpenVpnRig } from './openvpn-rig.ts';

const CHILD = fileURLToPath(new URL('openvpn-client-child.ts', import.meta.url));
const NODE = fileURLToPath(new URL('../../scripts/node', import.meta.url));
const GATEWAY4 = '10.8.0.1';
const GATEWAY6 = 'fd08::1';

interface Ends {
  readonly server: Process;
  readonly client: Process;
  readonly interfaceName: string;
}

/** openvpn as the server, with these lines beside the usual; `outer` is the family that it is reached by. */
async function startServer(rig: OpenVpnRig, lines: readonly string[], outer = OUTER4): Promise<Process> {
  const { service, laboratory } = rig;
  const block = (name: string, text: string): string => `<${name}>\n${text.trim()}\n</${name}>`;
  const configuration = [
    'dev tun',
    'topology subnet',
    `proto ${outer === OUTER4 ? 'udp4' : 'udp6'}`,
    `port ${String(PORT)}`,
    'server 10.8.0.0 255.255.255.0',
    'server-ipv6 fd08::/64',
    'dh none',
    'verb 4',
    'keepalive 5 20',
    'tls-version-min 1.2',
    'script-security 2',
    `tmp-dir ${laboratory.folder}`,
    block('ca', service.authority.certificate),
    block('cert', service.server.certificate),
    block('key', service.server.privateKey.reveal()),
    ...lines,
  ].join('\n');
  const server = await rig.server.start(['openvpn', '--config', laboratory.file('server.ovpn', configuration)]);
  await saying(server, 'Initialization Sequence Completed');
  return server;
}

async function startClient(rig: OpenVpnRig, more: Partial<ClientStart> = {}): Promise<Omit<Ends, 'server'>> {
  const { service, laboratory } = rig;
  const issued = await service.authority.issue('the client', { usage: 'client' });
  const interfaceName = laboratory.interfaceName();
  const start: ClientStart = {
    interfaceName,
    remote: OUTER4,
    port: PORT,
    authority: service.authority.certificate,
    certificate: issued.certificate,
    privateKey: issued.privateKey.reveal(),
    wrap: { kind: 'none' },
    ...more,
  };
  const client = await rig.client.start([NODE, CHILD, laboratory.file('client.json', JSON.stringify(start))]);
  return { client, interfaceName };
}

function events(client: Process): ClientEvent[] {
  return client.stdout
    .split('\n')
    .slice(0, -1)
    .map((line) => JSON.parse(line) as ClientEvent);
}

async function event<Kind extends ClientEvent['kind']>(
  { client, server }: Pick<Ends, 'client'> & Partial<Ends>,
  kind: Kind,
  times = 1,
): Promise<Extract<ClientEvent, { kind: Kind }>> {
  const found = (): ClientEvent[] => events(client).filter((one) => one.kind === kind);
  try {
    await until(`our client: ${kind}`, () => found().length >= times);
  } catch (cause) {
    throw new Error(`${client.stdout}${client.stderr}\n${server?.stdout.slice(-5000) ?? ''}`, { cause });
  }
  return found()[times - 1] as Extract<ClientEvent, { kind: Kind }>;
}

/** Until it is connected; gives the interface what was pushed, and lets packets pass both ways. */
async function connect(rig: OpenVpnRig, ends: Ends): Promise<PushedConfiguration> {
  const { configuration } = await event(ends, 'connected');
  const { ipv4, ipv6, mtu } = configuration;
  assert.ok(ipv4 !== undefined && ipv6 !== undefined);
  await rig.client.address(ends.interfaceName, `${ipv4.address}/24`, `${ipv6.address}/64`);
  await rig.client.ip('link', 'set', ends.interfaceName, 'mtu', String(mtu), 'up');
  for (const address of [GATEWAY4, GATEWAY6])
    assert.equal(
      (await pingSteadily(rig.client, address, { count: 3, bytes: 1200 })).received,
      3,
      ends.server.stdout.slice(-3000),
    );
  assert.equal((await pingSteadily(rig.server, ipv4.address, { count: 3 })).received, 3);
  return configuration;
}

async function leave({ client, server }: Ends): Promise<void> {
  client.signal('SIGTERM');
  await event({ client, server }, 'ended');
  await client.exited;
  await server.stop();
}

test('each way to protect the control channel, both families', () =>
  withOpenVpnRig(async (rig) => {
    const { laboratory, service } = rig;
    const text = formatStaticKey(new Uint8Array(randomBytes(256)));
    const key = laboratory.file('static.key', text);
    const v2 = `${laboratory.folder}/v2-server.key`;
    await laboratory.run(['openvpn', '--genkey', 'tls-crypt-v2-server', v2]);
    const made = `${laboratory.folder}/v2-client.key`;
    await laboratory.run(['openvpn', '--tls-crypt-v2', v2, '--genkey', 'tls-crypt-v2-client', made]);
    const { stdout: v2Text } = await laboratory.run(['cat', made]);
    const kinds: [ClientStart['wrap'], string[], string][] = [
      [{ kind: 'none' }, [], OUTER4],
      [{ kind: 'tls-auth', text }, [`tls-auth ${key} 0`, 'auth SHA256'], OUTER6],
      [{ kind: 'tls-crypt', text }, [`tls-crypt ${key}`], OUTER4],
      [{ kind: 'tls-crypt-v2', text: v2Text }, [`tls-crypt-v2 ${v2} force-cookie`], OUTER6],
    ];
    for (const [wrap, lines, outer] of kinds) {
      const server = await startServer(rig, lines, outer);
      const subject = 'CN=sallyport-gateway-1';
      const ends = { server, ...(await startClient(rig, { wrap, remote: outer, subject })) };
      const { cipher, format } = await connect(rig, ends);
      assert.deepEqual([cipher, format], ['AES-256-GCM', 'v2'], wrap.kind);
      await leave(ends);
    }
    const server = await startServer(rig, []);
    const { client } = await startClient(rig, { subject: 'CN=somebody else' });
    const { ending } = await event({ client, server }, 'ended');
    assert.equal(ending.kind, 'tls');
    assert.equal(service.server.sha256.length, 64);
  }));

test('each cipher, with bytes both ways', () =>
  withOpenVpnRig(async (rig) => {
    for (const cipher of ['AES-128-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC'] as const) {
      const server = await startServer(rig, [`data-ciphers ${cipher}`, 'auth SHA256']);
      const dataCiphers = ['AES-256-GCM', cipher] as const;
      const ends = { server, ...(await startClient(rig, { settings: { dataCiphers } })) };
      assert.equal((await connect(rig, ends)).cipher, cipher);
      const route = { client: rig.client, server: rig.server, address: GATEWAY4 };
      for (const reverse of [false, true])
        assert.ok((await iperf(route, { bytes: 10e6, reverse })).bytes > 1e6, cipher);
      await leave(ends);
    }
  }));

for (const [who, lines, settings] of [
  ['server', ['reneg-sec 2'], {}],
  ['client', ['reneg-sec 0'], { renegotiateMs: 2000 }],
] as const)
  test(`new keys every few seconds under load, from the ${who}`, () =>
    withOpenVpnRig(async (rig) => {
      const server = await startServer(rig, lines);
      const ends = { server, ...(await startClient(rig, { settings })) };
      await connect(rig, ends);
      await assertPassesUnderLoad(rig, GATEWAY4, { pings: 400, bitsPerSecond: 20e6 });
      await event(ends, 'renegotiated', 3);
      await leave(ends);
      // What lacks a key is dropped here, and counted. That the server repeats what was answered late is no fault, nor that it
      // asks for the next keys before these are agreed on.
      const drops = { ...(JSON.parse(ends.client.stderr) as object), replayed: 0, rateLimited: 0 };
      assert.deepEqual(drops, { replayed: 0, rateLimited: 0 });
    }));

test('user name and password, a token in its place; refused; the server ends', () =>
  withOpenVpnRig(async (rig) => {
    const { laboratory } = rig;
    const script = laboratory.file('verify.sh', '#!/bin/sh\nread -r name < "$1"\n[ "$(sed -n 2p "$1")" = right ]\n');
    await laboratory.run(['chmod', '700', script]);
    const server = await startServer(rig, [
      `auth-user-pass-verify ${script} via-file`,
      'auth-gen-token 3600 3600',
      'verify-client-cert none',
      'reneg-sec 5',
      'explicit-exit-notify 2',
    ]);
    const without = { certificate: undefined, privateKey: undefined };
    const wrong = await startClient(rig, { ...without, login: { userName: 'alice', password: 'wrong' } });
    const { ending } = await event({ ...wrong, server }, 'ended');
    assert.equal(ending.kind, 'authFailed');
    const ends = {
      server,
      ...(await startClient(rig, { ...without, login: { userName: 'alice', password: 'right' } })),
    };
    await connect(rig, ends);
    const { token } = await event(ends, 'token');
    assert.equal(JSON.stringify(token), '"[secret]"');
    for (const times of [1, 2]) await event(ends, 'renegotiated', times);
    await sleep(500);
    assert.equal((await pingSteadily(rig.client, GATEWAY4, { count: 3 })).received, 3);
    server.signal('SIGTERM');
    assert.equal((await event(ends, 'ended')).ending.kind, 'restart');
  }));
