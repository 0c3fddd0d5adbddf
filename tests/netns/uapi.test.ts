/** The `wg` tool on our device: what it shows must be what it shows on wireguard-go. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { test } from 'node:test';
import {
  formatConfiguration,
  generateKeys,
  generatePresharedKey,
  ping,
  pingSteadily,
  sallyportDevice,
  until,
  WireGuardDevice,
  wireguardGo,
  withLaboratory,
  type Laboratory,
  type WireGuardConfiguration,
  type WireGuardPeerConfiguration,
} from '@sallyport/netlab';
import { assertReachable, configurationOf, withPair } from './pair.ts';

/** Two devices that get the same commands. */
async function twins(laboratory: Laboratory): Promise<readonly [WireGuardDevice, WireGuardDevice]> {
  const namespace = await laboratory.namespace('host');
  return [await WireGuardDevice.start(namespace, sallyportDevice), await WireGuardDevice.start(namespace, wireguardGo)];
}

/** All that `wg` can show of a device, without its name; peers sorted, for their order is the program's own. */
async function shown(device: WireGuardDevice): Promise<string> {
  const { name } = device;
  const outputs = [
    await device.wg('show', name, 'dump'),
    await device.wg('showconf', name),
    await device.wg('show', name),
  ];
  const [dump = '', configuration = '', text = ''] = outputs.map((output) => output.replaceAll(name, 'NAME'));
  const sorted = (output: string, separator: string) => output.trim().split(separator).toSorted().join(separator);
  return [sorted(dump, '\n'), sorted(configuration, '\n\n'), sorted(text, '\n\n')].join('\n---\n');
}

test('wg set, setconf, addconf, syncconf, show and showconf do what they do on wireguard-go', () =>
  withLaboratory(async (laboratory) => {
    const devices = await twins(laboratory);
    const keys = generateKeys();
    const peer = (number: number): WireGuardPeerConfiguration => ({
      publicKey: generateKeys().publicKey,
      allowedIps: [`10.9.${String(number)}.0/24`, `fd09:${String(number)}::/64`],
    });
    const [first, second, third] = [1, 2, 3].map(peer);
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    const pskFile = laboratory.file('psk', `${generatePresharedKey()}\n`);
    const keyFile = laboratory.file('key', `${generateKeys().privateKey}\n`);

    const configured: WireGuardConfiguration = {
      privateKey: keys.privateKey,
      fwMark: 7,
      peers: [
        { ...first, endpoint: '192.0.2.1:1000', persistentKeepalive: 25, presharedKey: generatePresharedKey() },
        { ...second, endpoint: '[2001:db8::5]:65535' },
      ],
    };
    const configureBoth =
      (configuration: WireGuardConfiguration, command?: 'addconf' | 'syncconf') => (device: WireGuardDevice) =>
        device.configure(configuration, command);
    const set =
      (...args: readonly string[]) =>
      async (device: WireGuardDevice) => {
        await device.wg('set', device.name, ...args);
      };
    const steps: readonly (readonly [string, (device: WireGuardDevice) => Promise<void>])[] = [
      ['nothing configured', () => Promise.resolve()],
      ['setconf', configureBoth(configured)],
      [
        'set an endpoint and a keepalive',
        set('peer', second.publicKey, 'endpoint', '198.51.100.9:9', 'persistent-keepalive', '65535'),
      ],
      ['set keepalive off', set('peer', second.publicKey, 'persistent-keepalive', 'off')],
      ['set a preshared key', set('peer', second.publicKey, 'preshared-key', pskFile)],
      ['remove a preshared key', set('peer', first.publicKey, 'preshared-key', '/dev/null')],
      ['move an allowed IP', set('peer', second.publicKey, 'allowed-ips', '10.9.1.0/24,10.9.2.0/24,0.0.0.0/0,::/0')],
      ['no allowed IPs', set('peer', first.publicKey, 'allowed-ips', '')],
      ['host bits of an allowed IP', set('peer', first.publicKey, 'allowed-ips', '10.1.2.3/9,fd00:1:2:3::9/33')],
      ['addconf', configureBoth({ peers: [third] }, 'addconf')],
      ['add a peer by set', set('peer', generateKeysOnce(), 'allowed-ips', '172.16.0.0/12')],
      ['fwmark off', set('fwmark', 'off')],
      ['another private key', set('private-key', keyFile)],
      ['remove a peer', set('peer', second.publicKey, 'remove')],
      ['remove a peer that is not there', set('peer', generateKeys().publicKey, 'remove')],
      ['syncconf', configureBoth({ privateKey: keys.privateKey, peers: [first, second] }, 'syncconf')],
      ['setconf with nothing', configureBoth({ peers: [] })],
      ['a private key of none', set('private-key', '/dev/null')],
    ];
    for (const [what, step] of steps) {
      for (const device of devices) await step(device);
      const [ours, theirs] = (await Promise.all(devices.map(shown))).map(withoutPorts);
      assert.equal(ours, theirs, what);
    }
    const interfaces = (await devices[0].wg('show', 'interfaces')).trim().split(/\s+/);
    assert.ok(interfaces.includes(devices[0].name) && interfaces.includes(devices[1].name));
  }));

// Made once so that both devices get the same key.
function generateKeysOnce(): string {
  return generateKeys().publicKey;
}

