// `sallyport openvpn up` and `down` in a network namespace, Debian's openvpn as the server at the other end of the wire.
import assert from 'node:assert/strict';
import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, suite, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Laboratory, ping, pingSteadily, until, wire, type NetworkNamespace, type Process, type RunResult } from '@sallyport/netlab'; // prettier-ignore
import type { TunnelStatus } from '../../apps/cli/src/openvpn/status.ts';
import { TestAuthority, type Issued } from '../openvpn/authority.ts';
import { base64, Management } from './openvpn-management.ts';

const sallyport = fileURLToPath(new URL('../../bin/sallyport', import.meta.url));
const RESOLV_CONF = '# by hand\nnameserver 192.0.2.53\n';

let laboratory: Laboratory;
let client: NetworkNamespace;
let server: NetworkNamespace;
let authority: TestAuthority;
let serverCertificate: Issued;
let clientCertificate: Issued;
let staticKey: string;
let v2ServerKey: string;
let v2ClientKey: string;

before(async () => {
  laboratory = Laboratory.open();
  client = await laboratory.namespace('ovclient');
  server = await laboratory.namespace('ovserver');
  await wire(
    { namespace: client, name: 'wire0', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
    { namespace: server, name: 'wire0', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
  );
  await client.route('0.0.0.0/0', 'via', '192.0.2.2');
  await client.route('::/0', 'via', '2001:db8::2');
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
  client.etc('resolv.conf', RESOLV_CONF);
  client.etc('hosts', '127.0.0.1 localhost\n192.0.2.2 vpn.example\n');
  authority = await TestAuthority.make();
  serverCertificate = await authority.issue('vpn.example', { usage: 'server' });
  clientCertificate = await authority.issue('alice', { usage: 'client' });
  const generated = async (kind: string, file: string, ...more: string[]): Promise<string> => {
    const path = join(laboratory.folder, file);
    await laboratory.run(['openvpn', ...more, '--genkey', kind, path]);
    return readFileSync(path, 'utf8');
  };
  staticKey = await generated('secret', 'static.key');
  v2ServerKey = await generated('tls-crypt-v2-server', 'v2-server.key');
  v2ClientKey = await generated(
    'tls-crypt-v2-client',
    'v2-client.key',
    '--tls-crypt-v2',
    join(laboratory.folder, 'v2-server.key'),
  );
});

after(() => laboratory.close());

const running: Process[] = [];
/** Of the tunnels that may still be up at the end of a test. */
const names = new Set<string>();

afterEach(async () => {
  for (const name of names) await run(['openvpn', 'down', name]);
  names.clear();
  for (const one of running.splice(0)) await one.stop();
});

const block = (name: string, text: string): string => `<${name}>\n${text.trim()}\n</${name}>`;

interface ServerOptions {
  readonly proto?: string;
  /** Both ends take the other for gone after so many seconds without a word. */
  readonly patience?: number;
  readonly lines?: readonly string[];
  readonly push?: readonly string[];
}

let serial = 0;

/** Starts a server, and waits until it takes connections. */
async function serve({ proto = 'udp', patience = 10, lines = [], push = [] }: ServerOptions = {}): Promise<Process> {
  const file = join(laboratory.folder, `server-${String(++serial)}.conf`);
  const text = [
    'mode server',
    'tls-server',
    'dev ovserver0',
    'dev-type tun',
    'disable-dco',
    `proto ${proto}`,
    'port 1194',
    'topology subnet',
    'server 10.8.0.0 255.255.255.0',
    'server-ipv6 fd08::/64',
    `keepalive 1 ${String(patience)}`,
    'dh none',
    'verb 4',
    'explicit-exit-notify 0',
    ...push.map((option) => `push "${option}"`),
    ...lines,
    block('ca', authority.certificate),
    block('cert', serverCertificate.certificate),
    block('key', serverCertificate.privateKey.reveal()),
    '',
  ].filter((line) => proto.startsWith('udp') || line !== 'explicit-exit-notify 0');
  writeFileSync(file, text.join('\n'), { mode: 0o600 });
  const process = await server.start(['openvpn', '--config', file]);
  running.push(process);
  await until('the server is ready', () => {
    if (process.exit !== undefined) throw new Error(process.stdout);
    return process.stdout.includes('Initialization Sequence Completed');
  });
  return process;
}

interface ProfileOptions {
  readonly lines?: readonly string[];
  readonly remotes?: readonly string[];
  readonly certificate?: boolean;
}

/** Writes a profile and returns its path and the interface's name. */
function profile({ lines = [], remotes = ['remote 192.0.2.2'], certificate = true }: ProfileOptions = {}): {
  name: string;
  file: string;
} {
  const name = laboratory.interfaceName();
  const file = join(laboratory.folder, `${name}.ovpn`);
  const text = [
    'client',
    'dev tun',
    ...remotes,
    'remote-cert-tls server',
    'connect-retry 1 2',
    'connect-timeout 5',
    ...lines,
    block('ca', authority.certificate),
    ...(certificate
      ? [block('cert', clientCertificate.certificate), block('key', clientCertificate.privateKey.reveal())]
      : []),
    '',
  ];
  writeFileSync(file, text.join('\n'), { mode: 0o600 });
  laboratory.removeAtEnd(`/run/sallyport/openvpn-${name}.json`);
  laboratory.removeAtEnd(logOf(name));
  laboratory.removeAtEnd(`/run/sallyport/resolv.conf.d/${name}.json`);
  names.add(name);
  return { name, file };
}

function run(args: readonly string[], input?: string): Promise<RunResult> {
  return client.run([sallyport, ...args], {
    allowFailure: true,
    ...(input === undefined ? {} : { input }),
  });
}

interface UpFacts {
  readonly interface: string;
  readonly transport: string;
  readonly cipher: string;
  readonly ipv4: string | null;
  readonly ipv6: string | null;
}

async function up(args: readonly string[], input?: string): Promise<{ facts: UpFacts; stderr: string }> {
  const result = await run(['openvpn', 'up', '--json', ...args], input);
  assert.equal(result.code, 0, result.stderr);
  const facts = JSON.parse(result.stdout) as UpFacts;
  names.add(facts.interface);
  return { facts, stderr: result.stderr };
}

async function down(name: string): Promise<void> {
  const result = await run(['openvpn', 'down', name]);
  assert.equal(result.code, 0, result.stderr);
  names.delete(name);
  const link = await client.run(['ip', 'link', 'show', name], { allowFailure: true });
  assert.notEqual(link.code, 0, `${name} is still there`);
  assert.equal(existsSync(`/run/sallyport/openvpn-${name}.json`), false);
  assert.equal(existsSync(logOf(name)), false);
}

function logOf(name: string): string {
  return `/run/sallyport/openvpn-${name}.log`;
}

async function reaches(...addresses: string[]): Promise<void> {
  await Promise.all(
    addresses.map(async (address) => {
      const { received, output } = await pingSteadily(client, address, { count: 3, intervalMs: 100 });
      assert.ok(received >= 2, output);
    }),
  );
}

/** All that bringing a tunnel up may change, as text. */
async function snapshot(): Promise<string> {
  const shown = await client.run([
    'sh',
    '-c',
    'ip -o address; ip -4 rule; ip -6 rule; ip -4 route show table all; ip -6 route show table all; nft list ruleset; ' +
      'cat /proc/sys/net/ipv4/conf/all/src_valid_mark /etc/resolv.conf',
  ]);
  return shown.stdout
    .replace(/(expires|age) \S+/g, '')
    .split('\n')
    .sort()
    .join('\n');
}

async function statusOf(name: string): Promise<{ status: TunnelStatus | undefined; code: number | null }> {
  const { stdout, code } = await run(['openvpn', 'status', name, '--json']);
  return { status: stdout === '' ? undefined : (JSON.parse(stdout) as { items: TunnelStatus[] }).items[0], code };
}

suite('openvpn up against openvpn', () => {
  test('everything goes through the tunnel, names too, and nothing is left behind', async () => {
    await serve({
      push: ['redirect-gateway def1 ipv6', 'dhcp-option DNS 10.8.0.1', 'dhcp-option DOMAIN corp.example'],
    });
    const before = await snapshot();
    const { name, file } = profile({ remotes: ['remote vpn.example 1194 udp'] });
    const { facts, stderr } = await up([file]);
    assert.deepEqual(
      [facts.interface, facts.transport, facts.ipv4, facts.ipv6],
      [name, 'udp', '10.8.0.2/24', 'fd08::1000/64'],
    );
    assert.ok(!stderr.includes(clientCertificate.privateKey.reveal().slice(40, 80)));
    await reaches('10.8.0.1', 'fd08::1', '198.51.100.7', '2001:db8:7::7');
    const resolv = await client.run(['cat', '/etc/resolv.conf']);
    assert.match(resolv.stdout, /openvpn down.*\nnameserver 10\.8\.0\.1\nsearch corp\.example/);
    const again = await run(['openvpn', 'up', file]);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /exists already; take it down with: sallyport openvpn down/);
    await reaches('198.51.100.7');
    const { status, code } = await statusOf(name);
    assert.equal(code, 0);
    assert.deepEqual(
      [status?.name, status?.state, status?.transport, status?.ipv4, status?.ipv6, status?.log],
      [name, 'connected', 'udp', '10.8.0.2/24', 'fd08::1000/64', logOf(name)],
    );
    assert.ok((status?.receivedBytes ?? 0) > 500 && (status?.sentBytes ?? 0) > 500);
    const forPeople = await run(['openvpn', 'status']);
    assert.match(
      forPeople.stdout,
      new RegExp(`^${name}: connected for \\d+ s\n  server +vpn.example .*UDP, AES-256-GCM\n`, 'm'),
    );
    await down(name);
    assert.equal((await statusOf(name)).code, 1);
    assert.ok(!(await run(['openvpn', 'status'])).stdout.includes(`${name}:`));
    // /run is one for all namespaces, and other tests have tunnels of their own.
    const own = ['unshare', '--mount', 'sh', '-c', 'mount -t tmpfs own /run && exec "$0" openvpn status', sallyport];
    assert.equal((await client.run(own)).stdout, 'no tunnel of an OpenVPN profile is up\n');
    assert.equal(await snapshot(), before);
    const gone = await run(['openvpn', 'down', name]);
    assert.match(gone.stderr, /is not up/);
    assert.equal(gone.code, 1);
  });

  for (const cipher of ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC']) {
    test(`by ${cipher}`, async () => {
      await serve({ lines: [`data-ciphers ${cipher}`, 'auth SHA256'], push: ['route 198.51.100.0 255.255.255.0'] });
      const { name, file } = profile({ lines: [`data-ciphers ${cipher}`, 'auth SHA256'] });
      const { facts } = await up([file]);
      assert.equal(facts.cipher, cipher);
      await reaches('198.51.100.7');
      await down(name);
    });
  }

  const wraps: [string, () => string[], () => string[]][] = [
    ['tls-auth', () => ['key-direction 0', block('tls-auth', staticKey)], () => ['key-direction 1', block('tls-auth', staticKey)]], // prettier-ignore
    ['tls-auth both ways, SHA512', () => ['auth SHA512', block('tls-auth', staticKey)], () => ['auth SHA512', block('tls-auth', staticKey)]], // prettier-ignore
    ['tls-crypt', () => [block('tls-crypt', staticKey)], () => [block('tls-crypt', staticKey)]],
    ['tls-crypt-v2', () => [block('tls-crypt-v2', v2ServerKey)], () => [block('tls-crypt-v2', v2ClientKey)]],
  ];
  for (const proto of ['udp', 'tcp']) {
    for (const [title, ofServer, ofClient] of wraps) {
      test(`by ${proto} with ${title}, renegotiating`, async () => {
        const process = await serve({
          proto: proto === 'tcp' ? 'tcp-server' : 'udp',
          lines: [...ofServer(), 'reneg-sec 2'],
          push: ['route 198.51.100.0 255.255.255.0', 'route-ipv6 2001:db8:7::/48'],
        });
        const { name, file } = profile({ lines: ofClient(), remotes: [`remote 192.0.2.2 1194 ${proto}`] });
        const { facts } = await up([file]);
        assert.equal(facts.transport, proto);
        const [{ received, output }] = await Promise.all([
          pingSteadily(client, '198.51.100.7', { count: 35, intervalMs: 100 }),
          reaches('2001:db8:7::7'),
        ]);
        assert.ok(received >= 34, output);
        await until('new keys', () => /TLS: soft reset|TLS: new session|Control Channel: .*\n[^]*Control Channel: /.test(process.stdout)); // prettier-ignore
        await down(name);
      });
    }
  }

  test('by IPv6 outside, the second server where the first does not answer', async () => {
    await serve({ proto: 'udp6', push: ['route 198.51.100.0 255.255.255.0'] });
    const { name, file } = profile({
      remotes: ['remote 192.0.2.99 1194 udp', 'remote 192.0.2.2 1195 tcp', 'remote 2001:db8::2 1194 udp6'],
      lines: ['connect-timeout 1'],
    });
    const { facts } = await up([file]);
    assert.equal(facts.transport, 'udp');
    await reaches('198.51.100.7');
    await down(name);
  });

  test('the server comes back, and the tunnel with it; meanwhile nothing passes beside it', async () => {
    const first = await serve({ patience: 4, push: ['redirect-gateway def1'] });
    const { name, file } = profile();
    await up([file]);
    await first.stop('SIGKILL');
    const beside = await ping(client, '192.0.2.53', { count: 2, intervalMs: 100 });
    assert.equal(beside.received, 0);
    await until('it knows', async () => (await statusOf(name)).status?.state === 'connecting');
    assert.equal((await statusOf(name)).code, 1);
    await serve({ push: ['redirect-gateway def1'] });
    await until('it is back', async () => (await ping(client, '198.51.100.7', { count: 1 })).received > 0);
    // The first is from before the command has returned.
    await until('its log', () =>
      / is up: (.*\n)*.* connecting to (.*\n)*.* is up: /.test(readFileSync(logOf(name), 'utf8')),
    );
    assert.equal(statSync(logOf(name)).mode & 0o777, 0o600);
    await down(name);
  });

  test('why a tunnel in the background has ended stands in its log, which down names', async () => {
    await serve();
    const { name, file } = profile();
    await up([file]);
    await client.run(['ip', 'link', 'delete', name]);
    await until('its end', () => !existsSync(`/run/sallyport/openvpn-${name}.json`));
    const result = await run(['openvpn', 'down', name]);
    assert.equal(result.code, 1);
    assert.ok(result.stderr.includes(`what it said last is in ${logOf(name)}`), result.stderr);
    await until('the reason', () => readFileSync(logOf(name), 'utf8').includes(`the interface ${name} was removed`));
    await up([file]);
    await down(name);
  });

  test('user name and password: from a file, asked for, with a challenge, and refused', async () => {
    const script = laboratory.file(
      'verify.sh',
      '#!/bin/sh\n{ read -r user; read -r password; } < "$1"\ncase "$user:$password" in\nalice:secret|alice:SCRV1:c2VjcmV0:MTIzNDU2) exit 0;;\nesac\nexit 1\n',
    );
    chmodSync(script, 0o755);
    await serve({
      lines: [
        'script-security 2',
        `auth-user-pass-verify ${script} via-file`,
        'verify-client-cert none',
        'username-as-common-name',
      ],
      push: ['route 198.51.100.0 255.255.255.0'],
    });
    const plain = profile({ lines: ['auth-user-pass'], certificate: false });
    const login = laboratory.file('login', 'alice\nsecret\n');
    await up(['--auth-file', login, plain.file]);
    await reaches('198.51.100.7');
    await down(plain.name);
    await up([plain.file], 'alice\nsecret\n');
    await down(plain.name);
    const wrong = await run(['openvpn', 'up', plain.file], 'alice\nwrong\n');
    assert.equal(wrong.code, 77, wrong.stderr);
    assert.match(wrong.stderr, /the server refuses the login/);
    const challenge = profile({ lines: ['auth-user-pass', 'static-challenge "code?" 1'], certificate: false });
    await up([challenge.file], 'alice\nsecret\n123456\n');
    await reaches('198.51.100.7');
    await down(challenge.name);
  });

  test('a question after the password, a page for logging in, and a token in place of both', async () => {
    const socket = join(laboratory.folder, 'management');
    const process = await serve({
      lines: [
        `management ${socket} unix`,
        'management-client-auth',
        'verify-client-cert none',
        'username-as-common-name',
        'auth-gen-token 3600 120',
        // The whole login has to be over before the first new keys.
        'reneg-sec 8',
      ],
      push: ['route 198.51.100.0 255.255.255.0'],
    });
    const management = await Management.open(socket);
    try {
      const { name, file } = profile({ lines: ['auth-user-pass'], certificate: false });
      const login = laboratory.file('login-code', 'alice\nsecret\n123456\n');
      const asked = up(['--auth-file', login, file]);
      asked.catch(() => undefined);
      const [, first, key] = await management.hear(/>CLIENT:CONNECT,(\d+),(\d+)[^]*?>CLIENT:ENV,END/);
      management.say(`client-deny ${first ?? ''} ${key ?? ''} no "CRV1:R,E:state7:${base64('alice')}:Your code?"`);
      const answered = await management.hear(
        />CLIENT:CONNECT,(\d+),(\d+)[^]*?>CLIENT:ENV,password=(.*)\r?\n[^]*?>CLIENT:ENV,END/,
      );
      assert.equal(answered[3]?.trim(), 'CRV1::state7::123456');
      management.say(
        `client-pending-auth ${answered[1] ?? ''} ${answered[2] ?? ''} "WEB_AUTH::https://login.example/x?y=1" 60`,
      );
      await management.hear(/SUCCESS: client-pending-auth/);
      management.say(`client-auth-nt ${answered[1] ?? ''} ${answered[2] ?? ''}`);
      const { stderr } = await asked;
      assert.match(stderr, /log in with your browser: https:\/\/login\.example\/x\?y=1/);
      await reaches('198.51.100.7');
      // New keys: the token is shown, and nobody asks.
      await until('the token', () => /auth-token authentication succeeded for username 'alice'/.test(process.stdout));
      await reaches('198.51.100.7');
      await down(name);
    } finally {
      management.close();
    }
  });

  test('who is not the server is not talked to: another name, another certificate, one of a client', async () => {
    await serve();
    for (const line of ['verify-x509-name other name', `peer-fingerprint ${'ab'.repeat(32)}`]) {
      const { file } = profile({ lines: [line, 'connect-retry-max 1', 'connect-timeout 60'] });
      const result = await run(['openvpn', 'up', file]);
      assert.equal(result.code, 1, result.stderr);
      assert.match(result.stderr, /TLS failed: .*(verify-x509-name|peer-fingerprint)/);
    }
    const { name, file } = profile({
      lines: ['verify-x509-name "CN=vpn.example"', `peer-fingerprint ${serverCertificate.sha256}`],
    });
    await up([file]);
    await down(name);
  });

  test('in the foreground it ends by a signal, and what a killed one left is cleared by down', async () => {
    await serve({ push: ['redirect-gateway def1', 'dhcp-option DNS 10.8.0.1'] });
    const before = await snapshot();
    const { name, file } = profile();
    const first = await client.start([sallyport, 'openvpn', 'up', '--foreground', file]);
    running.push(first);
    await until('it is up', () => first.stderr.includes(`${name} is up`));
    await reaches('198.51.100.7');
    first.signal('SIGTERM');
    await first.end();
    assert.equal(await snapshot(), before);
    const second = await client.start([sallyport, 'openvpn', 'up', '--foreground', file]);
    running.push(second);
    await until('it is up', () => second.stderr.includes(`${name} is up`));
    second.signalGroup('SIGKILL');
    await second.end();
    assert.equal((await statusOf(name)).status?.state, 'killed');
    await down(name);
    assert.equal(await snapshot(), before);
  });
});
