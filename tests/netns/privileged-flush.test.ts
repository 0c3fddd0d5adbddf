/** Somebody else removes the gateway's tables while devices and the networks behind the gateway try what is forbidden. */
import assert from 'node:assert/strict';
import { availableParallelism } from 'node:os';
import { after, before, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { until } from '@sallyport/netlab';
import type { NetworkNamespace } from '@sallyport/netlab';
import type { PrivilegedRequest } from '@sallyport/privileged';
import {
  ALLOWED,
  buildRig,
  configuration,
  device,
  FORBIDDEN,
  INTERFACE,
  plan,
  reaches,
  startHelper,
} from './privileged-rig.ts';
import type { Helper, Rig } from './privileged-rig.ts';

const FLOOD = `
  import { createSocket } from 'node:dgram';
  const [, from, to] = process.argv;
  const socket = createSocket(to.includes(':') ? 'udp6' : 'udp4');
  socket.on('error', () => undefined);
  socket.bind(0, from);
  setInterval(() => { for (let i = 0; i < 10; i++) socket.send('x', 9, to, () => undefined); }, 1);
`;

let rig: Rig;
let helper: Helper;

before(async () => {
  rig = await buildRig();
  helper = startHelper(rig);
  for (const request of [
    configuration,
    { kind: 'enableForwarding' },
    { kind: 'setFirewall', plan: plan([device(2, ['staff'])]) },
  ] satisfies PrivilegedRequest[]) {
    const answer = await helper.client.request(request);
    assert.deepEqual(answer.error, undefined);
  }
  await rig.inside.nft(
    `table inet count {
      chain in {
        type filter hook input priority 0
        ip daddr ${FORBIDDEN[4]} counter
        ip6 daddr ${FORBIDDEN[6]} counter
      }
    }\n`,
  );
  await rig.devices.nft(
    `table inet count {
      chain in {
        type filter hook input priority 0
        udp dport 9 counter
      }
    }\n`,
  );
  for (const [namespace, from, to] of [
    [rig.devices, '10.77.0.2', FORBIDDEN[4]],
    [rig.devices, 'fd77::2', FORBIDDEN[6]],
    [rig.inside, '192.0.2.2', '10.77.0.2'],
    [rig.inside, '2001:db8::2', 'fd77::2'],
  ] as const)
    await namespace.start([process.execPath, '--input-type=module', '--eval', FLOOD, from, to]);
  await delay(500);
});

after(async () => {
  helper.client.close();
  await helper.ended;
  await rig.laboratory.close();
});

async function packetsIn(namespace: NetworkNamespace): Promise<number> {
  const { stdout } = await namespace.run(['nft', 'list', 'table', 'inet', 'count']);
  return [...stdout.matchAll(/packets (\d+)/g)].reduce((sum, [, packets]) => sum + Number(packets), 0);
}

async function forbiddenPackets(): Promise<number> {
  return (await packetsIn(rig.inside)) + (await packetsIn(rig.devices));
}

/** How long after the flush the helper says that the table is back. */
async function flush(): Promise<number> {
  const notices = helper.notices.length;
  const start = Date.now();
  await rig.gateway.run(['nft', 'flush', 'ruleset']);
  const notice = await until('the table to be back', () => helper.notices[notices], undefined, 1);
  assert.equal(notice.code, 'FIREWALL_RESTORED', notice.message);
  return notice.at - start;
}

const FLUSHES = 10;

test('after "nft flush ruleset" the table is back at once, and what is forbidden was kept in', async (t) => {
  assert.equal(await forbiddenPackets(), 0);
  for (let i = 0; i < FLUSHES; i++) {
    const milliseconds = await flush();
    t.diagnostic(`back after ${String(milliseconds)} ms`);
    assert.ok(milliseconds < 1000);
    assert.ok(await reaches(rig.devices, ALLOWED[4], '10.77.0.2'));
    assert.ok(await reaches(rig.devices, ALLOWED[6], 'fd77::2'));
    await delay(400);
  }
  // Each processor handles one packet at a time: the one that was between two hooks when the table went passes.
  const passed = await forbiddenPackets();
  t.diagnostic(`${String(passed)} forbidden packets passed`);
  assert.ok(passed <= FLUSHES * availableParallelism());
});

test('a forward chain without its rules lets nothing pass', async () => {
  const before = await forbiddenPackets();
  const notices = helper.notices.length;
  await rig.gateway.run(['nft', 'flush', 'chain', 'inet', 'sallyport', 'forward']);
  await until('the table to be back', () => helper.notices[notices], undefined, 1);
  await delay(400);
  assert.equal(await forbiddenPackets(), before);
});

test('the table is put back too after others took away its rules, a chain, or the table alone', async () => {
  for (const command of [
    ['flush', 'table', 'inet', 'sallyport'],
    ['flush', 'chain', 'inet', 'sallyport', 'refuse'],
    ['delete', 'table', 'inet', 'sallyport'],
  ]) {
    const notices = helper.notices.length;
    await rig.gateway.run(['nft', ...command]);
    await until('the table to be back', () => helper.notices[notices], undefined, 1);
    assert.ok(await reaches(rig.devices, ALLOWED[4], '10.77.0.2'));
    assert.ok(!(await reaches(rig.devices, FORBIDDEN[4], '10.77.0.2')));
    await delay(400);
  }
});

test('a change that comes when the table was just taken away is applied whole', async () => {
  const flushed = rig.gateway.run(['nft', 'flush', 'ruleset']);
  const answers = await Promise.all(
    [['staff'], [], ['staff']].map((groups) =>
      helper.client.request({ kind: 'setFirewall', plan: plan([device(2, groups)]) }),
    ),
  );
  await flushed;
  assert.ok(answers.every(({ error }) => error === undefined));
  await until('the table to be back', async () => {
    const { stdout } = await rig.gateway.run(['nft', 'list', 'tables']);
    return stdout.includes('sallyport');
  });
  assert.ok(await reaches(rig.devices, ALLOWED[4], '10.77.0.2'));
  assert.ok(!(await reaches(rig.devices, FORBIDDEN[4], '10.77.0.2')));
});

test('it is the routing rules that keep the packets in meanwhile', async (t) => {
  // Without them, the same flush lets packets pass: the tests above could have failed.
  const before = await forbiddenPackets();
  for (const family of ['-4', '-6'])
    for (const priority of ['41', '42']) await rig.gateway.ip(family, 'rule', 'delete', 'pref', priority);
  await delay(400);
  assert.equal(await forbiddenPackets(), before, `nothing passes ${INTERFACE}'s filter`);
  await flush();
  const passed = (await forbiddenPackets()) - before;
  t.diagnostic(`${String(passed)} forbidden packets passed`);
  assert.ok(passed > 10 * availableParallelism());
});
