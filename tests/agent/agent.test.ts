import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { generateKeyPairSync } from 'node:crypto';
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { device, GATEWAY, startGateway, temporaryDirectory, until, VirtualControl, type RunningGateway } from './agent-world.ts'; // prettier-ignore

let control: VirtualControl;
let directory: ReturnType<typeof temporaryDirectory>;
const running: RunningGateway[] = [];

beforeEach(async () => {
  control = new VirtualControl();
  await control.listen();
  directory = temporaryDirectory();
});
afterEach(async () => {
  for (const gateway of running.splice(0)) await gateway.stop();
  await control.close();
  directory.remove();
});

async function start(options: Parameters<typeof startGateway>[2] = {}): Promise<RunningGateway> {
  const gateway = await startGateway(control, directory.path, options);
  running.push(gateway);
  return gateway;
}

async function linked(options: Parameters<typeof startGateway>[2] = {}): Promise<RunningGateway> {
  const gateway = await start(options);
  await until('linked', () => gateway.links.at(-1) === true, gateway.clock);
  return gateway;
}

describe('joining', () => {
  test('a token joins, and afterwards the key is enough', async () => {
    const first = await linked();
    assert.equal(control.of('hello')[0]?.token, control.token.split('.')[0]);
    assert.equal(control.of('hello')[0]?.stateVersion, 0);
    const hash = control.link.peerKeyHash;
    assert.equal(await first.stop(), undefined);
    await linked({ token: undefined });
    assert.equal(control.link.peerKeyHash, hash);
    assert.equal(control.of('hello')[1]?.token, undefined);
    for (const file of ['link.key', 'membership.json'])
      assert.equal(statSync(join(directory.path, file)).mode & 0o777, 0o600);
  });

  test('a control plane with another key hears nothing', async () => {
    const other = new VirtualControl();
    await other.listen();
    try {
      const gateway = await start({ token: other.token });
      await gateway.clock.pass(100);
      await until('several attempts', () => control.connections > 2, gateway.clock);
      assert.deepEqual(control.heard, []);
      assert.deepEqual(gateway.links, []);
    } finally {
      await other.close();
    }
  });

  test('without token and membership it does not start; a token that is refused ends it', async () => {
    await assert.rejects(startGateway(control, directory.path, { token: undefined }), { code: 'configuration', message: /gateway join/ }); // prettier-ignore
    await assert.rejects(startGateway(control, directory.path, { token: 'spj_x' }), { code: 'configuration' });
    control.answer = (link) => {
      link.send({ kind: 'goodbye', reason: 'tokenRefused', message: 'used already' });
      link.close();
    };
    const gateway = await start();
    const error = await gateway.ended;
    assert.match(error?.message ?? '', /refused the join token: used already/);
  });
});

