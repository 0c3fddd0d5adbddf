import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { until } from '@sallyport/netlab';
import type { PrivilegedRequest } from '@sallyport/privileged';
import {
  ALLOWED,
  buildRig,
  configuration,
  device,
  FORBIDDEN,
  INTERFACE,
  plan,
  POOL4,
  reaches,
  startHelper,
} from './privileged-rig.ts';
import type { Helper, Rig } from './privileged-rig.ts';

/** By itself the kernel forgets a flow of ICMP 30 s after its last packet. */
const FORGOTTEN_WITHIN_MS = 25_000;

let rig: Rig;
let helper: Helper;

before(async () => {
  rig = await buildRig();
  helper = startHelper(rig);
});

after(async () => {
  helper.client.close();
  await helper.ended;
  await rig.laboratory.close();
});

async function ask(request: PrivilegedRequest): Promise<void> {
  const answer = await helper.client.request(request);
  assert.deepEqual(answer.error, undefined);
}

async function sysctl(...keys: readonly string[]): Promise<string[]> {
  const { stdout } = await rig.gateway.run(['cat', ...keys.map((key) => `/proc/sys/${key}`)]);
  return stdout.trim().split('\n');
}

const FORWARDING = ['net/ipv4/ip_forward', 'net/ipv6/conf/all/forwarding', 'net/ipv4/conf/all/accept_redirects'];
const LAN_ADVERTISEMENTS = 'net/ipv6/conf/lan0/accept_ra';
let settingsBefore: string[];

test('interface and forwarding are set up, as often as it is asked', async () => {
  await rig.gateway.sysctl({ 'net.ipv6.conf.lan0.accept_ra': 1, 'net.ipv4.conf.all.accept_redirects': 1 });
  settingsBefore = await sysctl(...FORWARDING, LAN_ADVERTISEMENTS);
  assert.deepEqual(settingsBefore, ['0', '0', '1', '1']);
  for (let i = 0; i < 2; i++) {
    await ask(configuration);
    await ask({ kind: 'enableForwarding' });
  }
  assert.deepEqual(await rig.gateway.addressesOf(INTERFACE), { ipv4: ['10.77.0.1'], ipv6: ['fd77::1'] });
  assert.match(await rig.gateway.ip('link', 'show', INTERFACE), /mtu 1420/);
  assert.deepEqual((await sysctl(...FORWARDING, LAN_ADVERTISEMENTS)).toSpliced(2, 1), ['1', '1', '2']);
  assert.deepEqual(await sysctl(`net/ipv4/conf/${INTERFACE}/send_redirects`, `net/ipv4/conf/${INTERFACE}/rp_filter`), [
    '0',
    '1',
  ]);
  for (const family of ['-4', '-6']) {
    const rules = JSON.parse(await rig.gateway.ip('-json', family, 'rule', 'show')) as { priority: number }[];
    assert.deepEqual(
      rules.map(({ priority }) => priority).filter((priority) => priority >= 40 && priority < 50),
      [40, 41, 42, 43, 43, 43],
    );
  }
});

test('an address that is not asked for any more is taken away', async () => {
  await ask({ ...configuration, addresses: [...configuration.addresses, '10.77.9.9/16'] });
  assert.ok((await rig.gateway.addressesOf(INTERFACE)).ipv4.includes('10.77.9.9'));
  await ask(configuration);
  assert.ok(!(await rig.gateway.addressesOf(INTERFACE)).ipv4.includes('10.77.9.9'));
});

test('without a packet filter nothing passes in either direction', async () => {
  for (const family of [4, 6] as const) {
    assert.ok(!(await reaches(rig.devices, ALLOWED[family])));
    assert.ok(!(await reaches(rig.inside, family === 4 ? '10.77.0.2' : 'fd77::2')));
  }
  assert.ok(await reaches(rig.gateway, '10.77.0.2'), 'the gateway itself reaches devices');
  assert.ok(await reaches(rig.gateway, 'fd77::2'), 'the gateway itself reaches devices');
});

test('with it, what is allowed passes, and nothing else', async () => {
  await ask({ kind: 'setFirewall', plan: plan([device(2, ['staff']), device(3, [])]) });
  for (const family of [4, 6] as const) {
    const [two, three] = family === 4 ? ['10.77.0.2', '10.77.0.3'] : ['fd77::2', 'fd77::3'];
    assert.ok(await reaches(rig.devices, ALLOWED[family], two), 'allowed');
    assert.ok(!(await reaches(rig.devices, FORBIDDEN[family], two)), 'forbidden');
    assert.ok(!(await reaches(rig.devices, ALLOWED[family], three)), 'not in the group');
    assert.ok(!(await reaches(rig.inside, two)), 'from inside');
  }
});

async function flowsOf(address: string): Promise<number> {
  const family = address.includes(':') ? 'ipv6' : 'ipv4';
  const { stdout } = await rig.gateway.run(['conntrack', '-L', '-f', family, '-s', address]);
  return stdout.split('\n').length - 1;
}

