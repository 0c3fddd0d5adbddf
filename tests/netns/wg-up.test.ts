// `sallyport wg up` and `wg down` in a network namespace, wireguard-go and wg at the other end of the wire.
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  generateKeys,
  generatePresharedKey,
  Laboratory,
  ping,
  pingSteadily,
  until,
  wire,
  WireGuardDevice,
  wireguardGo,
} from '@sallyport/netlab';
import type { NetworkNamespace, RunResult } from '@sallyport/netlab';

const sallyport = fileURLToPath(new URL('../../bin/sallyport', import.meta.url));
const clientKeys = generateKeys();
const serverKeys = generateKeys();
const presharedKey = generatePresharedKey();

let laboratory: Laboratory;
let client: NetworkNamespace;
let server: NetworkNamespace;
let peer: WireGuardDevice;
let etc: string | undefined;

before(async () => {
  laboratory = Laboratory.open();
  client = await laboratory.namespace('upclient');
  server = await laboratory.namespace('upserver');
  await wire(
    { namespace: client, name: 'wire0', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
    { namespace: server, name: 'wire0', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
  );
  await client.route('0.0.0.0/0', 'via', '192.0.2.2');
  await client.route('::/0', 'via', '2001:db8::2');
  // Strict reverse path filtering: what comes in must come by the interface that the answer would take.
  await client.sysctl({ 'net.ipv4.conf.all.rp_filter': 1, 'net.ipv4.conf.wire0.rp_filter': 1 });
  // These stand for the internet: they answer to tunnelled packets only.
  await server.address('lo', '198.51.100.7/32', '2001:db8:7::7/128');
  await server.nft(
    `table inet guard {
      chain in {
        type filter hook input priority 0; policy accept;
        iifname "wire0" ip daddr 198.51.100.7 drop
        iifname "wire0" ip6 daddr 2001:db8:7::7 drop
      }
    }\n`,
  );
  peer = await WireGuardDevice.start(server, wireguardGo);
  await peer.configure({
    privateKey: serverKeys.privateKey,
    listenPort: 51820,
    peers: [{ publicKey: clientKeys.publicKey, presharedKey, allowedIps: ['10.9.0.1/32', 'fd09::1/128'] }],
  });
  await peer.up(['10.9.0.2/24', 'fd09::2/64']);
  // What `ip netns exec` shows as /etc/resolv.conf and /etc/hosts in the namespace.
  etc = join('/etc/netns', client.name);
  mkdirSync(etc, { recursive: true });
  writeFileSync(join(etc, 'resolv.conf'), RESOLV_CONF);
  writeFileSync(join(etc, 'hosts'), '127.0.0.1 localhost\n192.0.2.2 gateway.example\n');
});

after(async () => {
  await laboratory.close();
  if (etc !== undefined) rmSync(etc, { recursive: true, force: true });
});

const names: string[] = [];

// A test that fails leaves its tunnel, which would be in the next one's way.
afterEach(async () => {
  for (const name of names.splice(0)) await client.run(['ip', 'link', 'delete', name], { allowFailure: true });
});

const RESOLV_CONF = '# by hand\nnameserver 192.0.2.53\noptions timeout:1 attempts:1\n';

interface Settings {
  /** Lines of [Interface] beside PrivateKey. */
  readonly interface?: readonly string[];
  readonly allowedIps?: string;
  readonly endpoint?: string;
}

/** Writes a configuration file and returns its path and the interface's name. */
function configuration(settings: Settings): { name: string; file: string } {
  const name = laboratory.interfaceName();
  const file = join(laboratory.folder, `${name}.conf`);
  const text = [
    '[Interface]',
    `PrivateKey = ${clientKeys.privateKey}`,
    ...(settings.interface ?? ['Address = 10.9.0.1/24, fd09::1/64']),
    '[Peer]',
    `PublicKey = ${serverKeys.publicKey}`,
    `PresharedKey = ${presharedKey}`,
    `AllowedIPs = ${settings.allowedIps ?? '10.9.0.0/24, fd09::/64'}`,
    `Endpoint = ${settings.endpoint ?? '192.0.2.2:51820'}`,
    '',
  ].join('\n');
  writeFileSync(file, text, { mode: 0o600 });
  laboratory.removeAtEnd(`/var/run/wireguard/${name}.sock`);
  laboratory.removeAtEnd(`/run/sallyport/${name}.json`);
  laboratory.removeAtEnd(`/run/sallyport/resolv.conf.d/${name}.json`);
  names.push(name);
  return { name, file };
}

function run(args: readonly string[], env: Record<string, string> = {}): Promise<RunResult> {
  return client.run([sallyport, ...args], { allowFailure: true, env });
}

async function succeed(args: readonly string[], env?: Record<string, string>): Promise<RunResult> {
  const result = await run(args, env);
  assert.equal(result.code, 0, result.stderr);
  return result;
}

/** All that bringing a tunnel up may change, as text. */
async function snapshot(): Promise<string> {
  const shown = await client.run([
    'sh',
    '-c',
    'ip -o address; ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all; nft list ruleset; ' +
      'cat /proc/sys/net/ipv4/conf/all/src_valid_mark /etc/resolv.conf',
  ]);
  // Remaining lifetimes and the order of the kernel's own multicast routes are nobody's settings.
  return shown.stdout
    .replace(/(expires|age) \S+/g, '')
    .split('\n')
    .sort()
    .join('\n');
}

async function reaches(...addresses: string[]): Promise<void> {
  for (const address of addresses) {
    const { received, output } = await pingSteadily(client, address, { count: 5, intervalMs: 200 });
    // The first packets wait for the handshake.
    assert.ok(received >= 3, output);
  }
}

async function isGone(name: string): Promise<void> {
  const link = await client.run(['ip', 'link', 'show', name], { allowFailure: true });
  assert.notEqual(link.code, 0, `${name} is still there`);
  await until(`the socket of ${name} is gone`, () => !existsSync(`/var/run/wireguard/${name}.sock`));
  assert.equal(existsSync(`/run/sallyport/${name}.json`), false);
}

const devices = [
  ['wireguard-go', { SALLYPORT_DEVICE_PROGRAM: 'wireguard-go' }],
  ['sallyport wg device', {}],
] as const;

for (const [title, env] of devices) {
  test(`with ${title}: a tunnel comes up, carries both families, runs its hooks in order, and goes`, async () => {
    const log = join(laboratory.folder, 'hooks');
    rmSync(log, { force: true });
    const hook = (word: string) => `echo ${word} %i $(ip -o link show %i 2>&1 | grep -c mtu) >> ${log}`;
    const { name, file } = configuration({
      interface: [
        'Address = 10.9.0.1/24',
        'Address = fd09::1/64',
        `PreUp = ${hook('pre-up')}`,
        `PostUp = ${hook('post-up')}`,
        `PostUp = ${hook('post-up-2')}`,
        `PreDown = ${hook('pre-down')}`,
        `PostDown = ${hook('post-down')}`,
      ],
      allowedIps: '10.9.0.0/24, 198.51.100.0/24, fd09::/64, 2001:db8:7::/48',
    });
    const before = await snapshot();
    const up = await succeed(['wg', 'up', file], env);
    assert.ok(up.stderr.includes(`[#] ip -4 address add 10.9.0.1/24 dev ${name}\n`), up.stderr);
    assert.ok(up.stderr.includes(`[#] ip link set mtu 1420 up dev ${name}\n`), up.stderr);
    for (const key of [clientKeys.privateKey, presharedKey]) assert.ok(!up.stderr.includes(key));
    await reaches('10.9.0.2', 'fd09::2', '198.51.100.7', '2001:db8:7::7');

    const status = JSON.parse((await succeed(['wg', 'status', name, '--json'])).stdout) as {
      interfaces: { name: string; publicKey: string; peers: { endpoint: string; rxBytes: number }[] }[];
    };
    assert.equal(status.interfaces[0]?.publicKey, clientKeys.publicKey);
    assert.equal(status.interfaces[0].peers[0]?.endpoint, '192.0.2.2:51820');
    assert.ok(status.interfaces[0].peers[0].rxBytes > 500);
    const text = (await succeed(['wg', 'status', name])).stdout;
    assert.match(text, /latest handshake: .*(now|ago)\n/);
    for (const key of [clientKeys.privateKey, presharedKey]) assert.ok(!text.includes(key));

    const again = await run(['wg', 'up', file], env);
    assert.equal(again.code, 1);
    assert.match(again.stderr, new RegExp(`the interface ${name} exists already`));
    await reaches('10.9.0.2');

    await succeed(['wg', 'down', name]);
    await isGone(name);
    assert.equal(await snapshot(), before);
    assert.equal(
      readFileSync(log, 'utf8'),
      [
        `pre-up ${name} 0`,
        `post-up ${name} 1`,
        `post-up-2 ${name} 1`,
        `pre-down ${name} 1`,
        `post-down ${name} 0`,
        '',
      ].join('\n'),
    );
    const twice = await run(['wg', 'down', file]);
    assert.equal(twice.code, 1);
    assert.equal(twice.stderr, `sallyport: ${name} is not up\n`);
  });
}

for (const endpoint of ['192.0.2.2:51820', '[2001:db8::2]:51820', 'gateway.example:51820']) {
  test(`everything goes through the tunnel to ${endpoint}, and all is as before afterwards`, async () => {
    const { name, file } = configuration({ allowedIps: '0.0.0.0/0, ::/0', endpoint });
    const before = await snapshot();
    const up = await succeed(['wg', 'up', file]);
    assert.match(up.stderr, /\[#\] ip -4 rule add not fwmark 51820 table 51820\n/);
    await reaches('198.51.100.7', '2001:db8:7::7');
    const rules = await client.run(['nft', 'list', 'table', 'ip', `wg-quick-${name}`]);
    assert.match(rules.stdout, new RegExp(`iifname != "${name}" ip daddr 10.9.0.1 fib saddr type != local drop`));
    const six = await client.run(['nft', 'list', 'table', 'ip6', `wg-quick-${name}`]);
    assert.match(six.stdout, new RegExp(`iifname != "${name}" ip6 daddr fd09::1 fib saddr type != local drop`));
    const marked = await client.run(['wg', 'show', name, 'fwmark']);
    assert.equal(marked.stdout.trim(), '0xca6c');
    await succeed(['wg', 'down', file]);
    await isGone(name);
    assert.equal(await snapshot(), before);
  });
}

test('packets for the tunnel address that come by another interface are dropped', async () => {
  const { name, file } = configuration({ allowedIps: '0.0.0.0/0' });
  await succeed(['wg', 'up', file]);
  await server.route('10.9.0.1/32', 'via', '192.0.2.1');
  try {
    assert.equal((await ping(server, '10.9.0.1', { count: 3, source: '192.0.2.2', waitMs: 300 })).received, 0);
  } finally {
    await server.ip('route', 'delete', '10.9.0.1/32', 'via', '192.0.2.1');
  }
  await reaches('10.9.0.2');
  await succeed(['wg', 'down', name]);
});

test("a mark and a table of one's own are used, and Table = off makes no route", async () => {
  const marked = configuration({ interface: ['Address = 10.9.0.1/24', 'FwMark = 0x1234'], allowedIps: '0.0.0.0/0' });
  await succeed(['wg', 'up', marked.file]);
  assert.match(await client.ip('-4', 'route', 'show', 'table', '4660'), new RegExp(`default dev ${marked.name}`));
  await succeed(['wg', 'down', marked.file]);

  const own = configuration({
    interface: ['Address = 10.9.0.1/32', 'Table = 777'],
    allowedIps: '0.0.0.0/0, 10.8.0.0/16',
  });
  await succeed(['wg', 'up', own.file]);
  const routes = (await client.ip('-4', 'route', 'show', 'table', '777'))
    .trim()
    .split('\n')
    .map((line) => line.trim())
    .sort();
  assert.deepEqual(routes, [`10.8.0.0/16 dev ${own.name} scope link`, `default dev ${own.name} scope link`]);
  assert.doesNotMatch(await client.ip('-4', 'rule'), /fwmark/);
  await succeed(['wg', 'down', own.file]);

  const off = configuration({
    interface: ['Address = 10.9.0.1/32', 'Table = off'],
    allowedIps: '0.0.0.0/0, 10.8.0.0/16',
  });
  const before = await client.ip('-4', 'route');
  await succeed(['wg', 'up', off.file]);
  assert.equal(await client.ip('-4', 'route'), before);
  await succeed(['wg', 'down', off.file]);
});

test("two tunnels with a default route each keep out of each other's way", async () => {
  const first = configuration({ interface: ['Address = 10.9.0.1/24'], allowedIps: '0.0.0.0/0' });
  const second = configuration({ interface: ['Address = 10.7.0.1/24'], allowedIps: '0.0.0.0/0' });
  const before = await snapshot();
  await succeed(['wg', 'up', first.file]);
  const between = await snapshot();
  await succeed(['wg', 'up', second.file]);
  assert.match(await client.ip('-4', 'route', 'show', 'table', '51821'), new RegExp(second.name));
  await succeed(['wg', 'down', second.file]);
  assert.equal(await snapshot(), between);
  await reaches('198.51.100.7');
  await succeed(['wg', 'down', first.file]);
  assert.equal(await snapshot(), before);
});

test('the MTU is that of the way to the endpoint less 80, or the one given', async () => {
  const mtu = async (name: string) => /mtu (\d+)/.exec(await client.ip('link', 'show', name))?.[1];
  await client.ip('link', 'set', 'wire0', 'mtu', '1400');
  try {
    const found = configuration({});
    await succeed(['wg', 'up', found.file]);
    assert.equal(await mtu(found.name), '1320');
    await succeed(['wg', 'down', found.file]);
  } finally {
    await client.ip('link', 'set', 'wire0', 'mtu', '1500');
  }
  const given = configuration({ interface: ['Address = 10.9.0.1/24', 'MTU = 1300'] });
  await succeed(['wg', 'up', given.file]);
  assert.equal(await mtu(given.name), '1300');
  await succeed(['wg', 'down', given.file]);
});

const failures: readonly (readonly [string, Settings, RegExp])[] = [
  ['a PreUp', { interface: ['PreUp = exit 3'] }, /: PreUp: the command "exit 3" failed with exit code 3\n/],
  [
    'an address',
    { interface: ['Address = 10.9.0.1/24', 'Address = ff02::1/64', 'Address = fd09::1/64'] },
    /: add the addresses: "ip -6 address add ff02::1\/64 dev \S+" failed/,
  ],
  // IPv6 needs an MTU of 1280.
  [
    'a route',
    { interface: ['Address = 10.9.0.1/24', 'MTU = 1200'], allowedIps: '10.5.0.0/16, fd05::/64, fd06::/64' },
    /: add the routes: "ip -6 route add fd05::\/64 dev \S+" failed/,
  ],
  [
    'an endpoint',
    { endpoint: 'no-such-name.invalid:51820' },
    /: find the endpoints: Endpoint at line \d+: the name "no-such-name.invalid" has no address/,
  ],
  [
    'a PostUp',
    {
      interface: ['Address = 10.9.0.1/24, fd09::1/64', 'DNS = 10.9.0.2', 'PostUp = exit 7'],
      allowedIps: '0.0.0.0/0, ::/0',
    },
    /: PostUp: the command "exit 7" failed with exit code 7\n/,
  ],
];

for (const [title, settings, message] of failures) {
  test(`${title} that fails leaves nothing behind`, async () => {
    const { name, file } = configuration(settings);
    const before = await snapshot();
    const env = { WG_ENDPOINT_RESOLUTION_RETRIES: '0' };
    const up = await run(['wg', 'up', file], env);
    assert.match(up.stderr, message);
    assert.ok(up.code === 1 || up.code === 65, up.stderr);
    if (up.code === 1) assert.match(up.stderr, new RegExp(`\n${name} is not up\n$`));
    await isGone(name);
    assert.equal(await snapshot(), before);
  });
}

test('a device program that fails, or is not there, is named', async () => {
  for (const [program, message] of [
    ['/bin/false', /create the interface: \/bin\/false \S+ failed with exit code 1\n/],
    ['/no/such/program', /create the interface: the device program \/no\/such\/program is not installed\n/],
  ] as const) {
    const { name, file } = configuration({});
    const up = await run(['wg', 'up', file], { SALLYPORT_DEVICE_PROGRAM: program });
    assert.equal(up.code, 1);
    assert.match(up.stderr, message);
    await isGone(name);
  }
});

test('SIGTERM while it comes up undoes what was done', async () => {
  const { name, file } = configuration({
    interface: ['Address = 10.9.0.1/24', 'PostUp = echo waiting >&2; exec sleep 60'],
  });
  const before = await snapshot();
  const up = await client.start([sallyport, 'wg', 'up', file]);
  await until('the hook runs', () => up.stderr.includes('\nwaiting\n'));
  up.signal('SIGTERM');
  const { code } = await up.exited;
  assert.equal(code, 1, up.stderr);
  assert.match(up.stderr, /PostUp: the command ".*" was interrupted\n/);
  await isGone(name);
  assert.equal(await snapshot(), before);
});

test('a file with faults is refused before anything is touched', async () => {
  const { name, file } = configuration({
    interface: ['Address = 10.9.0.1/33', 'Adress = 1', 'PreUp = touch /nowhere/x'],
    allowedIps: '10.0.0.0/33',
  });
  const before = await snapshot();
  const up = await run(['wg', 'up', file]);
  assert.equal(up.code, 65);
  assert.equal(
    up.stderr,
    `${file}:3: Address: "10.9.0.1/33" has a prefix longer than 32; write 10.9.0.1/32 or shorter\n` +
      `${file}:4: unknown key Adress; did you mean Address?\n` +
      `${file}:9: AllowedIPs: "10.0.0.0/33" has a prefix longer than 32; write 10.0.0.0/32 or shorter\n`,
  );
  await isGone(name);
  assert.equal(await snapshot(), before);
});

test('SaveConfig writes what the tunnel has become, for its owner alone', async () => {
  const { name, file } = configuration({
    interface: ['Address = 10.9.0.1/24', 'SaveConfig = true', 'PostUp = true', 'DNS = 10.9.0.2'],
  });
  await succeed(['wg', 'up', file]);
  const extra = generateKeys().publicKey;
  await client.run(['wg', 'set', name, 'peer', extra, 'allowed-ips', '10.44.0.0/16', 'persistent-keepalive', '9']);
  await client.ip('address', 'add', 'fd44::1/64', 'dev', name);
  let port = '0';
  await until('the device listens', async () => {
    port = (await client.run(['wg', 'show', name, 'listen-port'])).stdout.trim();
    return port !== '0';
  });
  await succeed(['wg', 'down', file]);
  const [own = '', ...peers] = readFileSync(file, 'utf8').split('\n\n[Peer]\n');
  assert.equal(
    own,
    `[Interface]\nAddress = 10.9.0.1/24\nAddress = fd44::1/64\nDNS = 10.9.0.2\nSaveConfig = true\nPostUp = true\n` +
      `ListenPort = ${port}\nPrivateKey = ${clientKeys.privateKey}`,
  );
  assert.deepEqual(
    peers.map((text) => text.trim()).sort(),
    [
      `PublicKey = ${serverKeys.publicKey}\nPresharedKey = ${presharedKey}\nAllowedIPs = 10.9.0.0/24, fd09::/64\nEndpoint = 192.0.2.2:51820`,
      `PublicKey = ${extra}\nAllowedIPs = 10.44.0.0/16\nPersistentKeepalive = 9`,
    ].sort(),
  );
  assert.equal(statSync(file).mode & 0o777, 0o600);
  await succeed(['wg', 'up', file]);
  await reaches('10.9.0.2');
  await succeed(['wg', 'down', file]);
});

for (const [title, env] of devices) {
  test(`in the foreground with ${title}, SIGTERM takes the tunnel down`, async () => {
    const { name, file } = configuration({
      interface: ['Address = 10.9.0.1/24', 'PostDown = echo all done >&2'],
      allowedIps: '0.0.0.0/0',
    });
    const before = await snapshot();
    const up = await client.start([sallyport, 'wg', 'up', '--foreground', file], { env });
    await until('the tunnel is up', () => up.stderr.includes(`${name} is up; Ctrl-C takes it down\n`));
    await reaches('198.51.100.7');
    up.signal('SIGTERM');
    const { code } = await up.exited;
    assert.equal(code, 0, up.stderr);
    assert.match(up.stderr, /\nall done\n/);
    await isGone(name);
    assert.equal(await snapshot(), before);
  });
}

test('in the foreground, "wg down" from elsewhere ends it, and a device that dies is cleared away', async () => {
  const { name, file } = configuration({
    interface: ['Address = 10.9.0.1/24', 'DNS = 10.9.0.2'],
    allowedIps: '0.0.0.0/0',
  });
  const before = await snapshot();
  const up = await client.start([sallyport, 'wg', 'up', '-f', file]);
  await until('the tunnel is up', () => up.stderr.includes(' is up; '));
  await succeed(['wg', 'down', name]);
  assert.equal((await up.exited).code, 0, up.stderr);
  assert.equal(await snapshot(), before);

  const again = await client.start([sallyport, 'wg', 'up', '-f', file]);
  await until('the tunnel is up', () => again.stderr.includes(' is up; '));
  await client.ip('link', 'delete', name);
  assert.match(`${(await again.exited).code}`, /^[01]$/, again.stderr);
  assert.equal(await snapshot(), before);
});

test('what a killed device leaves behind is cleared by "wg down", even without the file', async () => {
  const { name, file } = configuration({
    interface: ['Address = 10.9.0.1/24', 'DNS = 10.9.0.2'],
    allowedIps: '0.0.0.0/0',
  });
  const before = await snapshot();
  await succeed(['wg', 'up', file]);
  await client.ip('link', 'delete', name);
  rmSync(file);
  const down = await run(['wg', 'down', name]);
  assert.equal(down.code, 0, down.stderr);
  assert.match(down.stderr, /Warning: without the configuration, the hooks and SaveConfig of \S+ are left out/);
  await isGone(name);
  assert.equal(await snapshot(), before);
});

test('resolv.conf is replaced in place and restored to the byte, whatever the order', async () => {
  const resolvConf = join(etc ?? '', 'resolv.conf');
  const skip =
    (await client.run(['sh', '-c', 'PATH=$PATH:/usr/sbin:/sbin; command -v resolvconf'], { allowFailure: true }))
      .code === 0;
  if (skip) return;
  const first = configuration({
    interface: ['Address = 10.9.0.1/24', 'DNS = 10.9.0.2, fd09::2, corp.example'],
    allowedIps: '10.9.0.0/24',
  });
  const second = configuration({ interface: ['Address = 10.7.0.1/24', 'DNS = 10.7.0.2'], allowedIps: '10.7.0.0/24' });
  await succeed(['wg', 'up', first.file]);
  assert.match(
    readFileSync(resolvConf, 'utf8'),
    /\nnameserver 10.9.0.2\nnameserver fd09::2\nsearch corp.example\noptions timeout:1 attempts:1\n$/,
  );
  await succeed(['wg', 'up', second.file]);
  assert.match(readFileSync(resolvConf, 'utf8'), /\nnameserver 10.7.0.2\n/);
  await succeed(['wg', 'down', first.file]);
  assert.match(readFileSync(resolvConf, 'utf8'), /\nnameserver 10.7.0.2\n/);
  await succeed(['wg', 'down', second.file]);
  assert.equal(readFileSync(resolvConf, 'utf8'), RESOLV_CONF);

  await succeed(['wg', 'up', first.file]);
  writeFileSync(resolvConf, 'nameserver 192.0.2.99\n');
  const down = await succeed(['wg', 'down', first.file]);
  assert.match(down.stderr, /Warning: \/etc\/resolv.conf was changed by something else/);
  assert.equal(readFileSync(resolvConf, 'utf8'), 'nameserver 192.0.2.99\n');
  writeFileSync(resolvConf, RESOLV_CONF);
});

test('resolvconf gets name servers and domains where it is installed', async () => {
  const folder = join(laboratory.folder, 'programs');
  const log = join(laboratory.folder, 'resolvconf.log');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'resolvconf'), `#!/bin/sh\necho "$*" >> ${log}\ncat >> ${log}\n`, { mode: 0o755 });
  const env = { PATH: `${folder}:${process.env['PATH'] ?? ''}` };
  const { name, file } = configuration({
    interface: ['Address = 10.9.0.1/24', 'DNS = 10.9.0.2, corp.example', 'DNS = fd09::2'],
  });
  await succeed(['wg', 'up', file], env);
  await succeed(['wg', 'down', file], env);
  // Debian's resolvconf wants a prefix in front of the name.
  assert.equal(
    readFileSync(log, 'utf8').replaceAll(/ (-a|-d) \S+\./g, ' $1 '),
    `-a ${name} -m 0 -x\nnameserver 10.9.0.2\nnameserver fd09::2\nsearch corp.example\n-d ${name} -f\n`,
  );
});
