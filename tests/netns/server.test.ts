/** The whole of `sallyport server`, as root in a namespace: what each process may do, what survives what, what is left. */
import assert from 'node:assert/strict';
import { chmodSync, lstatSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { sliceOf } from '@sallyport/io';
import { Laboratory, until, wire, type NetworkNamespace } from '@sallyport/netlab';
import { excessPrivileges, processPrivileges } from '@sallyport/privileged';
import { defaultWorkers } from '@sallyport/runtime';
import { dataFolder, isAlive, Server } from './server-world.ts';

const LISTEN = '127.0.0.1:8443';
const CONTROL_UID = 64_871;
const GATEWAY_UID = 64_872;
const NAMES_UID = 64_874;
/** capabilities(7) */
const CAP_NET_ADMIN = 1n << 12n;
const CAP_DAC_READ_SEARCH = 1n << 2n;

describe('sallyport server', () => {
  let laboratory: Laboratory;
  let namespace: NetworkNamespace;
  let neighbour: NetworkNamespace;
  let untouched = '';
  const data = dataFolder();

  before(async () => {
    laboratory = Laboratory.open();
    namespace = await laboratory.namespace('server');
    neighbour = await laboratory.namespace('neighbour');
    await wire(
      { namespace, name: 'eth0', addresses: ['192.0.2.10/24', '2001:db8::10/64'] },
      { namespace: neighbour, name: 'eth0', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
    );
    untouched = await rules();
  });
  after(async () => {
    await laboratory.close();
    data.remove();
  });
  // What a test that failed has left running doesn't fail the next ones too.
  afterEach(async () => {
    const { stdout } = await laboratory.run(['ip', 'netns', 'pids', namespace.name]);
    const left = stdout
      .split('\n')
      .filter((line) => line !== '')
      .map(Number);
    for (const pid of left) endNow(pid);
    await until('the end of what was left', () => !left.some(isAlive));
  });

  /** Where it has not ended by itself. */
  function endNow(pid: number): void {
    try {
      process.kill(pid, 'SIGKILL');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
    }
  }

  /**
   * The processes of a server once all of them are there and hear signals: the name server comes with the gateway's first
   * state, and is the last.
   */
  function allProcesses(server: Server): Promise<Record<string, number>> {
    return until('all processes', () => {
      const found = server.processes();
      if (!server.process.stderr.includes('names are answered')) return false;
      return ['carrier', 'control', 'gateway', 'helper', 'names'].every((name) => name in found) && found;
    });
  }

  const options = ['--data', data.path, '--listen', LISTEN];

  /** What the kernel is told beside interfaces and packet filter. */
  async function rules(): Promise<string> {
    const parts = [await namespace.ip('-4', 'rule'), await namespace.ip('-6', 'rule')];
    for (const key of ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding']) {
      parts.push((await namespace.run(['cat', `/proc/sys/${key}`])).stdout);
    }
    return parts.join('');
  }

  async function leavesNothing(pids: readonly number[]): Promise<void> {
    assert.deepEqual(pids.filter(isAlive), [], 'processes');
    assert.equal((await namespace.run(['nft', 'list', 'tables'])).stdout, '');
    const links = JSON.parse(await namespace.ip('-json', 'link')) as { ifname: string }[];
    assert.deepEqual(links.map(({ ifname }) => ifname).sort(), ['eth0', 'lo']);
    assert.equal(await rules(), untouched);
  }

  test('becomes ready, is set up, and keeps what it has across a restart', async () => {
    const first = await Server.start(namespace, options);
    assert.equal(first.facts.control?.url, `https://${LISTEN}`);
    assert.match(first.facts.control.setupUrl ?? '', /^https:\/\/127\.0\.0\.1:8443\/setup#spf_/);
    assert.deepEqual([first.facts.gateway?.port, first.facts.gateway?.connected], [51_820, true]);
    assert.equal((await first.call('GET', '/readyz')).status, 200);
    const token = await first.setUp();
    const again = {
      token: first.facts.control.setupUrl?.split('#')[1],
      name: 'second',
      password: 'correct horse battery',
    };
    assert.equal((await first.call('POST', '/api/v1/setup', again)).status, 410, 'the link works once');

    const gateways = async (server: Server): Promise<{ name: string; health: string; endpointHost: string }[]> =>
      ((await server.call('GET', '/api/v1/gateways', undefined, token)).body as { items: [] }).items;
    const [gateway, ...others] = await gateways(first);
    assert.deepEqual(others, []);
    assert.equal(gateway?.endpointHost, '192.0.2.10', 'devices are told an address that leads here');
    // They come with the first state, a moment after the link.
    const routes = () => namespace.ip('-6', 'route', 'show', 'dev', 'sallyport0');
    const pools = await until('the pools', async () => {
      const shown = await routes();
      return /^fd[0-9a-f]{2}:/m.test(shown) && shown;
    });
    await first.stop();

    const second = await Server.start(namespace, options);
    assert.equal(second.facts.control?.setupUrl, null, 'there is an administrator');
    assert.equal(second.facts.control.fingerprint, first.facts.control.fingerprint);
    assert.equal((await gateways(second)).length, 1, 'the gateway is the one of before');
    await until('the pools of before', async () => (await routes()) === pools);
    await second.stop();
    await leavesNothing(Object.values(second.facts.processes));
    assert.doesNotMatch(first.process.stderr + second.process.stderr, /spj_|spf_/, 'no token is logged');
  });

  test('no process that parses what comes from the network has privileges', async () => {
    const server = await Server.start(namespace, options);
    const { supervisor = 0, control = 0, helper = 0, gateway = 0 } = server.facts.processes;
    // Its addresses come with the gateway's first state, and it is root until it has them.
    const names = await until('the name server', () => {
      const { names: pid = 0 } = server.processes();
      return pid !== 0 && processPrivileges(pid)[0]?.userIds[0] === NAMES_UID && pid;
    });
    for (const [pid, uid] of [
      [control, CONTROL_UID],
      [gateway, GATEWAY_UID],
      [names, NAMES_UID],
    ] as const) {
      const threads = processPrivileges(pid);
      assert.ok(threads.length > 1);
      assert.deepEqual(
        threads.flatMap((thread) => excessPrivileges(thread, uid, uid)),
        [],
      );
    }
    for (const thread of processPrivileges(helper)) {
      assert.deepEqual(thread.userIds, [0, 0, 0, 0]);
      assert.ok(thread.noNewPrivileges);
      assert.equal(thread.bounding & ~(CAP_NET_ADMIN | CAP_DAC_READ_SEARCH), 0n);
      assert.equal(thread.effective & ~(CAP_NET_ADMIN | CAP_DAC_READ_SEARCH), 0n);
    }
    assert.deepEqual(Object.keys(server.processes()).sort(), ['carrier', 'control', 'gateway', 'helper', 'names']);
    // The supervisor and the helper have no socket of the network.
    for (const pid of [supervisor, helper]) {
      const { stdout } = await namespace.run(['ss', '-Htulnp']);
      assert.doesNotMatch(stdout, new RegExp(`pid=${String(pid)},`));
    }
    // Each has a folder of its own, which is closed to the other.
    for (const [name, uid] of [
      ['control', CONTROL_UID],
      ['gateway', GATEWAY_UID],
      ['names', NAMES_UID],
    ] as const) {
      const folder = join(data.path, name);
      assert.deepEqual([statSync(folder).uid, statSync(folder).mode & 0o777], [uid, 0o700], name);
      for (const file of readdirSync(folder, { recursive: true, encoding: 'utf8' })) {
        // What was written to take the place of another has its name by now.
        const found = lstatSync(join(folder, file), { throwIfNoEntry: false });
        if (found !== undefined) assert.deepEqual([found.uid, found.mode & 0o077], [uid, 0], file);
      }
    }
    assert.equal(statSync(data.path).uid, 0);
    await server.stop();
  });

  test('the threads that carry packets, and they alone, take the processor when they wake', async (t) => {
    if (sliceOf(process.pid) === 0) {
      t.skip('this kernel has no slices: it takes Linux 6.12');
      return;
    }
    const server = await Server.start(namespace, options);
    const isShort = (slice: number): boolean => slice > 0 && slice < sliceOf(process.pid);
    const processes = await allProcesses(server);
    const short = (): { name: string; main: boolean }[] =>
      Object.entries(processes).flatMap(([name, pid]) =>
        readdirSync(`/proc/${String(pid)}/task`)
          .map(Number)
          .filter((thread) => isShort(sliceOf(thread)))
          .map((thread) => ({ name, main: thread === pid })),
      );
    await until('the workers', () => short().length >= defaultWorkers());
    assert.deepEqual(
      short(),
      Array.from({ length: defaultWorkers() }, () => ({ name: 'gateway', main: false })),
    );
    await server.stop();
  });

  test('the control plane is started again, and the gateway keeps its tunnel meanwhile', async () => {
    const server = await Server.start(namespace, options);
    const before = await allProcesses(server);
    const interfaceIndex = async (): Promise<number> => {
      const [link] = JSON.parse(await namespace.ip('-json', 'link', 'show', 'sallyport0')) as { ifindex: number }[];
      return link?.ifindex ?? 0;
    };
    const index = await interfaceIndex();
    process.kill(before['control'] ?? 0, 'SIGKILL');
    const control = await until('another control plane', () => {
      const { control: pid } = server.processes();
      return pid !== undefined && pid !== before['control'] && pid;
    });
    assert.equal(await interfaceIndex(), index);
    await until('its readiness', async () => (await server.call('GET', '/readyz')).status === 200);
    await until('the link', () => server.process.stderr.split('linked to the control plane').length === 3);
    assert.deepEqual(server.processes(), { ...before, control });
    assert.equal(await interfaceIndex(), index);
    await server.stop();
    await leavesNothing([...Object.values(before), control]);
  });

  test('the gateway is started again with its helper', async () => {
    for (const victim of ['gateway', 'helper']) {
      const server = await Server.start(namespace, options);
      const before = await allProcesses(server);
      process.kill(before[victim] ?? 0, 'SIGKILL');
      const now = await until('another gateway', async () => {
        const { gateway, helper } = server.processes();
        if (gateway === undefined || helper === undefined) return false;
        if (gateway === before['gateway'] || helper === before['helper']) return false;
        const table = await namespace.run(['nft', 'list', 'table', 'inet', 'sallyport'], { allowFailure: true });
        const link = await namespace.run(['ip', 'link', 'show', 'sallyport0', 'up'], { allowFailure: true });
        return table.code === 0 && link.stdout !== '' && { gateway, helper };
      });
      assert.equal(server.processes()['control'], before['control']);
      await server.stop();
      await leavesNothing([...Object.values(before), ...Object.values(now)]);
    }
  });

  test('what a gateway that was killed has left is taken away at the end', async () => {
    const server = await Server.start(namespace, options);
    const before = await allProcesses(server);
    process.kill(before['gateway'] ?? 0, 'SIGKILL');
    server.process.signal('SIGTERM');
    assert.equal((await server.process.end()).code, 0);
    await leavesNothing(Object.values(before));
  });

  test('a supervisor that is killed takes its processes along', async () => {
    const server = await Server.start(namespace, options);
    const before = await allProcesses(server);
    // The gateway finds the control plane and the supervisor gone in the same moment, and can tell nobody.
    process.kill(before['gateway'] ?? 0, 'SIGSTOP');
    server.process.signal('SIGKILL');
    await delay(500);
    process.kill(before['gateway'] ?? 0, 'SIGCONT');
    await until('their end', () => Object.values(before).every((pid) => !isAlive(pid)));
    // What was there before is each namespace's own, though its interface has the same name, and /run is one.
    const elsewhere = await Server.start(neighbour, ['--data', `${data.path}-elsewhere`, '--listen', LISTEN]);
    await elsewhere.stop();
    const next = await Server.start(namespace, options);
    await next.stop();
    await leavesNothing(Object.values(before));
  });

  test('a signal to all processes at once ends it in order too', async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      const server = await Server.start(namespace, options);
      const before = await allProcesses(server);
      server.process.signalGroup(signal);
      assert.equal((await server.process.end()).code, 0);
      assert.doesNotMatch(server.process.stderr, /started again/);
      await leavesNothing(Object.values(before));
    }
  });

  test('without a gateway, without a control plane', async () => {
    const alone = await Server.start(namespace, [...options, '--no-gateway']);
    assert.equal(alone.facts.gateway, null);
    assert.deepEqual(Object.keys(alone.processes()), ['control']);
    await alone.stop();
    const file = laboratory.file('gateway.toml', '[control]\nenabled = false\n');
    const lost = await Server.launch(namespace, [...options, '--config', file]);
    assert.equal((await lost.end()).code, 1);
    assert.match(lost.stderr, /belongs to no service yet.*sallyport gateway join URL TOKEN/);
  });

  describe('says what to do where it can not start:', () => {
    async function failure(argv: readonly string[], code = 1): Promise<string> {
      const process = await Server.launch(namespace, argv);
      assert.equal((await process.end()).code, code, process.stderr);
      return process.stderr;
    }

    test('a port that is taken', async () => {
      const other = await Server.start(namespace, ['--data', `${data.path}2`, '--listen', LISTEN, '--no-gateway']);
      assert.match(await failure(options), /can't listen on 127\.0\.0\.1:8443: another program listens there/);
      await other.stop();
      const gateway = await Server.start(namespace, options);
      const second = ['--data', `${data.path}2`, '--listen', '127.0.0.1:8445'];
      assert.match(
        await failure(second),
        /this machine can't be a gateway yet:\n.*interface name: sallyport0 exists already; [^]*UDP port 51820: is taken; /,
      );
      await gateway.stop();
    });

    test('a data folder below one that is closed', async () => {
      const open = dataFolder();
      chmodSync(join(open.path, '..'), 0o700);
      const said = await failure(['--data', open.path, '--listen', LISTEN]);
      assert.match(said, /is closed to other users.*chmod o\+x .* or name another folder with --data/);
      open.remove();
    });

    test('a faulty configuration', async () => {
      const file = laboratory.file('faulty.toml', '[web]\ntls = "fils"\n[gatway]\n');
      assert.equal(
        await failure(['--config', file], 65),
        `${file}:2: web.tls: choose "self-signed", "files", "acme" or "off"\n` +
          `${file}:3: gatway: unknown key; did you mean "gateway"?\n`,
      );
    });

    test('a certificate that can not be used', async () => {
      const pem = laboratory.file('pem', 'no certificate');
      const text = `[web]\ntls = "files"\ncertificate = "${pem}"\nkey = "${pem}"\n`;
      const file = laboratory.file('files.toml', text);
      assert.match(await failure([...options, '--config', file]), /certificate and key can't be used/);
      writeFileSync(file, text.replaceAll(pem, '/nonexistent'));
      assert.match(await failure([...options, '--config', file]), /web\.certificate: \/nonexistent can't be read/);
    });

    test('pools that are not those of the first start', async () => {
      const file = laboratory.file('pools.toml', '[network]\npool4 = "10.99.0.0/16"\n');
      assert.match(await failure([...options, '--config', file]), /was set to 10\.77\.0\.0\/16 at its first start/);
    });
  });
});