test('what a device may not do any more is forgotten by the kernel', async () => {
  for (const [address, target] of [
    ['10.77.0.2', ALLOWED[4]],
    ['fd77::2', ALLOWED[6]],
  ] as const) {
    await ask({ kind: 'setFirewall', plan: plan([device(2, ['staff'])]) });
    assert.ok(await reaches(rig.devices, target, address));
    assert.ok((await flowsOf(address)) > 0);
    await ask({ kind: 'setFirewall', plan: plan([]) });
    await until('the flows to be gone', async () => (await flowsOf(address)) === 0, FORGOTTEN_WITHIN_MS);
  }
});

test('a flow that loses its permission while it sends is cut, and its entry goes', async () => {
  await ask({ kind: 'setFirewall', plan: plan([device(2, ['staff']), device(3, ['staff'])]) });
  assert.ok(await reaches(rig.devices, ALLOWED[4], '10.77.0.3'));
  assert.ok(await reaches(rig.gateway, '10.77.0.3'));
  const argv = ['ping', '-n', '-i', '0.02', '-I', '10.77.0.2', ALLOWED[4]];
  const sending = await rig.devices.start(argv);
  await until('answers', () => sending.stdout.includes('icmp_seq=5 '));
  await ask({ kind: 'setFirewall', plan: plan([device(2, []), device(3, ['staff'])]) });
  // What is refused may be told by the gateway; what comes from the destination reads "bytes from". Some was on its way.
  const answers = (): number => sending.stdout.split(`bytes from ${ALLOWED[4]}`).length;
  await until('a second without answers', async () => {
    const before = answers();
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return answers() === before;
  });
  await sending.stop('SIGINT');
  await until('its entry to be gone', async () => (await flowsOf('10.77.0.2')) === 0, FORGOTTEN_WITHIN_MS);
  for (const address of ['10.77.0.3', '10.77.0.1'])
    assert.ok((await flowsOf(address)) > 0, `${address} has its flows yet`);
});

test('requests that come together end with the newest plan, and each is answered', async () => {
  const plans = Array.from({ length: 40 }, (_, i) => plan(i === 39 ? [device(2, ['staff'])] : [device(3, [])]));
  const before = helper.commands.filter((command) => command.startsWith('nft -j')).length;
  const answers = await Promise.all(plans.map((each) => helper.client.request({ kind: 'setFirewall', plan: each })));
  assert.ok(answers.every(({ error, firewall }) => error === undefined && firewall !== undefined));
  const runs = helper.commands.filter((command) => command.startsWith('nft -j')).length - before;
  assert.ok(runs < 20, `${String(runs)} runs of nft for 40 plans`);
  assert.ok(await reaches(rig.devices, ALLOWED[4], '10.77.0.2'));
});

test('a request outside the bounds is refused, with its place', async () => {
  const outside: [PrivilegedRequest, RegExp][] = [
    [{ ...configuration, addresses: ['192.168.1.1/24'] }, /addresses: 192\.168\.1\.1\/24 lies outside/],
    [{ ...configuration, routes: ['0.0.0.0/0'] }, /routes: 0\.0\.0\.0\/0 lies outside/],
    [{ kind: 'cutFlows', addresses: ['192.0.2.1'] }, /lies outside the pools/],
    [{ kind: 'setFirewall', plan: { ...plan([]), interfaceName: 'lan0' } }, /plan\.interfaceName is not tun9/],
  ];
  for (const [request, message] of outside) {
    const { error } = await helper.client.request(request);
    assert.equal(error?.code, 'INVALID_REQUEST');
    assert.match(error.message, message);
  }
});

test('when the gateway dies the filter stays, and the next process takes over what is to be put back', async () => {
  helper.client.close();
  assert.equal(await helper.ended, 0);
  assert.match((await rig.gateway.run(['nft', 'list', 'tables'])).stdout, /table inet sallyport/);
  assert.ok(await reaches(rig.devices, ALLOWED[4], '10.77.0.2'), 'the filter works on');
  helper = startHelper(rig);
  await ask(configuration);
  await ask({ kind: 'enableForwarding' });
  await ask({ kind: 'setFirewall', plan: plan([device(2, ['staff'])]) });
  assert.ok(await reaches(rig.devices, ALLOWED[4], '10.77.0.2'));
  await ask({ kind: 'tearDown' });
  // What was under way at a gateway that ends comes too late.
  const { error } = await helper.client.request({ kind: 'enableForwarding' });
  assert.match(error?.message ?? '', /everything was taken back/);
  assert.deepEqual(await sysctl(...FORWARDING, LAN_ADVERTISEMENTS), settingsBefore);
  assert.equal((await rig.gateway.run(['nft', 'list', 'tables'])).stdout.trim(), '');
  for (const family of ['-4', '-6']) assert.doesNotMatch(await rig.gateway.ip(family, 'rule', 'show'), /blackhole/);
  assert.doesNotMatch(await rig.gateway.ip('route', 'show'), new RegExp(POOL4));
});