/** Without a port of its own a device has one of the kernel's choice: ours when it is up, wireguard-go at once. */
function withoutPorts(output: string): string {
  return output
    .replaceAll(/\nListenPort = \d+/g, '')
    .replaceAll(/\n {2}listening port: \d+/g, '')
    .replaceAll(/^(\S+\t\S+\t)\d+(\t\S+)$/gm, '$1N$2');
}

test('a configuration comes back from showconf as it was given', () =>
  withLaboratory(async (laboratory) => {
    const [device] = await twins(laboratory);
    const configuration: WireGuardConfiguration = {
      privateKey: generateKeys().privateKey,
      listenPort: 45678,
      fwMark: 0x51,
      peers: [
        {
          publicKey: generateKeys().publicKey,
          presharedKey: generatePresharedKey(),
          endpoint: '192.0.2.7:4242',
          allowedIps: ['10.1.0.0/16', 'fd01::/48'],
          persistentKeepalive: 11,
        },
      ],
    };
    await device.configure(configuration);
    const given = parse(formatConfiguration(configuration));
    assert.deepEqual(parse(await device.wg('showconf', device.name)), { ...given, FwMark: '0x51' });
  }));

function parse(configuration: string): Record<string, string> {
  return Object.fromEntries(
    [...configuration.matchAll(/^(\w+) = (.+)$/gm)].map(([, key = '', value = '']) => [
      key,
      value.split(', ').toSorted().join(', '),
    ]),
  );
}

test('a request that cannot be met is refused and leaves the device at work', () =>
  withPair({ a: sallyportDevice, b: wireguardGo }, {}, async ({ a, b }) => {
    await assertReachable(a, b);
    for (const request of [
      'set=1\nprivate_key=zz\n\n',
      'set=1\nlisten_port=65536\n\n',
      'set=1\nno_such_key=1\n\n',
      'set=1\npublic_key=00\n\n',
      `set=1\npublic_key=${'ab'.repeat(32)}\nallowed_ip=10.0.0.0/33\n\n`,
      `set=1\npublic_key=${'ab'.repeat(32)}\nendpoint=nowhere\n\n`,
    ]) {
      const answer = await a.device.uapi(request);
      assert.match(answer, /^errno=-?[1-9]\d*$/m, `${JSON.stringify(request)}: ${answer}`);
    }
    await assertReachable(a, b);
  }));

test('syncconf leaves a session that it does not change', () =>
  withPair({ a: sallyportDevice, b: wireguardGo }, {}, async ({ a, b }) => {
    await assertReachable(a, b);
    const [before] = await a.device.peers();
    await a.device.configure(configurationOf(a, b), 'syncconf');
    const [after] = await a.device.peers();
    assert.equal(after?.latestHandshake, before?.latestHandshake);
    assert.ok((after?.received ?? 0) >= (before?.received ?? Infinity));
    const { received, output } = await pingSteadily(a.namespace, b.inner.ipv4, { count: 5 });
    assert.equal(received, 5, output);
  }));

test('a firewall mark is on what the device sends', () =>
  withPair({ a: sallyportDevice, b: wireguardGo }, {}, async ({ a, b }) => {
    await a.namespace.nft(`table inet marks {
      chain out { type filter hook output priority 0; udp dport ${String(b.listenPort)} jump count_marks; }
      chain count_marks { meta mark 0x1234 counter accept; counter drop; }
    }\n`);
    await a.device.wg('set', a.device.name, 'fwmark', '0x1234');
    await assertReachable(a, b);
    await a.device.wg('set', a.device.name, 'fwmark', 'off');
    const { received } = await ping(a.namespace, b.inner.ipv4, { count: 3, waitMs: 300 });
    assert.equal(received, 0, 'unmarked datagrams were let through');
  }));

test('it listens as soon as its interface is up', () =>
  withLaboratory(async (laboratory) => {
    const namespace = await laboratory.namespace('host');
    const device = await WireGuardDevice.start(namespace, sallyportDevice);
    await device.configure({ privateKey: generateKeys().privateKey, listenPort: 51820, peers: [] });
    await device.up([]);
    await until('the port', () => namespace.listensOnUdp(51820));
  }));

test('ip link del ends the program cleanly and removes its socket', () =>
  withPair({ a: sallyportDevice, b: wireguardGo }, {}, async ({ a, b }) => {
    await assertReachable(a, b);
    await a.namespace.ip('link', 'del', a.device.name);
    assert.deepEqual(await a.device.process.end(), { code: 0, signal: null }, a.device.process.stderr);
    assert.equal(existsSync(a.device.socketPath), false);
  }));

for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  test(`${signal} removes interface and socket`, () =>
    withPair({ a: sallyportDevice, b: wireguardGo }, {}, async ({ a, b }) => {
      await assertReachable(a, b);
      a.device.process.signal(signal);
      assert.deepEqual(await a.device.process.end(), { code: 0, signal: null }, a.device.process.stderr);
      assert.equal(existsSync(a.device.socketPath), false);
      assert.equal(await a.device.exists(), false);
    }));
}

test('without --foreground the program returns once the device is there, and leaves it at work', () =>
  withLaboratory(async (laboratory) => {
    const namespace = await laboratory.namespace('host');
    const name = laboratory.interfaceName();
    laboratory.removeAtEnd(`/var/run/wireguard/${name}.sock`);
    await namespace.run([...sallyportDevice.command, name]);
    await namespace.run(['wg', 'show', name]);
    await namespace.ip('link', 'del', name);
    await until('the socket is removed', () => !existsSync(`/var/run/wireguard/${name}.sock`));
  }));
