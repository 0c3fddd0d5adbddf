/** Control plane and gateway on machines of their own; certificates of one's own; a database that is away; backups. */
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Laboratory, PostgresServer, until, wire, type NetworkNamespace, type Process } from '@sallyport/netlab';
import { fingerprintOf } from '../../packages/control/src/tls/certificate.ts';
import { makeSelfSigned } from '../../packages/control/src/tls/self-signed.ts';
import { dataFolder, Server } from './server-world.ts';

const root = resolve(import.meta.dirname, '../..');
const sallyport = join(root, 'bin/sallyport');

describe('machines of their own', () => {
  let laboratory: Laboratory;
  let central: NetworkNamespace;
  let edge: NetworkNamespace;
  const data = dataFolder();

  before(async () => {
    laboratory = Laboratory.open();
    central = await laboratory.namespace('central');
    edge = await laboratory.namespace('edge');
    await wire(
      { namespace: central, name: 'eth0', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
      { namespace: edge, name: 'eth0', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
    );
  });
  after(async () => {
    await laboratory.close();
    data.remove();
  });

  test('a gateway joins by a token, and serves on while its control plane is away', async () => {
    const options = ['--data', `${data.path}/central`, '--listen', '192.0.2.1:443', '--no-gateway'];
    let control = await Server.start(central, options);
    const session = await control.setUp();
    const created = await control.call('POST', '/api/v1/gateways/join-tokens', {}, session);
    assert.equal(created.status, 201);
    const { token, command } = created.body as { token: string; command: string };
    assert.equal(command, `echo ${token} | sudo sallyport gateway join https://192.0.2.1 -`);

    const wrong = await edge.run([sallyport, 'gateway', 'join', 'https://192.0.2.1', token.slice(0, -1)], {
      allowFailure: true,
    });
    assert.equal(wrong.code, 64);
    assert.match(wrong.stderr, /the token is not whole/);
    assert.ok(!wrong.stderr.includes(token.slice(0, -1)));

    const here = ['--data', `${data.path}/edge`];
    // The token comes by standard input, as it would in a script that keeps it out of the list of processes.
    const place = [
      '--name',
      'oslo-1',
      '--region',
      'oslo',
      '--country',
      'NO',
      '--city',
      'Oslo',
      '--address',
      'o.example',
    ];
    const join = [sallyport, 'gateway', 'join', 'https://192.0.2.1', '-', '--prepare', ...place, ...here];
    const faulty = await edge.run([...join, '--country', 'Norway'], { input: token, allowFailure: true });
    assert.equal(faulty.code, 65);
    assert.match(faulty.stderr, /--country: write two capital letters/);
    await edge.run(join, { input: token });
    const run = (): Promise<Process> => edge.start([sallyport, 'gateway', 'run', '--json', ...here]);
    const gateway = await run();
    await until('the gateway', () => (assert.equal(gateway.exit, undefined, gateway.stderr), gateway.stdout !== ''));
    const facts = JSON.parse(gateway.stdout) as Server['facts'];
    assert.equal(facts.control, null);
    assert.equal(facts.gateway?.connected, true);
    const health = async (): Promise<string> => {
      const { body } = await control.call('GET', '/api/v1/gateways', undefined, session);
      const { items } = body as { items: Record<string, string>[] };
      const [{ health = '', ...gateway } = {}, ...more] = items;
      assert.deepEqual(
        [gateway['name'], gateway['regionId'], gateway['country'], gateway['city'], gateway['endpointHost'], more],
        ['oslo-1', 'oslo', 'NO', 'Oslo', 'o.example', []],
      );
      return health;
    };
    await until('its health', async () => (await health()) === 'healthy');

    await control.stop();
    gateway.signal('SIGTERM');
    assert.equal((await gateway.end()).code, 0);
    assert.equal((await edge.run(['nft', 'list', 'tables'])).stdout, '');

    // It starts without its control plane, with the state that it had, and finds it again.
    const alone = await run();
    await until('the gateway alone', () => (assert.equal(alone.exit, undefined, alone.stderr), alone.stdout !== ''));
    assert.equal((JSON.parse(alone.stdout) as Server['facts']).gateway?.connected, false);
    assert.match((await edge.run(['nft', 'list', 'tables'])).stdout, /inet sallyport/);
    control = await Server.start(central, options);
    await until('the link', async () => (await health()) === 'healthy');

    // Who is removed ends, and says why, with the exit code that keeps systemd from trying again.
    const { body, status } = await control.call('GET', '/api/v1/gateways', undefined, session);
    assert.equal(status, 200);
    const [{ id, version } = { id: '', version: 0 }] = (body as { items: { id: string; version: number }[] }).items;
    const removal = await central.run(
      [
        ...['curl', '--silent', '--insecure', '--request', 'DELETE', '--header', `if-match: "${String(version)}"`],
        ...['--header', `authorization: Bearer ${session}`, `https://192.0.2.1/api/v1/gateways/${id}`],
      ],
      {},
    );
    assert.equal(removal.stdout, '');
    assert.equal((await alone.end()).code, 77, alone.stderr);
    assert.match(alone.stderr, /^sallyport: .*removed/m);
    await control.stop();
  });

  test("a certificate of one's own, which only root can read, is taken up when it changes", async () => {
    const [first, second] = [makeSelfSigned(['192.0.2.1'], Date.now()), makeSelfSigned(['192.0.2.1'], Date.now())];
    const chain = laboratory.file('chain.pem', first.chain);
    const key = laboratory.file('key.pem', first.key.reveal());
    const text = `[web]\ntls = "files"\ncertificate = "${chain}"\nkey = "${key}"\n`;
    const file = laboratory.file('files.toml', text);
    const options = ['--data', `${data.path}/files`, '--listen', '192.0.2.1:443', '--no-gateway', '--config', file];
    const server = await Server.start(central, options);
    const shown = async (): Promise<string> => {
      const { stdout } = await central.run(['openssl', 's_client', '-connect', '192.0.2.1:443'], {
        input: '',
        allowFailure: true,
      });
      const pem = /-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----\n/.exec(stdout)?.[0] ?? '';
      return fingerprintOf({ chain: pem, key: first.key });
    };
    assert.equal(await shown(), fingerprintOf(first));
    writeFileSync(chain, second.chain);
    writeFileSync(key, second.key.reveal());
    await until('the other certificate', async () => (await shown()) === fingerprintOf(second), undefined, 500);
    await server.stop();
  });

  test('a backup of a service that runs is restored on another machine', async () => {
    const options = ['--data', `${data.path}/one`, '--listen', '192.0.2.1:443', '--no-gateway'];
    const one = await Server.start(central, options);
    const session = await one.setUp();
    const file = join(laboratory.folder, 'backup');
    const call = async (expression: string): Promise<string> => {
      const module = `import * as server from '${root}/apps/server/src/index.ts'; console.log(JSON.stringify(await ${expression}));`;
      return (await central.run([join(root, 'scripts/node'), '--input-type=module', '-e', module])).stdout;
    };
    assert.match(await call(`server.backupCommand({ data: '${data.path}/one' }, '${file}')`), /"rows":\d+/);
    await one.stop();
    await call(`server.restoreCommand({ data: '${data.path}/two' }, '${file}')`);
    const two = await Server.start(central, ['--data', `${data.path}/two`, ...options.slice(2)]);
    assert.equal(two.facts.control?.setupUrl, null);
    // People are back, and their logins are not.
    assert.equal((await two.call('GET', '/api/v1/users', undefined, session)).status, 401);
    await two.logIn();
    const verdict = JSON.parse(await call(`server.verifyAuditCommand({ data: '${data.path}/two' })`)) as {
      ok: boolean;
    };
    assert.equal(verdict.ok, true);
    await two.stop();
    await assert.rejects(
      call(`server.backupCommand({ data: '${data.path}/none' }, '${file}')`),
      /there is no service in/,
    );
  });

  test('it waits for a PostgreSQL that is away, says so, and is ready once it is there', async (t) => {
    const postgres = await PostgresServer.start();
    t.after(() => postgres.remove());
    chmodSync(postgres.folder, 0o711);
    const urlFile = laboratory.file('url', await postgres.createDatabase());
    const file = laboratory.file('postgres.toml', `[storage]\npostgresql_url_file = "${urlFile}"\n`);
    const options = ['--data', `${data.path}/postgres`, '--listen', '192.0.2.1:443', '--no-gateway', '--config', file];
    await postgres.stop();
    const starting = await Server.launch(central, [...options, '--json']);
    const status = async (path: string): Promise<string> =>
      (
        await central.run(
          [
            'curl',
            '--silent',
            '--insecure',
            '--output',
            '/dev/null',
            '--write-out',
            '%{http_code}',
            `https://192.0.2.1${path}`,
          ],
          { allowFailure: true },
        )
      ).stdout;
    await until('the wait', () => starting.stderr.includes('the control plane waits: '));
    assert.deepEqual(
      [await status('/healthz'), await status('/readyz'), await status('/api/v1/users')],
      ['200', '503', '503'],
    );
    assert.equal(starting.stdout, '');
    await postgres.restart();
    await until('its readiness', () => starting.stdout !== '');
    assert.equal(await status('/readyz'), '200');

    await postgres.kill();
    await until('the loss', async () => (await status('/readyz')) === '503');
    assert.equal(await status('/healthz'), '200');
    await postgres.restart();
    await until('its return', async () => (await status('/readyz')) === '200');
    starting.signal('SIGTERM');
    assert.equal((await starting.end()).code, 0);
    const password = /sallyport:(\w+)@/.exec(readFileSync(urlFile, 'utf8'))?.[1] ?? '?';
    assert.ok(!starting.stderr.includes(password), 'the password is not logged');
  });
});
