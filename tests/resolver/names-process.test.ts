/** The name server as a process, on port 53 in a namespace, before a real name server. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { Laboratory, until, wire, type NetworkNamespace, type Process } from '@sallyport/netlab';
import { excessPrivileges, processPrivileges } from '@sallyport/privileged';
import type { NamesPlan } from '@sallyport/resolver';
import { EMPTY } from './name-world.ts';

const root = resolve(import.meta.dirname, '../..');
const UID = 64_874;
const ADDRESSES = ['10.77.0.1', 'fd12:3456:789a:1::1'];
const CLIENTS = ['10.77.0.0/16', 'fd12:3456:789a:1::/64'];

describe('the process that answers names', () => {
  let laboratory: Laboratory;
  let gateway: NetworkNamespace;
  let internet: NetworkNamespace;
  let part: Process;
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-names-'));
  const orders = join(folder, 'orders.json');
  const data = join(folder, 'names');

  before(async () => {
    laboratory = Laboratory.open();
    gateway = await laboratory.namespace('gateway');
    internet = await laboratory.namespace('internet');
    await wire(
      { namespace: gateway, name: 'eth0', addresses: ['192.0.2.10/24', '2001:db8::10/64'] },
      { namespace: internet, name: 'eth0', addresses: ['192.0.2.53/24', '2001:db8::53/64'] },
    );
    await gateway.ip('link', 'set', 'lo', 'up');
    await internet.start([
      ...['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--no-resolv', '--no-hosts', '--user=root', '--log-facility=-'],
      ...['--pid-file=', '--listen-address=192.0.2.53', '--listen-address=2001:db8::53', '--bind-interfaces', '--local-ttl=300'],
      ...['--host-record=www.example.com,192.0.2.80,2001:db8::80', '--cname=alias.example.com,www.example.com'],
      ...Array.from({ length: 10 }, (_, i) => `--txt-record=long.example.com,${'x'.repeat(250)}${i}`),
      '--auth-zone=example.com', '--auth-server=ns.example.com,eth0', '--auth-soa=1,root.example.com',
    ]); // prettier-ignore
    chmodSync(folder, 0o711);
    mkdirSync(data, { mode: 0o700 });
    chownSync(data, UID, UID);
  });
  after(async () => {
    await laboratory.close();
    rmSync(folder, { recursive: true, force: true });
  });

  function order(plan: Partial<NamesPlan> | undefined, addresses = ADDRESSES, clients = CLIENTS): void {
    const given = plan === undefined ? {} : { plan: { ...EMPTY, ...plan } };
    // Whole or not at all: it is read as soon as it changes.
    writeFileSync(`${orders}.new`, JSON.stringify({ kind: 'names', addresses, clients, ...given }));
    renameSync(`${orders}.new`, orders);
  }

  async function ask(
    type: string,
    names: readonly string[],
    server = ADDRESSES[0] ?? '',
    from = gateway,
  ): Promise<unknown> {
    const program = join(import.meta.dirname, 'ask-run.ts');
    // From outside no answer is what is expected.
    const argv = [join(root, 'scripts/node'), program, server, from === internet ? '2000' : '20000', type, ...names];
    return JSON.parse((await from.run(argv)).stdout) as unknown;
  }

  /** Empty where it has ended by now. */
  function commandLine(pid: number): string {
    try {
      return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
    } catch {
      return '';
    }
  }

  /** The process that answers, as it is now. */
  function namesProcess(): number | undefined {
    const children = readFileSync(`/proc/${part.pid}/task/${part.pid}/children`, 'utf8').trim().split(' ');
    return children.map(Number).find((pid) => pid > 0 && commandLine(pid).includes('names-process.ts'));
  }

  async function listens(): Promise<boolean> {
    const { stdout } = await gateway.run(['ss', '-Htuln', 'sport = 53']);
    return stdout.trim().split('\n').length === 4;
  }

  async function tunnel(): Promise<void> {
    await gateway.ip('tuntap', 'add', 'mode', 'tun', 'name', 'sallyport0');
    await gateway.address('sallyport0', '10.77.0.1/16', 'fd12:3456:789a:1::1/64');
    await gateway.ip('link', 'set', 'sallyport0', 'up');
  }

  test('waits for its addresses, gives up root, and answers', async () => {
    order({ upstreams: ['udp://192.0.2.53:53'] });
    const settings = JSON.stringify({ port: 53, folder: data, user: { uid: UID, gid: UID }, logLevel: 'debug' });
    part = await gateway.start([join(root, 'scripts/node'), join(import.meta.dirname, 'names-part-run.ts'), settings, orders]); // prettier-ignore
    const pid = await until('the process', namesProcess);
    await new Promise((done) => setTimeout(done, 1000));
    assert.equal(await listens(), false);
    assert.equal(namesProcess(), pid, 'it waits');
    await tunnel();
    await until('its sockets', listens);
    await until('an unprivileged user', () => processPrivileges(pid)[0]?.userIds[0] === UID);
    const threads = processPrivileges(pid);
    assert.ok(threads.length > 1);
    assert.deepEqual(threads.flatMap((thread) => excessPrivileges(thread, UID, UID)), []); // prettier-ignore
    assert.deepEqual(await ask('A', ['www.example.com', 'alias.example.com', 'none.example.com']), [['192.0.2.80'], ['192.0.2.80'], 'ENOTFOUND']); // prettier-ignore
    assert.deepEqual(await ask('AAAA', ['www.example.com'], ADDRESSES[1]), [['2001:db8::80']]);
    const [texts] = (await ask('TXT', ['long.example.com'])) as string[][][];
    assert.equal(texts?.length, 10, 'longer than a datagram: by TCP on both ways');
  });

  test('answers nobody but its clients', async () => {
    await internet.ip('route', 'add', '10.77.0.0/16', 'via', '192.0.2.10');
    const outside = await ask('A', ['www.example.com'], ADDRESSES[0], internet);
    assert.deepEqual(outside, ['ETIMEOUT']);
    order({ upstreams: ['udp://192.0.2.53:53'] }, ADDRESSES, [...CLIENTS, '192.0.2.0/24']);
    await until('answers to a client', async () => JSON.stringify(await ask('A', ['www.example.com'], ADDRESSES[0], internet)) === '[["192.0.2.80"]]'); // prettier-ignore
  });

  test('follows the orders: another plan at once, by itself; other addresses as another process', async () => {
    const pid = namesProcess();
    order({ upstreams: ['udp://[2001:db8::53]:53'], blocked: ['www.example.com'], hosts: [{ name: 'db.corp', addresses: ['10.77.0.9'] }] }); // prettier-ignore
    await until('the plan', async () => JSON.stringify(await ask('A', ['www.example.com', 'db.corp'])) === '["ENOTFOUND",["10.77.0.9"]]'); // prettier-ignore
    assert.equal(namesProcess(), pid);
    await gateway.address('sallyport0', '10.77.0.2/16');
    order({ upstreams: ['udp://192.0.2.53:53'] }, ['10.77.0.2']);
    await until('another process', () => namesProcess() !== undefined && namesProcess() !== pid);
    await until('its answers', async () => JSON.stringify(await ask('A', ['www.example.com'], '10.77.0.2')) === '[["192.0.2.80"]]'); // prettier-ignore
    assert.deepEqual(await ask('A', ['www.example.com'], '10.77.0.1'), ['ECONNREFUSED']);
    order({ upstreams: ['udp://192.0.2.53:53'] });
    await until('the first addresses', async () => JSON.stringify(await ask('A', ['www.example.com'])) === '[["192.0.2.80"]]'); // prettier-ignore
  });

  test('stays when the interface goes and comes again, and is started again when it dies', async () => {
    const pid = namesProcess() ?? 0;
    await gateway.ip('link', 'delete', 'sallyport0');
    await tunnel();
    assert.deepEqual(await ask('A', ['www.example.com']), [['192.0.2.80']]);
    assert.equal(namesProcess(), pid);
    process.kill(pid, 'SIGKILL');
    await until('another one', () => namesProcess() !== undefined && namesProcess() !== pid);
    await until('its answers', async () => JSON.stringify(await ask('A', ['www.example.com'])) === '[["192.0.2.80"]]');
  });

  test('keeps block lists in its own folder, and says nothing about who asked for what', async () => {
    const page = join(folder, 'list.txt');
    writeFileSync(page, 'ads.example.com\nwww.example.com\n');
    const server = `require('node:http').createServer((q, r) => r.end(require('node:fs').readFileSync('${page}'))).listen(8080, '192.0.2.53')`; // prettier-ignore
    await internet.start([join(root, 'scripts/node'), '-e', server]);
    await until('the web server', async () => (await internet.run(['ss', '-Htln', 'sport = 8080'])).stdout !== '');
    order({ upstreams: ['udp://192.0.2.53:53'], blockLists: ['http://192.0.2.53:8080/list'] });
    await until('the list', async () => JSON.stringify(await ask('A', ['www.example.com'])) === '["ENOTFOUND"]');
    const [file = ''] = readdirSync(data);
    const { uid, mode } = statSync(join(data, file));
    assert.deepEqual([uid, mode & 0o777, readFileSync(join(data, file), 'utf8')], [UID, 0o600, readFileSync(page, 'utf8')]); // prettier-ignore
    assert.doesNotMatch(part.stderr, /example\.com|ads\.|10\.77\.0\.9/);
    assert.match(part.stderr, /2 names of block lists are blocked/);
  });

  test('ends when nobody wants it, and with the supervisor', async () => {
    order(undefined);
    await until('its end', () => namesProcess() === undefined);
    order({ upstreams: ['udp://192.0.2.53:53'] });
    const pid = await until('another one', namesProcess);
    await until('its sockets', listens);
    part.signal('SIGTERM');
    assert.equal((await part.end()).code, 0);
    assert.equal(existsSync(`/proc/${pid}`), false);
  });
});