describe('the desired state', () => {
  test('a snapshot and deltas are brought into force, in an order that opens nothing', async () => {
    const { notes, kernel, agent, tunnel } = await linked();
    control.snapshot(1, { putDevices: [device(1), device(2)] });
    await until('acknowledged', () => control.acknowledged(1));
    assert.deepEqual(notes.lines, ['filter d1 d2', 'admit d1', 'admit d2']);
    assert.deepEqual(
      kernel.requests.map(({ kind }) => kind),
      ['setFirewall', 'configureInterface', 'enableForwarding'],
    );
    assert.deepEqual(kernel.requests[1], { kind: 'configureInterface', addresses: ['100.64.0.1/32', 'fd00::1/128'], routes: ['100.64.0.0/10', 'fd00::/64'], mtu: 1420 }); // prettier-ignore
    notes.lines.length = 0;
    control.delta(2, 1, { putDevices: [device(3)], removeDevices: ['d1'] });
    await until('acknowledged', () => control.acknowledged(2));
    assert.deepEqual(notes.lines, ['refuse d1', 'filter d2 d3', 'admit d3']);
    assert.equal(agent.stateVersion, 2);
    assert.deepEqual([...tunnel.admitted], ['d2', 'd3']);
    assert.ok(kernel.plans.every(({ devices }) => devices.every((entry) => !('publicKey' in entry))));
  });

  test('the filter is told differences, and everything again where the helper has another plan', async () => {
    const { notes, kernel, clock } = await linked();
    control.snapshot(1, { putDevices: [device(1), device(2)] });
    await until('acknowledged', () => control.acknowledged(1));
    kernel.requests.length = 0;
    const filter = () => kernel.requests.filter(({ kind }) => kind.endsWith('Firewall'));
    control.delta(2, 1, { putDevices: [device(3), device(2, { validUntil: 1e15 })], removeDevices: ['d1'] });
    await until('acknowledged', () => control.acknowledged(2));
    control.delta(3, 2, { putGroups: [{ id: 'g', grants: [] }] });
    await until('acknowledged', () => control.acknowledged(3));
    const nothing = { putGroups: [], removeGroups: [], putDevices: [], removeDevices: [] };
    const { publicKey: _, ...told } = device(3);
    assert.deepEqual(filter(), [
      // What the filter is not told of has not changed for it.
      { kind: 'changeFirewall', revision: 1, change: { ...nothing, putDevices: [told], removeDevices: ['d1'] } },
      { kind: 'changeFirewall', revision: 2, change: { ...nothing, putGroups: [{ id: 'g', grants: [] }] } },
    ]);
    kernel.requests.length = 0;
    notes.lines.length = 0;
    kernel.revision = 77;
    control.delta(4, 3, { removeDevices: ['d2'] });
    await until('acknowledged', () => control.acknowledged(4));
    assert.deepEqual(
      filter().map(({ kind }) => kind),
      ['changeFirewall', 'setFirewall'],
    );
    assert.deepEqual(notes.lines, ['refuse d2', 'filter d3']);
    // After whatever failed, too.
    kernel.requests.length = 0;
    kernel.fault = 'no';
    control.delta(5, 4, { putDevices: [device(4)] });
    await until('it has failed', () => filter().length === 1);
    kernel.fault = undefined;
    await clock.pass(500);
    await until('acknowledged', () => control.acknowledged(5));
    assert.deepEqual(
      filter().map(({ kind }) => kind),
      ['changeFirewall', 'setFirewall'],
    );
    assert.deepEqual(
      kernel.plans.at(-1)?.devices.map(({ id }) => id),
      ['d3', 'd4'],
    );
  });

  test('a device that comes back before the filter is changed is admitted again', async () => {
    const { tunnel } = await linked();
    control.snapshot(1, { putDevices: [device(1), device(2)] });
    await until('acknowledged', () => control.acknowledged(1));
    control.delta(2, 1, { removeDevices: ['d1'] });
    control.delta(3, 2, { putDevices: [device(1)] });
    await until('acknowledged', () => control.acknowledged(3));
    assert.deepEqual([...tunnel.admitted].sort(), ['d1', 'd2']);
  });

  test('a device with a new key is refused before it is admitted; one whose groups change stays connected', async () => {
    const { notes } = await linked();
    control.snapshot(1, { putDevices: [device(1), device(2)] });
    await until('acknowledged', () => control.acknowledged(1));
    notes.lines.length = 0;
    control.delta(2, 1, { putDevices: [device(1, { publicKey: device(9).publicKey }), device(2, { groups: ['g'] })] });
    await until('acknowledged', () => control.acknowledged(2));
    assert.deepEqual(notes.lines, [
      'refuse d1',
      'filter d2 d1'.split(' ').length > 0 ? 'filter d1 d2' : '',
      'admit d1',
    ]);
  });

  test('a snapshot on top of a state drops nobody who is in both', async () => {
    const { notes } = await linked();
    control.snapshot(1, { putDevices: [device(1), device(2)] });
    await until('acknowledged', () => control.acknowledged(1));
    notes.lines.length = 0;
    control.snapshot(5, { putDevices: [device(2), device(3)] });
    await until('acknowledged', () => control.acknowledged(5));
    assert.deepEqual(notes.lines, ['refuse d1', 'filter d2 d3', 'admit d3']);
  });

  test('while the filter is busy only the newest waits, and who is removed meanwhile is never admitted', async () => {
    const { notes, kernel, tunnel } = await linked();
    control.snapshot(1);
    await until('acknowledged', () => control.acknowledged(1));
    let go!: () => void;
    kernel.hold = new Promise((resolve) => {
      go = resolve;
    });
    const before = kernel.plans.length;
    for (let version = 2; version < 40; version++)
      control.delta(version, version - 1, { putDevices: [device(version)] });
    control.delta(40, 39, { removeDevices: ['d2'] });
    await until('one is under way', () => kernel.underWay === 1);
    // What it can't use is answered behind all that came before.
    control.snapshot(1);
    await until('all have come', () => control.of('resync').length === 1);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(kernel.underWay, 1);
    assert.equal(control.acknowledged(2), false, 'acknowledged before it is in force');
    kernel.hold = undefined;
    go();
    await until('acknowledged', () => control.acknowledged(40));
    assert.equal(kernel.plans.length - before, 2);
    assert.ok(!notes.lines.includes('admit d2') && !tunnel.admitted.has('d2'));
    assert.equal(tunnel.admitted.size, 37);
  });

  test('what does not fit is refused and a snapshot asked for: base, replay, signature, name', async () => {
    const { agent, clock } = await linked();
    control.snapshot(4, { putDevices: [device(1)] });
    await until('acknowledged', () => control.acknowledged(4));
    const bad = [
      control.sign(6, 5, { putDevices: [device(2)] }),
      control.sign(4, 0, { gateway: GATEWAY }),
      control.sign(3, 0, { gateway: GATEWAY }),
      control.sign(5, 4, { putDevices: [device(2)] }, generateKeyPairSync('ed25519').privateKey),
      { ...control.sign(5, 4, { removeDevices: ['d1'] }), payload: control.sign(5, 4, { putDevices: [device(2)] }).payload }, // prettier-ignore
    ];
    control.gatewayId = 'other';
    bad.push(control.sign(5, 4, { putDevices: [device(2)] }));
    control.gatewayId = 'gw';
    for (const [number, message] of bad.entries()) {
      control.link.send(message);
      await clock.pass(11_000);
      await until('a demand for a snapshot', () => control.of('resync').length === number + 1, clock);
    }
    assert.equal(agent.stateVersion, 4);
    control.delta(5, 4, { removeDevices: ['d1'] });
    await until('acknowledged', () => control.acknowledged(5));
  });

  test('a filter that fails admits nobody, is told, and is tried again', async () => {
    const { kernel, tunnel, clock } = await linked();
    kernel.fault = 'nft said no';
    control.snapshot(1, { putDevices: [device(1)] });
    await until('an attempt', () => kernel.requests.length > 0);
    await clock.pass(6000);
    assert.equal(tunnel.admitted.size, 0);
    assert.equal(control.acknowledged(1), false);
    await until('told', () => control.of('report').some(({ problems, health }) => health === 'degraded' && /nft said no/.test(problems.join()))); // prettier-ignore
    kernel.fault = undefined;
    await until('acknowledged', () => control.acknowledged(1), clock);
    assert.ok(tunnel.admitted.has('d1'));
    await clock.pass(6000);
    await until('told', () => control.of('report').at(-1)?.health === 'healthy', clock);
  });

  test('a device is cut off when its time is over, by the gateway alone', async () => {
    const { clock, notes, tunnel } = await linked();
    control.snapshot(1, { putDevices: [device(1, { validUntil: clock.now() + 60_000 }), device(2), device(3, { validUntil: clock.now() - 1 })] }); // prettier-ignore
    await until('acknowledged', () => control.acknowledged(1));
    assert.deepEqual([...tunnel.admitted], ['d1', 'd2']);
    await control.close();
    await clock.pass(59_000);
    assert.ok(tunnel.admitted.has('d1'));
    notes.lines.length = 0;
    await clock.pass(1001);
    await until('cut off', () => notes.lines.includes('filter d2'));
    assert.deepEqual(notes.lines, ['refuse d1', 'filter d2']);
    await control.listen();
  });

  test('names resolve, are asked for again, and keep their last good answer', async () => {
    let answer: () => Promise<{ addresses: string[]; ttlSeconds: number }> = () =>
      Promise.resolve({ addresses: ['192.0.2.9'], ttlSeconds: 1 });
    let asked = 0;
    const { kernel, clock } = await linked({
      resolve: () => {
        asked++;
        return answer();
      },
    });
    const names = () => kernel.plans.at(-1)?.names;
    const grant = {
      rule: 'r',
      destination: { kind: 'name', name: 'db.internal' },
      protocol: 'any',
      ports: [],
    } as const;
    control.snapshot(1, { putGroups: [{ id: 'g', grants: [grant] }] });
    await until('resolved', () => JSON.stringify(names()) === '{"db.internal":["192.0.2.9"]}', clock);
    const before = asked;
    answer = () => Promise.reject(new Error('timed out'));
    await clock.pass(6000);
    assert.ok(asked > before);
    assert.deepEqual(names(), { 'db.internal': ['192.0.2.9'] });
    const nowhere = [
      '169.254.169.254',
      '127.0.0.1',
      '0.0.0.0',
      '224.0.0.1',
      '::1',
      'fe80::1',
      'ff02::1',
      '::ffff:10.0.0.1',
    ];
    answer = () => Promise.resolve({ addresses: ['192.0.2.10', '2001:db8::1', ...nowhere], ttlSeconds: 86_400 });
    await clock.pass(11_000);
    await until('renewed', () => names()?.['db.internal']?.[0] === '192.0.2.10', clock);
    assert.deepEqual(names()?.['db.internal'], ['192.0.2.10', '2001:db8::1']);
    control.delta(2, 1, { removeGroups: ['g'] });
    await until('gone', () => Object.keys(names() ?? { x: 1 }).length === 0, clock);
  });
});

