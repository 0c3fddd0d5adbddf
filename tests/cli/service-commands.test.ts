/** The commands that the API's routes offer: against a real control plane on loopback, by the program itself. */
import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { connect, createServer as createRelay, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { allRoutes } from '@sallyport/api';
import { startControl, type Control } from '@sallyport/control';
import { parseProfile } from '@sallyport/openvpn';
import { pino } from 'pino';
import { serviceCommand } from '../../apps/cli/src/service/service-command.ts';

const program = fileURLToPath(new URL('../../bin/sallyport', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sallyport-cli-service-'));
const PASSWORD = 'a long enough password';

after(() => {
  rmSync(folder, { recursive: true });
});

/** The words of a command line as a shell would see them, as far as examples go. */
function words(line: string): string[] {
  return [...line.matchAll(/"([^"]*)"|'([^']*)'|(\S+)/g)].map(
    ([, double, single, bare]) => double ?? single ?? bare ?? '',
  );
}

describe('every command that a route offers', () => {
  const offered = allRoutes.filter(({ command }) => command !== undefined);

  for (const contract of offered) {
    const command = serviceCommand(contract, allRoutes);
    test(`${command.name}: its examples are command lines that it takes`, () => {
      const examples = contract.command?.examples ?? [];
      assert.ok(examples.length > 0, 'it has an example');
      for (const example of examples) {
        assert.ok(example.startsWith(`sallyport ${command.name}`), example);
        const given = words(example.replace(/\$\([^)]*\)/g, 'X').split(/ [|<>]/)[0] ?? '').slice(
          1 + command.name.split(' ').length,
        );
        let positional = 0;
        for (let at = 0; at < given.length; at++) {
          const word = given[at] ?? '';
          if (!word.startsWith('--')) {
            positional++;
            continue;
          }
          const [name = '', value] = word.slice(2).split('=');
          if (command.options.includes(name)) continue;
          assert.ok(
            command.valued?.includes(name),
            `${example}: --${name} is no option; there are ${command.valued?.join(', ') ?? 'none'}`,
          );
          if (value === undefined) at++;
        }
        const [least, most] = command.arguments;
        assert.ok(
          positional >= least && positional <= most,
          `${example}: ${String(positional)} arguments, not ${String(least)} to ${String(most)}`,
        );
      }
    });
  }

  test('no two have the same name, and their help names every option', () => {
    const names = offered.map(({ command }) => command?.name);
    assert.equal(new Set(names).size, names.length);
    for (const contract of offered) {
      const { help, valued = [] } = serviceCommand(contract, allRoutes);
      for (const option of valued) assert.match(help, new RegExp(`--${option} `), `${contract.id} --${option}`);
    }
  });
});

function block(profile: string, name: string): string {
  return new RegExp(`<${name}>\n([^<]*)</${name}>`).exec(profile)?.[1] ?? '';
}

/** Whether a profile's private key is that of its certificate. */
function belongTogether(profile: string): boolean {
  return new X509Certificate(block(profile, 'cert')).checkPrivateKey(createPrivateKey(block(profile, 'key')));
}

test('what a service says does not steer the terminal', async () => {
  const nasty = '\u001b]0;title\u0007\u001b[2J\u009b1m\rroot#';
  const problem = {
    type: 'about:blank',
    title: `Bad ${nasty}`,
    status: 400,
    code: 'invalid',
    detail: nasty,
    faults: [{ at: `/body/${nasty}`, message: nasty }],
  };
  const service = createServer((request, response) => {
    const { faults, ...plain } = problem;
    response.writeHead(400, { 'content-type': 'application/problem+json' });
    response.end(JSON.stringify(request.url?.includes('groups') === true ? { ...plain, faults } : plain));
  });
  service.listen(0, '127.0.0.1');
  await once(service, 'listening');
  const token = join(folder, 'token');
  writeFileSync(token, 'spt_x', { mode: 0o600 });
  const SALLYPORT_URL = `http://127.0.0.1:${String((service.address() as AddressInfo).port)}`;
  const env = { ...process.env, SALLYPORT_URL, SALLYPORT_TOKEN_FILE: token };
  for (const args of [
    ['user', 'list'],
    ['group', 'list'],
    ['profile', 'openvpn', 'x'],
  ]) {
    const child = spawn(program, args, { env, stdio: ['ignore', 'pipe', 'pipe'] });
    let shown = '';
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => (shown += text));
    const [status] = (await once(child, 'close')) as [number];
    assert.notEqual(status, 0);
    assert.match(shown, /^sallyport: Bad /);
    assert.match(shown, /root#/);
    assert.doesNotMatch(shown, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/, JSON.stringify(shown));
  }
  service.close();
});

describe('a service on loopback', () => {
  let control: Control;
  let url = '';
  const server = createServer();
  const home = join(folder, 'home');

  before(async () => {
    control = await startControl({
      databaseUrl: `sqlite:${join(folder, 'control.db')}`,
      masterKeyFile: join(folder, 'master.key'),
      pool4: '10.64.0.0/16',
      publicUrl: 'http://127.0.0.1',
      version: '0',
      now: Date.now,
      log: pino({ level: 'silent' }),
      checkResults: true,
      rate: { burst: 1e6, perSecond: 1e6 },
    });
    server.on('request', control.request);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  });

  after(async () => {
    server.closeAllConnections();
    server.close();
    await control.close();
  });

  /** The program runs beside, not within: the service answers from this process. */
  async function run(args: readonly string[], input = '', env: Record<string, string> = {}) {
    const child = spawn(program, args, { env: { ...process.env, XDG_CONFIG_HOME: home, ...env } });
    let stdout = '';
    let stderr = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.stdin.on('error', () => undefined);
    child.stdin.end(input);
    const [status] = (await once(child, 'close')) as [number];
    return { status, stdout, stderr };
  }

  async function json<T>(args: readonly string[], input = ''): Promise<T> {
    const { status, stdout, stderr } = await run([...args, '--json'], input);
    assert.equal(status, 0, `${args.join(' ')}: ${stderr}`);
    return JSON.parse(stdout) as T;
  }

  test('without a login every command says how to get one', async () => {
    const { status, stderr } = await run(['user', 'list']);
    assert.equal(status, 66);
    assert.match(stderr, /sallyport login URL/);
  });

  test('setup creates the administrator by the link, once, and keeps the session for its owner only', async () => {
    const link = (await control.createSetupUrl())?.replace('http://127.0.0.1', url) ?? '';
    const wrong = await run(['setup', '--user', 'root'], `${url}/setup#spf_wrong\n${PASSWORD}\n`);
    assert.notEqual(wrong.status, 0);
    const done = await run(['setup', '--user', 'admin'], `${link}\n${PASSWORD}\n`);
    assert.equal(done.status, 0, done.stderr);
    const file = join(home, 'sallyport', 'credentials.json');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    assert.ok(
      !(done.stdout + done.stderr).includes((JSON.parse(readFileSync(file, 'utf8')) as { token: string }).token),
    );
    const again = await run(['setup', '--user', 'other'], `${link}\n${PASSWORD}\n`);
    assert.notEqual(again.status, 0, 'a second time');
  });

  test('lists are tables for people and JSON for programs', async () => {
    await json(['group', 'create', 'staff', '--description', 'all of us']);
    await json(['user', 'create', 'alice', '--groups', 'staff', '--display-name', 'Alice Ash']);
    const { stdout } = await run(['user', 'list']);
    assert.match(stdout, /^name +display name +role/);
    assert.match(stdout, /^alice +Alice Ash +user/m);
    const { items } = await json<{ items: { name: string }[] }>(['user', 'list']);
    assert.deepEqual(
      items.map(({ name }) => name),
      ['admin', 'alice'],
    );
  });

  test('what is for programs alone is in the JSON alone', async () => {
    const shown = await run(['overview']);
    assert.equal(shown.status, 0, shown.stderr);
    assert.match(shown.stdout, /^users\n {2}total +\d+$/m);
    assert.doesNotMatch(shown.stdout, /sample/);
    assert.deepEqual(Object.keys(await json<object>(['overview'])).slice(-3), ['sampleSeconds', 'samples', 'notices']);
  });

  test('what is changed is changed by name; "none" takes a value away; versions are looked up', async () => {
    const limited = await json<{ bitsPerSecond: number | null; disabled: boolean }>([
      ...['user', 'update', 'alice', '--bits-per-second', '5000000', '--disabled', 'true'],
    ]);
    assert.deepEqual([limited.bitsPerSecond, limited.disabled], [5_000_000, true]);
    const free = await json<{ bitsPerSecond: number | null }>(['user', 'update', 'alice', '--bits-per-second', 'none']);
    assert.equal(free.bitsPerSecond, null);
    assert.equal((await run(['user', 'update', 'alice', '--disabled', 'no'])).status, 0);
  });

  test('services are written as people write them, nested settings as joined options', async () => {
    const resource = await json<{ services: unknown }>([
      ...['resource', 'create', 'db', '--kind', 'network', '--prefixes', '10.1.2.0/24,fd00:1::/64'],
      ...['--services', 'tcp/5432,6000-6010 icmp'],
    ]);
    assert.deepEqual(resource.services, [
      { protocol: 'tcp', ports: ['5432', '6000-6010'] },
      { protocol: 'icmp', ports: [] },
    ]);
    const settings = await json<{ dns: { servers: string[] } }>(['settings', 'update', '--dns-servers', '9.9.9.9']);
    assert.deepEqual(settings.dns.servers, ['9.9.9.9']);
  });

  test('a body can come from a file, and faults of it are named', async () => {
    const file = join(folder, 'rule.json');
    writeFileSync(file, JSON.stringify({ groups: ['staff'], resources: ['db'] }));
    assert.equal((await run(['rule', 'create', 'staff-db', '--file', file])).status, 0);
    writeFileSync(file, '{');
    const broken = await run(['rule', 'create', 'other', '--file', file]);
    assert.equal(broken.status, 65);
    assert.match(broken.stderr, /rule\.json/);
    assert.equal((await run(['rule', 'create', 'other', '--file', join(folder, 'none.json')])).status, 66);
  });

  test('what the service refuses is said with every fault, and told apart by the exit code', async () => {
    const faulty = await run(['user', 'create', 'Not A Name', '--email', 'nonsense']);
    assert.equal(faulty.status, 1);
    assert.match(faulty.stderr, /^ {2}NAME: lower-case letters/m);
    assert.match(faulty.stderr, /^ {2}--email: /m);
    const second = await run(['user', 'update', 'alice', '--groups', 'staff,nobody-there']);
    assert.match(second.stderr, /^ {2}--groups, item 2: there is no such group/m);
    const missing = await run(['user', 'show', 'nobody-there']);
    assert.equal(missing.status, 1);
    const unknown = await run(['user', 'lst']);
    assert.equal(unknown.status, 64);
    assert.match(unknown.stderr, /did you mean "sallyport user list"/);
    const away = await run(['user', 'list'], '', {
      SALLYPORT_URL: 'http://127.0.0.1:9',
      SALLYPORT_TOKEN_FILE: '/dev/null',
    });
    assert.equal(away.status, 69);
  });

  test('every list can be had, in pages or whole', async () => {
    const lists = allRoutes.flatMap(({ command }) =>
      command?.columns !== undefined && (command.positional ?? []).length === 0 ? [command.name] : [],
    );
    assert.ok(lists.length > 15);
    await Promise.all(
      lists.map(async (name) => {
        assert.ok(Array.isArray((await json<{ items: unknown[] }>(name.split(' '))).items), name);
      }),
    );
  });

  test('people read names where programs read ids', async () => {
    const table = await run(['rule', 'list']);
    assert.match(table.stdout, /^staff-db +yes +staff +db +-$/m);
    const one = await run(['user', 'show', 'alice']);
    assert.match(one.stdout, /^groups +staff$/m);
    const resources = await run(['resource', 'list']);
    assert.match(resources.stdout, /tcp\/5432,6000-6010 icmp/);
    const { items } = await json<{ items: { name: string; groups: string[] }[] }>(['rule', 'list']);
    assert.match(items.find(({ name }) => name === 'staff-db')?.groups[0] ?? '', /^[0-9a-f-]{36}$/);
  });

  /** All that goes over the wire, by a relay in between. */
  async function listenIn() {
    const seen: string[] = [];
    const relay = createRelay((socket) => {
      const onward = connect((server.address() as AddressInfo).port, '127.0.0.1');
      socket.on('data', (chunk: Buffer) => seen.push(chunk.toString('latin1')));
      socket.pipe(onward).pipe(socket);
      for (const end of [socket, onward]) end.on('error', () => undefined);
    });
    relay.listen(0, '127.0.0.1');
    await once(relay, 'listening');
    const own = JSON.parse(readFileSync(join(home, 'sallyport', 'credentials.json'), 'utf8')) as object;
    const file = join(folder, 'relayed.json');
    const relayed = `http://127.0.0.1:${String((relay.address() as AddressInfo).port)}`;
    writeFileSync(file, JSON.stringify({ ...own, url: relayed }), { mode: 0o600 });
    return { seen, relay, env: { SALLYPORT_CREDENTIALS: file } };
  }

  const myDevices = async () => (await json<{ items: { name: string }[] }>(['me', 'device', 'list'])).items;

  test('a device is made with a key that the service never hears of', async () => {
    const { seen, env, relay } = await listenIn();
    const output = join(folder, 'laptop.conf');
    // No gateway has joined: the device must not stay without a configuration.
    const early = await run(['device', 'new', 'laptop', '--output', output], '', env);
    assert.notEqual(early.status, 0);
    assert.throws(() => statSync(output));
    assert.deepEqual(await myDevices(), []);
    await addGateway();
    const made = await run(['device', 'new', 'laptop', '--output', output], '', env);
    relay.close();
    assert.equal(made.status, 0, made.stderr);
    assert.equal(statSync(output).mode & 0o777, 0o600);
    const configuration = readFileSync(output, 'utf8');
    const privateKey = /^PrivateKey = (.{44})$/m.exec(configuration)?.[1] ?? '';
    const publicKey = spawnSync('wg', ['pubkey'], { input: privateKey, encoding: 'utf8' }).stdout.trim();
    assert.ok(
      seen.some((body) => body.includes(publicKey)),
      'the public key was sent',
    );
    assert.ok(
      seen.every((body) => !body.includes(privateKey)),
      'the private key was not',
    );
    assert.ok(!(made.stdout + made.stderr).includes(privateKey));
  });

  test('a profile for OpenVPN is made with a key that the service never hears of', async () => {
    const { seen, env, relay } = await listenIn();
    const output = join(folder, 'office.ovpn');
    const made = await run(['profile', 'openvpn', 'office', '--login', 'password', '--output', output], '', env);
    relay.close();
    assert.equal(made.status, 0, made.stderr);
    assert.match(made.stderr, /^office has the addresses 10\.64\.\d+\.\d+ and /);
    assert.equal(statSync(output).mode & 0o777, 0o600);
    const profile = readFileSync(output, 'utf8');
    assert.match(profile, /^remote vpn\.example\.org 1194 udp\nremote vpn\.example\.org 443 tcp$/m);
    assert.match(profile, /^auth-user-pass$/m);
    assert.ok(belongTogether(profile));
    const parsed = parseProfile(profile);
    assert.ok(parsed.ok, JSON.stringify(parsed));
    // P-256 in PKCS #8: three lines, of which the second is the key's alone.
    const secret = block(profile, 'key').split('\n')[2] ?? '';
    assert.ok(secret.length > 20);
    assert.ok(seen.some((body) => body.includes('/me/openvpn-devices')));
    assert.ok(
      [...seen, made.stdout, made.stderr].every((text) => !text.includes(secret)),
      'the private key was not sent',
    );
    const list = await run(['me', 'device', 'list']);
    assert.match(list.stdout, /^name +protocol +standing/);
    assert.match(list.stdout, /^laptop +wireguard +active/m);
    assert.match(list.stdout, /^office +openvpn +active/m);
    assert.match((await run(['device', 'list'])).stdout, /office +admin +openvpn/);
  });

  test('a profile goes to the standard output too, and what is wrong leaves neither file nor device', async () => {
    const before = await myDevices();
    const fails = async (status: number, message: RegExp, ...args: string[]): Promise<void> => {
      const result = await run(['profile', 'openvpn', ...args]);
      assert.equal(result.status, status, result.stderr);
      assert.match(result.stderr, message);
      assert.equal(result.stdout, '');
      assert.deepEqual(await myDevices(), before);
    };
    const output = join(folder, 'other.ovpn');
    await fails(64, /--login is one of certificate, password, web, not key/, 'other', '--login', 'key');
    await fails(64, /--json needs --output/, 'other', '--json');
    await fails(64, /an argument is missing/);
    await fails(1, /There is no gateway nowhere/, 'other', '--gateway', 'nowhere', '--output', output);
    assert.throws(() => statSync(output));
    writeFileSync(output, 'precious');
    await fails(1, /other\.ovpn exists: name another file/, 'other', '--output', output);
    assert.equal(readFileSync(output, 'utf8'), 'precious');
    await fails(1, /office/, 'office');

    const { status, stdout } = await run(['profile', 'openvpn', 'other', '--gateway', 'one']);
    assert.equal(status, 0);
    assert.ok(belongTogether(stdout));
    assert.doesNotMatch(stdout, /^auth-user-pass/m);
    const device = await json<{ openvpn: { login: string } }>([
      ...['profile', 'openvpn', 'third', '--login', 'web', '--output', join(folder, 'third.ovpn')],
    ]);
    assert.equal(device.openvpn.login, 'web');
  });

  async function addGateway(): Promise<void> {
    await control.services.store.write(
      { actor: { kind: 'system', id: null, name: 'test' }, via: 'system', address: null },
      async ({ db, changed, now }) => {
        await db
          .insertInto('gateway')
          .values({
            id: 'gateway-1',
            name: 'one',
            region_id: 'default',
            country: null,
            city: null,
            latitude: null,
            longitude: null,
            endpoint_host: 'vpn.example.org',
            endpoint_port: 51820,
            wireguard_public_key: Buffer.alloc(32, 9).toString('base64'),
            link_key_hash: 'ab'.repeat(32),
            egress: '[]',
            addresses: '[]',
            transports: JSON.stringify({ amneziawg: null, tls: null, openvpn: { port: 1194, tcpPort: 443 } }),
            draining: 0,
            created_at: now,
            version: 1,
          })
          .execute();
        changed('gateway', 'gateway-1');
      },
    );
  }

  test('credentials that others can read, and damaged ones, are refused with the remedy', async () => {
    const file = join(folder, 'open.json');
    writeFileSync(file, '{}', { mode: 0o644 });
    const open = await run(['user', 'list'], '', { SALLYPORT_CREDENTIALS: file });
    assert.match(open.stderr, /chmod 600/);
    rmSync(file);
    writeFileSync(file, '{}', { mode: 0o600 });
    const damaged = await run(['user', 'list'], '', { SALLYPORT_CREDENTIALS: file });
    assert.equal(damaged.status, 66);
    assert.match(damaged.stderr, /damaged/);
  });

  test('logging out ends the session at the service too', async () => {
    const { token } = JSON.parse(readFileSync(join(home, 'sallyport', 'credentials.json'), 'utf8')) as {
      token: string;
    };
    assert.equal((await run(['logout'])).status, 0);
    const response = await fetch(`${url}/api/v1/me`, { headers: { authorization: `Bearer ${token}` } });
    assert.equal(response.status, 401);
    assert.equal((await run(['user', 'list'])).status, 66);
  });
});
