/** Somebody else removes the gateway's tables while devices and the networks behind the gateway try what is forbidden. */
import assert from 'node:assert/strict';
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
} from '/work/main/tests/netns/privileged-rig.ts';
import type { Helper, Rig } from '/work/main/tests/netns/privileged-rig.ts';

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
    assert.equal(answer.error, undefined, answer.error?.message);
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
async function flush(words = ['flush','ruleset']): Promise<number> {
  const notices = helper.notices.length;
  const start = Date.now();
  await rig.gateway.run(['nft', ...words]);
  const notice = await until('the table to be back', () => helper.notices[notices], 3000, 1);
  assert.equal(notice.code, 'FIREWALL_RESTORED', notice.message);
  return notice.at - start;
}

test('x', async (t) => {
  let A=0,B=0;
    for (let i = 0; i < 40; i++) {
    const b = await forbiddenPackets();
    helper.child.kill('SIGSTOP'); await delay(50);
    const n=helper.notices.length;
    await rig.gateway.run(['nft','flush','ruleset']); await delay(100);
    const c = await forbiddenPackets(); A+=c-b;
    helper.child.kill('SIGCONT');
    await until('x', () => helper.notices[n], 3000, 1); await delay(100);
    B += (await forbiddenPackets())-c;
    await delay(250);
 }
 console.log({A,B});
});