describe('on its own', () => {
  test('it goes on without the control plane, comes back, and catches up by deltas', async () => {
    const { clock, tunnel, links } = await linked();
    control.snapshot(1, { putDevices: [device(1)] });
    await until('acknowledged', () => control.acknowledged(1));
    await control.close();
    await until('link down', () => links.at(-1) === false);
    await clock.pass(120_000);
    assert.ok(tunnel.admitted.has('d1'));
    await control.listen();
    await until('link up', () => links.at(-1) === true, clock);
    assert.equal(control.of('hello').at(-1)?.stateVersion, 1);
    control.delta(2, 1, { removeDevices: ['d1'] });
    await until('acknowledged', () => control.acknowledged(2));
    assert.equal(tunnel.admitted.size, 0);
  });

  test('across its own restart it serves the state of the file before there is a link', async () => {
    const first = await linked();
    control.snapshot(1, { putDevices: [device(1), device(2)] });
    control.delta(2, 1, { removeDevices: ['d1'], putDevices: [device(3)] });
    await until('acknowledged', () => control.acknowledged(2));
    await first.stop();
    await control.close();
    const second = await start({ token: undefined });
    assert.deepEqual([...second.tunnel.admitted], ['d2', 'd3']);
    assert.equal(second.agent.stateVersion, 2);
    await control.listen();
    await until('link up', () => second.links.at(-1) === true, second.clock);
    assert.equal(control.of('hello').at(-1)?.stateVersion, 2);
  });

  test('a file that somebody changed serves what comes before the change, or nobody', async () => {
    const first = await linked();
    control.snapshot(1, { putDevices: [device(1)] });
    control.delta(2, 1, { putDevices: [device(2)] });
    await until('acknowledged', () => control.acknowledged(2));
    await first.stop();
    const path = join(directory.path, 'state');
    const whole = readFileSync(path, 'utf8');
    writeFileSync(path, whole.slice(0, -40));
    const second = await start();
    assert.deepEqual([...second.tunnel.admitted], ['d1']);
    await second.stop();
    writeFileSync(path, whole.replace('100.64.0.2', '100.64.0.3'));
    const third = await start();
    assert.equal(third.agent.stateVersion, 0);
    assert.equal(third.tunnel.admitted.size, 0);
  });

  test('removed, it refuses everybody, puts its files aside and ends', async () => {
    const gateway = await linked();
    control.snapshot(1, { putDevices: [device(1)] });
    await until('acknowledged', () => control.acknowledged(1));
    control.link.send({ kind: 'goodbye', reason: 'removed', message: 'bye' });
    const error = await gateway.ended;
    assert.match(error?.message ?? '', /was removed from its control plane/);
    assert.deepEqual(gateway.notes.lines.slice(-2), ['refuse d1', 'filter']);
    assert.ok(!existsSync(join(directory.path, 'state')) && existsSync(join(directory.path, 'state.removed')));
    await assert.rejects(startGateway(control, directory.path, { token: undefined }), { code: 'configuration' });
  });

  test('without its helper it ends', async () => {
    const gateway = await linked();
    gateway.kernel.goAway();
    assert.equal(((await gateway.ended) as { code?: string } | undefined)?.code, 'helperGone');
  });
});

