/** The units of deploy/ under systemd: server and client as services, each on a machine of its own. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { Laboratory, until, wire } from '@sallyport/netlab';
import { skip, SystemdMachine } from './systemd-machine.ts';

const SERVER = '192.0.2.2';
/** Somewhere outside. */
const WEB = '198.51.100.7';
const ADMINISTRATOR = { name: 'admin', password: 'correct horse battery' };
/** Stands for what brings the network up. */
const NETWORK_MANAGER = `[Unit]
DefaultDependencies=no
After=network-pre.target

[Service]
Type=oneshot
ExecStart=/bin/sh -c 'nft list ruleset > /run/filter-before-network'

[Install]
WantedBy=multi-user.target
`;

describe('systemd units', { skip }, () => {
  let laboratory: Laboratory;
  let server: SystemdMachine;
  let client: SystemdMachine;

  before(async () => {
    laboratory = Laboratory.open();
    const [at, away] = [await laboratory.namespace('unitserver'), await laboratory.namespace('unitclient')];
    await wire(
      { namespace: at, name: 'wire0', addresses: [`${SERVER}/24`] },
      { namespace: away, name: 'wire0', addresses: ['192.0.2.1/24'] },
    );
    await at.address('lo', `${WEB}/32`);
    await away.route('0.0.0.0/0', 'via', SERVER);
    server = await SystemdMachine.install(at);
    client = await SystemdMachine.install(away);
  });
  after(async () => {
    await Promise.allSettled([server.close(), client.close()]);
    await laboratory.close();
  });

  /** As a person in the group `sallyport`, without any other right. */
  const sallyport = (args: readonly string[], input = '') =>
    client.attempt(['setpriv', '--reuid', 'nobody', '--regid', 'sallyport', '--clear-groups', '/opt/sallyport/bin/sallyport', ...args], { input }); // prettier-ignore
  const state = async (): Promise<string> => {
    const { code, stdout } = await sallyport(['status', '--json']);
    return code === 0 ? (JSON.parse(stdout) as { state: string }).state : '';
  };
  const reachesWeb = async (): Promise<boolean> =>
    (await client.attempt(['ping', '-c', '1', '-W', '1', WEB])).code === 0;
  const filter = async (): Promise<string> => (await client.attempt(['nft', 'list', 'table', 'inet', 'sallyport_client'])).stdout; // prettier-ignore

  async function call<T>(path: string, body: object, token?: string): Promise<T> {
    const authorization = token === undefined ? [] : ['-H', `authorization: Bearer ${token}`];
    const words = ['-H', 'content-type: application/json', ...authorization, '--data-binary', '@-'];
    const { stdout } = await server.run(['curl', '-skf', ...words, `https://${SERVER}/api/v1${path}`], { input: JSON.stringify(body) }); // prettier-ignore
    return JSON.parse(stdout === '' ? '{}' : stdout) as T;
  }

  test('they are free of faults', async () => {
    await Promise.all([server.boot(), client.boot()]);
    const units = ['sallyport', 'sallyport-client', 'sallyport-lockdown'].map((name) => `/etc/systemd/system/${name}.service`); // prettier-ignore
    const { stdout, stderr } = await client.run(['systemd-analyze', 'verify', '--man=no', ...units]);
    assert.equal(stdout + stderr, '');
  });

  test('the server is started when it answers', async () => {
    await server.run(['systemctl', 'enable', '--now', 'sallyport'], { timeoutMs: 100_000 });
    let setup: string | undefined;
    // The journal may be behind.
    await until(
      'the link',
      async () => (setup = /\/setup#(\S+)/.exec(await server.log('sallyport'))?.[1]) !== undefined,
    );
    await call('/setup', { token: setup, ...ADMINISTRATOR });
  });

  test('the client connects, for whoever is in the group', async () => {
    await client.run(['groupadd', '--system', 'sallyport']);
    await client.run(['systemctl', 'enable', '--now', 'sallyport-lockdown', 'sallyport-client']);
    const { token: session } = await call<{ token: string }>('/login', ADMINISTRATOR);
    const { token } = await call<{ token: string }>('/tokens', { name: 'machine', permissions: ['self'] }, session);
    const [, fingerprint = ''] = /SHA-256 (\S+)/.exec(await server.log('sallyport')) ?? [];
    const how = ['--fingerprint', fingerprint, '--token-file', '-', '--name', 'machine'];
    const login = await sallyport(['login', `https://${SERVER}`, ...how], `${token}\n`);
    assert.equal(login.code, 0, login.stderr);
    const stranger = await client.attempt(['setpriv', '--reuid', 'nobody', '--regid', 'nogroup', '--clear-groups', '/opt/sallyport/bin/sallyport', 'status']); // prettier-ignore
    assert.equal(stranger.code, 77, stranger.stderr);
    assert.ok(await reachesWeb());
    const connect = await sallyport(['connect']);
    assert.equal(connect.code, 0, connect.stderr);
    assert.match((await client.run(['cat', '/etc/resolv.conf'])).stdout, /Written by Sallyport/);
    assert.equal((await sallyport(['outside', 'ping', '-c', '1', WEB])).code, 0);
  });

  test('a daemon that is killed is started again, and nothing passes meanwhile', async () => {
    // After a second by itself: that would be over before it is looked at on a machine that is full.
    const folder = '/run/systemd/system/sallyport-client.service.d';
    const later = `mkdir -p ${folder}; cat > ${folder}/later.conf; systemctl daemon-reload`;
    await client.run(['sh', '-ec', later], { input: '[Service]\nRestartSec=12\n' });
    await client.run(['systemctl', 'kill', '--kill-whom', 'main', '--signal', 'KILL', 'sallyport-client']);
    await until('the crash', async () => (await client.property('sallyport-client', 'SubState')) === 'auto-restart');
    assert.match(await filter(), /policy drop/);
    assert.equal(await reachesWeb(), false);
    await until('the connection', async () => (await state()) === 'connected', undefined, 100);
    assert.equal(await client.property('sallyport-client', 'NRestarts'), '1');
  });

  test('after a boot everything is blocked before there is a network, and it connects', async () => {
    const unit = 'network-manager.service';
    await client.run(['sh', '-c', `cat > /etc/systemd/system/${unit}`], { input: NETWORK_MANAGER });
    await client.run(['systemctl', 'enable', unit]);
    await client.powerOff();
    await client.machine.nft('flush ruleset\n');
    await client.boot();
    const { stdout } = await client.run(['cat', '/run/filter-before-network']);
    assert.match(stdout, /table inet sallyport_client[^]*hook output[^\n]*policy drop/);
    await until('the connection', async () => (await state()) === 'connected', undefined, 100);
  });

  test('they stop in order', async () => {
    await client.run(['systemctl', 'stop', 'sallyport-client']);
    assert.match(await filter(), /policy drop/);
    assert.equal(await client.property('sallyport-client', 'Result'), 'success');
    assert.equal(await reachesWeb(), false);
    await client.run(['systemctl', 'start', 'sallyport-client']);
    assert.equal((await sallyport(['disconnect'])).code, 0);
    assert.ok(await reachesWeb());
    await client.run(['systemctl', 'stop', 'sallyport-client']);
    assert.equal((await client.run(['nft', 'list', 'ruleset'])).stdout, '');
    await server.run(['systemctl', 'stop', 'sallyport']);
    assert.equal(await server.property('sallyport', 'Result'), 'success');
    assert.equal((await server.run(['nft', 'list', 'ruleset'])).stdout, '');
    assert.equal((await server.attempt(['ip', 'link', 'show', 'sallyport0'])).code, 1);
  });
});