describe('a disk that is full', () => {
  test('is told, does not stop the service, and is mended by a snapshot once there is room', async (t) => {
    if (process.getuid?.() !== 0) {
      t.skip('root is needed to mount a small file system');
      return;
    }
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', directory.path]);
    try {
      const gateway = await linked();
      const { clock, tunnel } = gateway;
      control.snapshot(1, { putDevices: [device(1)] });
      await until('acknowledged', () => control.acknowledged(1));
      const filler = join(directory.path, 'filler');
      assert.throws(() => {
        writeFileSync(filler, Buffer.alloc(256 * 1024));
      }, /ENOSPC/);
      control.delta(2, 1, { putDevices: Array.from({ length: 60 }, (_, i) => device(i + 2)) });
      await until('in force all the same', () => control.acknowledged(2));
      assert.equal(tunnel.admitted.size, 61);
      control.delta(3, 2, { removeDevices: ['d1'] });
      await until('in force all the same', () => control.acknowledged(3));
      await until('told', () => /can't be stored/.test(control.of('report').at(-1)?.problems.join() ?? ''), clock);
      // It still holds what was whole.
      rmSync(filler);
      await until('a demand for a snapshot', () => control.of('resync').length > 0, clock);
      control.snapshot(4, { putDevices: [device(5)] });
      await until('acknowledged', () => control.acknowledged(4));
      await until('mended', () => control.of('report').at(-1)?.health === 'healthy', clock);
      await gateway.stop();
      const again = await start({ token: undefined });
      assert.equal(again.agent.stateVersion, 4);
      await again.stop();
    } finally {
      for (const gateway of running.splice(0)) await gateway.stop();
      execFileSync('umount', [directory.path]);
    }
  });
});

describe('reports', () => {
  const observed = (id: string, at: number, sent: number, received: number) => ({ deviceId: id, lastHandshakeAt: at, sentBytes: sent, receivedBytes: received }); // prettier-ignore

  test('carry differences, at once for a first handshake, and wait, merged, while nobody hears them', async () => {
    const { tunnel, clock, links } = await linked();
    const devices = () => control.of('report').flatMap((report) => report.devices);
    const total = (field: 'sentBytes' | 'receivedBytes') => devices().reduce((sum, entry) => sum + entry[field], 0);
    tunnel.observed.set('d1', observed('d1', clock.now(), 100, 50));
    await clock.pass(1100);
    await until('the first handshake', () => devices().length === 1);
    tunnel.observed.set('d1', observed('d1', clock.now(), 150, 60));
    await clock.pass(5500);
    await until('the difference', () => total('sentBytes') === 150);
    assert.equal(devices().at(-1)?.sentBytes, 50);
    // An answer to it proves that what was sent before it, that the report is stored, was taken in.
    control.snapshot(1);
    await until('acknowledged', () => control.acknowledged(1));
    await control.close();
    await until('link down', () => links.at(-1) === false);
    for (let i = 1; i <= 5; i++) {
      tunnel.observed.set('d1', observed('d1', clock.now(), 150 + i * 10, 60 + i));
      await clock.pass(6000);
    }
    await control.listen();
    await until('link up', () => links.at(-1) === true, clock);
    await until('what came meanwhile', () => total('sentBytes') === 200, clock);
    assert.equal(devices().at(-1)?.sentBytes, 50);
    assert.equal(total('receivedBytes'), 65);
    assert.equal(control.of('report').at(-1)?.load.activeDevices, 1);
  });

  test('more devices than one report holds go into several', async () => {
    const { tunnel, clock } = await linked();
    for (let i = 0; i < 4500; i++) tunnel.observed.set(`d${i}`, observed(`d${i}`, clock.now(), i, 1));
    await clock.pass(1100);
    const devices = () => control.of('report').flatMap((report) => report.devices);
    await until('all', () => devices().length === 4500);
    assert.equal(new Set(devices().map(({ id }) => id)).size, 4500);
    assert.ok(control.of('report').every((report) => report.devices.length <= 2000));
  });

  const numbered = () => control.of('report').filter(({ number }) => number !== undefined);

  test('what was not said to be stored is sent again as it was, before what is newer', async () => {
    control.stores = false;
    const { tunnel, clock, links } = await linked();
    tunnel.observed.set('d1', observed('d1', clock.now(), 100, 50));
    await clock.pass(1100);
    await until('the first report', () => numbered().length === 1);
    tunnel.observed.set('d1', observed('d1', clock.now(), 130, 50));
    await clock.pass(5500);
    await until('the second report', () => numbered().length === 2);
    const [first, second] = numbered();
    assert.ok((first?.number ?? 0) >= 1_700_000_000_000);
    control.link.send({ kind: 'stored', number: first?.number ?? 0 });
    // An answer to it proves that what was sent before it was taken in.
    control.snapshot(1);
    await until('acknowledged', () => control.acknowledged(1));

    await control.close();
    await until('link down', () => links.at(-1) === false);
    tunnel.observed.set('d1', observed('d1', clock.now(), 137, 50));
    await control.listen();
    await until('link up', () => links.at(-1) === true, clock);
    await until('the others', () => numbered().length === 4, clock);
    const [again, third] = numbered().slice(2);
    assert.deepEqual([again?.number, again?.devices], [second?.number, second?.devices]);
    assert.equal(third?.devices[0]?.sentBytes, 7);
    assert.ok((third?.number ?? 0) > (second?.number ?? 0));
  });

  test('while nothing is stored what is kept stays small, and nothing of it is lost', async () => {
    control.stores = false;
    const { tunnel, clock } = await linked();
    let sent = 0;
    for (let round = 0; round < 80; round++) {
      sent += 10;
      tunnel.observed.set('d1', observed('d1', clock.now(), sent, 0));
      await clock.pass(5100);
    }
    const before = control.of('report').length;
    assert.equal(numbered().length, 64);
    await clock.pass(5100);
    await until('a sign of life', () => control.of('report').length > before);
    control.stores = true;
    control.link.send({ kind: 'stored', number: numbered().at(-1)?.number ?? 0 });
    await until('the rest', () => numbered().length > 64, clock);
    assert.equal(numbered().reduce((sum, { devices }) => sum + (devices[0]?.sentBytes ?? 0), 0), sent); // prettier-ignore
  });

  test('what is counted while the control plane is away outlasts a restart, and numbers never go back', async () => {
    const first = await linked();
    first.tunnel.observed.set('d1', observed('d1', first.clock.now(), 100, 50));
    await first.clock.pass(1100);
    await until('the first report', () => numbered().length === 1);
    control.snapshot(1);
    await until('acknowledged', () => control.acknowledged(1));
    await control.close();
    await until('link down', () => first.links.at(-1) === false);
    first.tunnel.observed.set('d1', observed('d1', first.clock.now(), 140, 50));
    assert.equal(await first.stop(), undefined);

    // Its clock starts where that of the first run had started.
    await control.listen();
    const second = await linked();
    second.tunnel.observed.set('d1', observed('d1', second.clock.now(), 3, 0));
    await until('both', () => numbered().length === 3, second.clock);
    assert.deepEqual(numbered().map(({ devices }) => devices[0]?.sentBytes), [100, 40, 3]); // prettier-ignore
    const numbers = numbered().map(({ number }) => number ?? 0);
    assert.deepEqual([...numbers].sort(), numbers);
    assert.equal(new Set(numbers).size, 3);
  });

  test('reports that were taken for those of an earlier run, by a clock gone back, get new numbers', async () => {
    control.stores = false;
    const { tunnel, clock } = await linked();
    tunnel.observed.set('d1', observed('d1', clock.now(), 100, 50));
    await clock.pass(1100);
    await until('the first report', () => numbered().length === 1);
    const ahead = (numbered()[0]?.number ?? 0) + 1_000_000;
    control.link.send({ kind: 'stored', number: ahead });
    await until('the same once more', () => numbered().length === 2);
    assert.equal(numbered()[1]?.number, ahead + 1);
    assert.deepEqual(numbered()[1]?.devices, numbered()[0]?.devices);
  });

  test('a group with an egress address of its own and no default for the others is told', async () => {
    const { agent } = await linked({ ownAddresses: () => ['198.51.100.7'] });
    const egress = { ipv4: '198.51.100.7' };
    const reserved = (): string[] => agent.problems.filter((problem) => problem.includes('default egress'));
    control.snapshot(1, { putDevices: [{ ...device(1), egress }] });
    await until('acknowledged', () => control.acknowledged(1));
    assert.match(reserved().join(), /IPv4/);
    assert.doesNotMatch(reserved().join(), /IPv6/);
    control.snapshot(2, { gateway: { ...GATEWAY, egress }, putDevices: [{ ...device(1), egress }] });
    await until('acknowledged', () => control.acknowledged(2));
    assert.deepEqual(agent.problems, []);
  });

  test('an egress address that the machine lacks is told, until it has it', async () => {
    let own = ['192.0.2.1'];
    const { clock } = await linked({ ownAddresses: () => own });
    control.snapshot(1, { gateway: { ...GATEWAY, egress: { ipv4: '198.51.100.7' } } });
    await until('acknowledged', () => control.acknowledged(1));
    await clock.pass(6000);
    await until('told', () => /198\.51\.100\.7/.test(control.of('report').at(-1)?.problems.join() ?? ''), clock);
    own = ['192.0.2.1', '198.51.100.7'];
    await clock.pass(6000);
    await until('mended', () => control.of('report').at(-1)?.health === 'healthy', clock);
  });

  test('metrics say what is served', async () => {
    const { agent, tunnel, clock } = await linked();
    control.snapshot(7, { putDevices: [device(1)] });
    await until('acknowledged', () => control.acknowledged(7));
    tunnel.observed.set('d1', observed('d1', clock.now(), 11, 22));
    const text = await agent.metrics.registry.metrics();
    for (const line of [
      'sallyport_gateway_state_version 7',
      'sallyport_gateway_link_up 1',
      'sallyport_gateway_devices 1',
      'sallyport_gateway_active_devices{protocol="wireguard"} 1',
      'sallyport_gateway_bytes_total{protocol="wireguard",direction="in"} 11',
      'sallyport_gateway_bytes_total{protocol="wireguard",direction="out"} 22',
      'sallyport_gateway_drops_total{protocol="wireguard",reason="noRoute"} 3',
      'sallyport_gateway_apply_seconds_count 1',
    ])
      // prettier-ignore
      assert.ok(text.includes(line), `${line} is missing in:\n${text}`);
    assert.ok(!text.includes('d1') && !text.includes('100.64'));
  });
});

describe('the tunnel’s services', () => {
  test('the tunnel service is at the gateway’s addresses, names are told of, and the filter lets both through', async () => {
    const { sockets, names, kernel, agent } = await linked();
    control.snapshot(1, { putDevices: [device(1)] });
    await until('in force', () => control.acknowledged(1));
    assert.deepEqual([...sockets.bound.keys()], [GATEWAY.address4, GATEWAY.address6]);
    const service = { addresses: [GATEWAY.address4, GATEWAY.address6], clients: [GATEWAY.pool4, GATEWAY.pool6] };
    assert.deepEqual(names, [service]);
    assert.deepEqual(kernel.plans.at(-1)?.tunnelPorts, { udp: [51_819], tcp: [] });

    const plan = { upstreams: [], blocked: [], blockLists: [], hosts: [], domains: [] };
    control.delta(2, 1, { gateway: { ...GATEWAY, names: plan } });
    await until('in force', () => control.acknowledged(2));
    control.delta(3, 2, { putDevices: [device(2)] });
    await until('in force', () => control.acknowledged(3));
    assert.deepEqual(names, [service, { ...service, plan }]);
    assert.deepEqual(kernel.plans.at(-1)?.tunnelPorts, { udp: [53, 51_819], tcp: [53] });

    control.delta(4, 3, { gateway: { ...GATEWAY, address4: '100.64.0.9' } });
    await until('in force', () => control.acknowledged(4));
    await until('the new address', () => sockets.bound.has('100.64.0.9') && !sockets.bound.has(GATEWAY.address4));
    assert.deepEqual(names.at(-1), { ...service, addresses: ['100.64.0.9', GATEWAY.address6] });
    assert.deepEqual(agent.problems, []);
  });

  test('an address that can’t be had is told, and tried again', async () => {
    const { sockets, agent, clock } = await start();
    sockets.fault = 'it is taken';
    await until('linked', () => control.links.length > 0, clock);
    control.snapshot(1);
    await until('told', () => /tunnel service: it is taken/.test(agent.problems.join()), clock);
    sockets.fault = undefined;
    await until('mended', () => agent.problems.length === 0 && sockets.bound.size === 2, clock);
  });
});

describe('other gateways’ entrances', () => {
  test('are opened by their names’ addresses', async () => {
    const { kernel } = await linked({ resolve: () => Promise.resolve({ addresses: ['192.0.2.7'], ttlSeconds: 60 }) });
    const neighbours = [
      { gatewayId: 'w1', host: 'W1.example', port: 51_820 },
      { gatewayId: 'w2', host: '192.0.2.8', port: 51_820 },
    ];
    control.snapshot(1, { gateway: { ...GATEWAY, neighbours } });
    await until('the name', () => kernel.plans.at(-1)?.names['w1.example'] !== undefined);
    assert.deepEqual(kernel.plans.at(-1)?.neighbours, neighbours);
    assert.deepEqual(kernel.plans.at(-1)?.names, { 'w1.example': ['192.0.2.7'] });
  });
});

describe('networks behind devices', () => {
  const networksAt = (gateway: RunningGateway): Record<string, readonly string[] | undefined> =>
    Object.fromEntries((gateway.kernel.plans.at(-1)?.devices ?? []).map(({ id, networks }) => [id, networks]));

  test('are routed before the filter knows them, and the tunnel takes them last and gives them up first', async () => {
    const gateway = await linked();
    const { notes, kernel, tunnel } = gateway;
    control.snapshot(1, { putDevices: [device(1)] });
    await until('in force', () => control.acknowledged(1));
    notes.lines.length = 0;
    control.delta(2, 1, { putDevices: [device(1, { networks: ['10.1.0.0/16'] })] });
    await until('in force', () => control.acknowledged(2));
    // No session ends for it.
    assert.deepEqual(notes.lines, ['route 10.1.0.0/16', 'filter d1', 'admit d1']);
    assert.deepEqual(tunnel.networks.get('d1'), ['10.1.0.0/16']);
    notes.lines.length = 0;
    control.delta(3, 2, { putDevices: [device(1), device(2, { networks: ['10.1.0.0/16'] })] });
    await until('in force', () => control.acknowledged(3));
    assert.deepEqual(notes.lines, ['admit d1', 'filter d1 d2', 'admit d2']);
    assert.deepEqual([tunnel.networks.get('d1'), tunnel.networks.get('d2')], [[], ['10.1.0.0/16']]);
    control.delta(4, 3, { removeDevices: ['d2'] });
    await until('in force', () => control.acknowledged(4));
    assert.deepEqual(kernel.requests.findLast(({ kind }) => kind === 'setNetworks'), { kind: 'setNetworks', networks: [], unreachable: [] }); // prettier-ignore
  });

  test('that meet each other, the pools or this machine are left out, and that is told', async () => {
    let own = ['192.0.2.1'];
    const gateway = await linked({ ownAddresses: () => own });
    const { agent, tunnel, clock } = gateway;
    control.snapshot(1, {
      putDevices: [
        device(1, { networks: ['10.1.0.0/16', '100.64.7.0/24'] }),
        device(2, { networks: ['10.1.9.0/24', '10.2.0.0/16'] }),
      ],
    });
    await until('in force', () => control.acknowledged(1), clock);
    assert.deepEqual(networksAt(gateway), { d1: ['10.1.0.0/16'], d2: ['10.2.0.0/16'] });
    assert.match(agent.problems.join(), /100\.64\.7\.0\/24 meets.*10\.1\.9\.0\/24 meets 10\.1\.0\.0\/16/);
    own = ['192.0.2.1', '10.2.0.3'];
    await until('the machine’s own to count', () => networksAt(gateway)['d2'] === undefined, clock);
    assert.deepEqual(tunnel.networks.get('d2') ?? [], []);
    own = ['192.0.2.1'];
    await until('it to be back', () => tunnel.networks.get('d2')?.[0] === '10.2.0.0/16', clock);
  });

  test('that a route of this machine leads to are left out too, before the filter hears of them', async () => {
    const gateway = await linked();
    const { kernel, agent, tunnel } = gateway;
    control.snapshot(1, { putDevices: [device(1)] });
    await until('in force', () => control.acknowledged(1));
    kernel.taken = '10.1.4.0/24';
    control.delta(2, 1, { putDevices: [device(1, { networks: ['10.1.0.0/16', '10.2.0.0/16'] })] });
    await until('in force', () => control.acknowledged(2));
    assert.ok(kernel.plans.every(({ devices }) => !devices[0]?.networks?.includes('10.1.0.0/16')));
    assert.deepEqual(networksAt(gateway), { d1: ['10.2.0.0/16'] });
    assert.deepEqual(tunnel.networks.get('d1'), ['10.2.0.0/16']);
    assert.match(agent.problems.join(), /10\.1\.0\.0\/16 meets 10\.1\.4\.0\/24/);
    // Whoever has it here, devices don't get there: neither by a route nor by the filter.
    assert.deepEqual(kernel.plans.at(-1)?.connectedNetworks, ['10.1.0.0/16', '10.2.0.0/16']);
    const asked = { kind: 'setNetworks', networks: ['10.2.0.0/16'], unreachable: ['10.1.0.0/16'] };
    assert.deepEqual(
      kernel.requests.findLast(({ kind }) => kind === 'setNetworks'),
      asked,
    );
  });

  test('come back when what was in their way has gone', async () => {
    const gateway = await linked();
    const { kernel, agent, tunnel, clock } = gateway;
    kernel.taken = '10.1.4.0/24';
    control.snapshot(1, { putDevices: [device(1, { networks: ['10.1.0.0/16'] })] });
    await until('in force', () => control.acknowledged(1));
    const problems = agent.problems;
    const plans = kernel.plans.length;
    assert.match(problems.join(), /10\.1\.0\.0\/16 meets/);
    await until('it to be looked at again', () => kernel.plans.length > plans, clock);
    assert.deepEqual(agent.problems, problems);
    assert.ok(kernel.plans.every(({ devices }) => devices[0]?.networks === undefined));
    kernel.taken = undefined;
    await until('it to be back', () => tunnel.networks.get('d1')?.[0] === '10.1.0.0/16', clock);
    assert.deepEqual(agent.problems, []);
  });

  test('of devices that are elsewhere, or may not connect, are cut off', async () => {
    const gateway = await linked();
    const { kernel, notes, clock } = gateway;
    const validUntil = clock.now() + 5000;
    control.snapshot(1, {
      gateway: { ...GATEWAY, connectedNetworks: ['10.1.0.0/16', '10.9.0.0/24'] },
      putDevices: [device(1, { networks: ['10.1.0.0/16'], validUntil })],
    });
    await until('in force', () => control.acknowledged(1));
    assert.deepEqual(kernel.plans.at(-1)?.connectedNetworks, ['10.1.0.0/16', '10.9.0.0/24']);
    assert.ok(notes.lines.includes('cut off 10.9.0.0/24') && notes.lines.includes('route 10.1.0.0/16'));
    notes.lines.length = 0;
    await until('it to expire', () => kernel.plans.at(-1)?.devices.length === 0, clock);
    assert.deepEqual(kernel.plans.at(-1)?.connectedNetworks, ['10.1.0.0/16', '10.9.0.0/24']);
    assert.deepEqual(notes.lines, ['refuse d1', 'cut off 10.1.0.0/16 10.9.0.0/24', 'filter']);
  });

  test('that can’t be routed for a fault are not let through, until they are', async () => {
    const gateway = await linked();
    const { kernel, agent, clock } = gateway;
    control.snapshot(1, { putDevices: [device(1)] });
    await until('in force', () => control.acknowledged(1));
    kernel.routeFault = 'no route';
    control.delta(2, 1, { putDevices: [device(1, { networks: ['10.1.0.0/16'] })] });
    await until('told', () => /no route/.test(agent.problems.join()));
    assert.deepEqual(kernel.plans.at(-1)?.connectedNetworks, ['10.1.0.0/16']);
    assert.deepEqual(networksAt(gateway), { d1: undefined });
    kernel.routeFault = undefined;
    await until('mended', () => control.acknowledged(2), clock);
    assert.deepEqual(networksAt(gateway), { d1: ['10.1.0.0/16'] });
  });
});
