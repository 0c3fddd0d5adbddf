import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyChange, explain, gatewaysOf, nextExpiry, planGateway, Planner, requirementsOf } from '@sallyport/policy';
import type { AccessModel, DesiredState } from '@sallyport/policy';
import { SeededRandom } from '@sallyport/testkit';
import {
  changed,
  device,
  emptyModel,
  gateway,
  group,
  randomChange,
  randomOrganisation,
  resource,
  rule,
  START,
  user,
} from './organisation.ts';

test('what the planner sends adds up to the whole plan, over random changes and time', () => {
  let devices = 0;
  let withEgress = 0;
  let changes = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed);
    const planner = new Planner();
    const received = new Map<string, DesiredState>();
    let model = randomOrganisation(random);
    let now = START;
    for (let step = 0; step < 40; step++) {
      for (let i = step === 0 ? 0 : random.below(3); i > 0; i--) model = randomChange(random, model);
      // Sometimes exactly to the moment that it names; sometimes the clock is set back.
      const expiry = planner.nextExpiry;
      if (expiry !== undefined && random.chance(0.3)) now = Math.max(now, expiry);
      else now += random.below(20_000) - (random.chance(0.05) ? 100_000 : 0);
      for (const [id, change] of planner.update(model, now)) {
        received.set(id, applyChange(received.get(id), change));
        changes++;
      }
      for (const id of received.keys()) if (!model.gateways.has(id)) received.delete(id);
      for (const id of model.gateways.keys()) {
        const expected = planGateway(model, id, now);
        const context = `seed ${String(seed)} step ${String(step)} gateway ${id}`;
        assert.deepEqual(received.get(id), expected, context);
        if (random.chance(0.4)) assert.deepEqual(planner.state(id), expected, context);
        devices += expected.devices.size;
        for (const plan of expected.devices.values()) if (plan.egress !== undefined) withEgress++;
      }
      assert.equal(planner.nextExpiry, nextExpiry(model, now));
    }
  }
  // The random organisations are worth something.
  assert.ok(
    devices > 20_000 && withEgress > 4_000 && changes > 5_000,
    JSON.stringify({ devices, withEgress, changes }),
  );
});

test('a device of OpenVPN is planned by what it shows, and gateways of it alone get what serves it', () => {
  let model = changed(emptyModel(), 'users', 'u', user({ id: 'u', name: 'alice', loginEpoch: 'e' }));
  model = changed(model, 'resources', 's', resource({ id: 's', kind: 'internet' }));
  model = changed(model, 'rules', 'l', rule({ id: 'l', groups: ['everyone'], resources: ['s'] }));
  model = changed(model, 'gateways', 'w', gateway({ id: 'w', openvpnCertificate: 'pem' }));
  model = changed(model, 'gateways', 'x', gateway({ id: 'x' }));
  const openvpn = { login: 'password', certificate: { sha256: 'c', expiresAt: START + 1000 } } as const;
  model = changed(model, 'devices', 'd2', device(2, 'u', { publicKey: null, openvpn }));
  model = {
    ...model,
    openvpn: { authority: 'a', clientKey: 'k', tokenKey: 't', dataCiphers: ['AES-256-GCM'], push: ['route'] },
  };
  const planner = new Planner();
  const first = planner.update(model, START);
  assert.deepEqual(first.get('w')?.gateway?.openvpn, { ...model.openvpn, certificate: 'pem' });
  assert.equal(first.get('x')?.gateway?.openvpn, undefined);
  const [plan] = first.get('w')?.putDevices ?? [];
  assert.equal(plan?.publicKey, undefined);
  assert.deepEqual(plan?.openvpn, { certificates: ['c'], login: 'password', userName: 'alice', loginEpoch: 'e' });
  // Another name, another certificate; and what every gateway has of it.
  const ended = changed(model, 'users', 'u', user({ id: 'u', name: 'alice', loginEpoch: 'f' }));
  assert.equal(planner.update(ended, START).get('w')?.putDevices[0]?.openvpn?.loginEpoch, 'f');
  const renamed = changed(model, 'users', 'u', user({ id: 'u', name: 'bob' }));
  assert.equal(planner.update(renamed, START).get('w')?.putDevices[0]?.openvpn?.userName, 'bob');
  const pushed = { ...renamed, openvpn: { ...model.openvpn!, push: [] } };
  const second = planner.update(pushed, START);
  assert.deepEqual([...second.keys()], ['w']);
  assert.deepEqual(second.get('w')?.gateway?.openvpn?.push, []);
  // Its certificate ends, and with it what it may.
  assert.equal(planner.nextExpiry, START + 1000);
  assert.deepEqual(planner.update(pushed, START + 1000).get('w')?.removeDevices, ['d2']);
});

test('a device that shows a certificate alone hears nothing of logins that were ended', () => {
  let model = changed(emptyModel(), 'users', 'u', user({ id: 'u', loginEpoch: 'e' }));
  model = changed(model, 'resources', 's', resource({ id: 's', kind: 'internet' }));
  model = changed(model, 'rules', 'l', rule({ id: 'l', groups: ['everyone'], resources: ['s'] }));
  model = changed(model, 'gateways', 'w', gateway({ id: 'w' }));
  const openvpn = { login: 'certificate', certificate: { sha256: 'c', expiresAt: START + 1000 } } as const;
  model = changed(model, 'devices', 'd2', device(2, 'u', { publicKey: null, openvpn }));
  const planner = new Planner();
  const [plan] = planner.update(model, START).get('w')?.putDevices ?? [];
  assert.deepEqual(Object.keys(plan?.openvpn ?? {}), ['certificates', 'login', 'userName']);
  assert.equal(planner.update(changed(model, 'users', 'u', user({ id: 'u', loginEpoch: 'f' })), START).size, 0);
});

test('nothing is sent when nothing changes', () => {
  const model = randomOrganisation(new SeededRandom(7));
  const planner = new Planner();
  assert.ok(planner.update(model, START).size > 0);
  assert.equal(planner.update(model, START).size, 0);
  assert.equal(planner.update({ ...model }, START).size, 0);
});

test('the devices of a state are worked out anew where one of them changed, and only then', () => {
  let model = changed(emptyModel(), 'users', 'u', user({ id: 'u' }));
  model = changed(model, 'devices', 'd1', device(1, 'u'));
  model = changed(model, 'resources', 's', resource({ id: 's', kind: 'internet' }));
  model = changed(model, 'rules', 'l', rule({ id: 'l', groups: ['everyone'], resources: ['s'] }));
  model = changed(model, 'gateways', 'w', gateway({ id: 'w' }));
  const planner = new Planner();
  const devicesAfter = (next: AccessModel) => {
    planner.update(next, START);
    return planner.state('w')?.devices;
  };
  const first = devicesAfter(model);
  model = changed(model, 'resources', 't', resource({ id: 't', prefixes: ['10.0.0.0/8'] }));
  model = changed(model, 'rules', 'm', rule({ id: 'm', groups: ['everyone'], resources: ['t'] }));
  assert.equal(devicesAfter(model), first, 'another rule');
  const second = devicesAfter(changed(model, 'users', 'u', user({ id: 'u', disabled: true })));
  assert.equal(second?.size, 0);
  assert.deepEqual(devicesAfter(model), first);
});

test('a gateway learns of nobody who reaches nothing there', () => {
  let model = emptyModel();
  model = changed(model, 'gateways', 'a', gateway({ id: 'a' }));
  model = changed(model, 'gateways', 'b', gateway({ id: 'b' }));
  model = changed(model, 'groups', 'staff', group({ id: 'staff' }));
  model = changed(model, 'users', 'u', user({ id: 'u', groups: new Set(['staff']) }));
  model = changed(model, 'users', 'v', user({ id: 'v' }));
  model = changed(model, 'devices', 'd1', device(1, 'u'));
  model = changed(model, 'devices', 'd2', device(2, 'v'));
  model = changed(model, 'resources', 's', resource({ id: 's', prefixes: ['10.0.0.0/8', '2001:db8::/32'] }));
  model = changed(model, 'rules', 'l', rule({ id: 'l', groups: ['staff'], resources: ['s'], gateways: ['a'] }));
  assert.deepEqual([...planGateway(model, 'a', START).devices.keys()], ['d1']);
  assert.equal(planGateway(model, 'b', START).devices.size, 0);
  assert.equal(planGateway(model, 'b', START).groups.size, 0);
  assert.deepEqual(
    planGateway(model, 'a', START)
      .groups.get('staff')
      ?.grants.map((grant) => grant.destination),
    [
      { kind: 'network', prefix: '10.0.0.0/8' },
      { kind: 'network', prefix: '2001:db8::/32' },
    ],
  );
});

test('the egress of the first entry that fits counts', () => {
  let model = emptyModel();
  const egress = [
    { group: 'a', ipv4: '198.51.100.1' },
    { group: 'b', ipv4: '198.51.100.2' },
    { group: null, ipv4: '198.51.100.3' },
    { group: 'c', ipv4: '198.51.100.4' },
  ];
  model = changed(model, 'gateways', 'w', gateway({ id: 'w', egress }));
  model = changed(model, 'resources', 's', resource({ id: 's', kind: 'internet' }));
  model = changed(model, 'rules', 'l', rule({ id: 'l', groups: ['everyone'], resources: ['s'] }));
  [['b', 'a'], ['b'], ['c'], []].forEach((groups, i) => {
    model = changed(model, 'users', `u${String(i)}`, user({ id: `u${String(i)}`, groups: new Set(groups) }));
    model = changed(model, 'devices', `d${String(i)}`, device(i, `u${String(i)}`));
  });
  const plan = planGateway(model, 'w', START);
  assert.deepEqual(plan.gateway.egress, { ipv4: '198.51.100.3' });
  assert.deepEqual(
    [0, 1, 2, 3].map((i) => plan.devices.get(`d${String(i)}`)?.egress?.ipv4),
    ['198.51.100.1', '198.51.100.2', undefined, undefined],
  );
});

test('whose groups demand a place is admitted nowhere else, and another place is theirs at once', () => {
  let model = emptyModel();
  for (const [id, regionId] of [
    ['a', 'north'],
    ['b', 'north'],
    ['c', 'south'],
    ['d', 'west'],
  ] as const)
    model = changed(model, 'gateways', id, gateway({ id, regionId }));
  model = changed(model, 'groups', 'staff', group({ id: 'staff', requireRegionId: 'north' }));
  model = changed(model, 'groups', 'ops', group({ id: 'ops', requireGatewayId: 'c', requireKillSwitch: true }));
  model = changed(model, 'users', 'u', user({ id: 'u', groups: new Set(['staff']) }));
  model = changed(model, 'users', 'v', user({ id: 'v', groups: new Set(['staff', 'ops']) }));
  model = changed(model, 'users', 'w', user({ id: 'w' }));
  for (const [i, id] of ['u', 'v', 'w'].entries()) model = changed(model, 'devices', `d${String(i)}`, device(i, id));
  model = changed(model, 'resources', 's', resource({ id: 's', kind: 'internet' }));
  model = changed(model, 'rules', 'l', rule({ id: 'l', groups: ['everyone'], resources: ['s'] }));
  const planner = new Planner();
  planner.update(model, START);
  const admitted = (): string[] =>
    ['a', 'b', 'c', 'd'].map((id) => [...(planner.state(id)?.devices.keys() ?? [])].sort().join());
  assert.deepEqual(admitted(), ['d0,d1,d2', 'd0,d1,d2', 'd1,d2', 'd2']);
  assert.deepEqual(
    ['u', 'v', 'w'].map((id) => gatewaysOf(model, model.users.get(id)!).join()),
    ['a,b', 'a,b,c', 'a,b,c,d'],
  );
  assert.deepEqual([planner.reaches('c', 'u'), planner.reaches('c', 'v'), planner.reaches('x', 'v')], [false, true, undefined]); // prettier-ignore
  assert.deepEqual(requirementsOf(model, model.users.get('v')!), {
    killSwitch: true,
    regionIds: ['north'],
    gatewayIds: ['c'],
  });
  const to = { userId: 'u', destination: '8.8.8.8', protocol: 'tcp' as const, port: 443 };
  assert.deepEqual(explain(model, { ...to, gatewayId: null }, START).gateways, ['a', 'b']);
  assert.equal(explain(model, { ...to, gatewayId: 'c' }, START).reason, 'otherGateway');

  // A gateway that moves to another region takes its people along.
  model = changed(model, 'gateways', 'd', gateway({ id: 'd', regionId: 'north' }));
  planner.update(model, START);
  assert.deepEqual(admitted(), ['d0,d1,d2', 'd0,d1,d2', 'd1,d2', 'd0,d1,d2']);
  model = changed(model, 'groups', 'staff', group({ id: 'staff', requireRegionId: 'south' }));
  planner.update(model, START);
  assert.deepEqual(admitted(), ['d2', 'd2', 'd0,d1,d2', 'd2']);
  // A region that is gone lets nobody in rather than everybody.
  model = changed(model, 'groups', 'everyone', group({ id: 'everyone', requireRegionId: 'nowhere' }));
  planner.update(model, START);
  assert.deepEqual(admitted(), ['', '', 'd0,d1', '']);
});

test('gateways know each other’s entrances, names, and what lies behind devices', () => {
  let model: AccessModel = {
    ...emptyModel(),
    names: { upstreams: ['udp://192.0.2.53:53'], blocked: [], blockLists: [], hosts: [], domains: [] },
  };
  for (const id of ['b', 'a', 'c'])
    model = changed(model, 'gateways', id, gateway({ id, endpoint: { host: `${id}.example.org`, port: 51_820 } }));
  model = changed(model, 'gateways', 'd', gateway({ id: 'd' }));
  model = changed(model, 'users', 'u', user({ id: 'u' }));
  model = changed(model, 'devices', 'd0', device(0, 'u', { networks: ['8.8.8.0/24'] }));
  model = changed(model, 'resources', 's', resource({ id: 's', kind: 'internet' }));
  model = changed(model, 'rules', 'l', rule({ id: 'l', groups: ['everyone'], resources: ['s'] }));
  const planner = new Planner();
  planner.update(model, START);
  assert.deepEqual(
    planner.state('a')?.gateway.neighbours?.map(({ gatewayId, host }) => [gatewayId, host]),
    [
      ['b', 'b.example.org'],
      ['c', 'c.example.org'],
    ],
  );
  assert.equal(planner.state('a')?.gateway.names, model.names);
  assert.deepEqual(planner.state('a')?.devices.get('d0')?.networks, ['8.8.8.0/24']);
  // What lies behind a device isn't the internet.
  const to = { userId: 'u', protocol: 'udp' as const, port: 53, gatewayId: null };
  assert.equal(explain(model, { ...to, destination: '8.8.4.4' }, START).verdict, 'allow');
  assert.equal(explain(model, { ...to, destination: '8.8.8.8' }, START).verdict, 'deny');

  // Who drains keeps its entrance; nobody need hear of it.
  const drained = changed(model, 'gateways', 'a', { ...model.gateways.get('a')!, draining: true });
  assert.deepEqual([...planner.update(drained, START).keys()], ['a']);
  const moved = changed(drained, 'gateways', 'a', gateway({ id: 'a', endpoint: { host: '192.0.2.1', port: 1 } }));
  assert.deepEqual([...planner.update(moved, START).keys()].sort(), ['a', 'b', 'c', 'd']);
  assert.deepEqual([...planner.update({ ...moved, names: null }, START).keys()].sort(), ['a', 'b', 'c', 'd']);
  assert.equal(planner.state('b')?.gateway.names, undefined);
});

test('every gateway knows all that lies behind devices, whether they may connect there or not', () => {
  let model = emptyModel();
  for (const id of ['a', 'b']) model = changed(model, 'gateways', id, gateway({ id }));
  for (const id of ['u', 'v']) model = changed(model, 'users', id, user({ id }));
  model = changed(model, 'devices', 'd0', device(0, 'u', { networks: ['10.0.5.0/24', 'fd09::/64'] }));
  model = changed(model, 'devices', 'd1', device(1, 'v', { networks: ['10.0.4.0/24'], expiresAt: START + 1 }));
  model = changed(model, 'devices', 'd2', device(2, 'v'));
  const planner = new Planner();
  planner.update(model, START);
  const known = (): unknown => {
    const [a, b] = ['a', 'b'].map((id) => planner.state(id)?.gateway.connectedNetworks);
    assert.deepEqual(a, b);
    for (const id of ['a', 'b']) assert.deepEqual(planner.state(id), planGateway(model, id, START + 2));
    return a;
  };
  const all = ['10.0.4.0/24', '10.0.5.0/24', 'fd09::/64'];
  assert.deepEqual(planner.update(model, START + 2).size, 0);
  assert.deepEqual(known(), all);
  model = changed(model, 'users', 'u', user({ id: 'u', disabled: true }));
  model = changed(model, 'devices', 'd2', device(2, 'v', { name: 'another' }));
  planner.update(model, START + 2);
  assert.deepEqual(known(), all);
  model = changed(model, 'devices', 'd0', device(0, 'u', { networks: ['fd09::/64'] }));
  assert.deepEqual([...planner.update(model, START + 2).keys()].sort(), ['a', 'b']);
  assert.deepEqual(known(), ['10.0.4.0/24', 'fd09::/64']);
  for (const id of ['d0', 'd1']) model = changed(model, 'devices', id, undefined);
  planner.update(model, START + 2);
  assert.equal(known(), undefined);
});

test('10,000 devices, 100 gateways, 1,000 rules: one change is planned within 50 ms', () => {
  let model = bigOrganisation();
  const planner = new Planner();
  assert.equal(planner.update(model, START).size, 100);
  const fastest = (change: (i: number) => void, expected: number): number => {
    let best = Infinity;
    for (let i = 0; i < 5; i++) {
      change(i);
      // Its own time: what the machine does besides is no matter.
      const began = process.threadCpuUsage();
      const changes = planner.update(model, START);
      const { user, system } = process.threadCpuUsage(began);
      best = Math.min(best, (user + system) / 1000);
      assert.equal(changes.size, expected);
    }
    return best;
  };
  const revocation = fastest((i) => {
    const id = `u${String(i)}`;
    model = changed(model, 'users', id, { ...(model.users.get(id) as ReturnType<typeof user>), disabled: true });
  }, 100);
  const ruleChange = fastest((i) => {
    const id = `l${String(i * 5)}`;
    model = changed(model, 'rules', id, { ...(model.rules.get(id) as ReturnType<typeof rule>), resources: ['s999'] });
  }, 100);
  assert.ok(revocation < 50, `a revocation took ${revocation.toFixed(1)} ms`);
  assert.ok(ruleChange < 50, `a rule took ${ruleChange.toFixed(1)} ms`);
  // Gateways share what is equal.
  assert.equal(planner.state('w0')?.devices.get('d500'), planner.state('w1')?.devices.get('d500'));
});

function bigOrganisation(): AccessModel {
  const numbered = (count: number): number[] => Array.from({ length: count }, (_, i) => i);
  return {
    ...emptyModel(),
    groups: new Map(numbered(50).map((i) => [`g${String(i)}`, group({ id: `g${String(i)}` })])),
    users: new Map(
      numbered(5000).map((i) => [
        `u${String(i)}`,
        user({ id: `u${String(i)}`, groups: new Set([`g${String(i % 50)}`, `g${String((i * 7) % 50)}`]) }),
      ]),
    ),
    devices: new Map(numbered(10_000).map((i) => [`d${String(i)}`, device(i, `u${String(i % 5000)}`)])),
    // Half of the gateways give a group an address of its own.
    gateways: new Map(
      numbered(100).map((i) => [
        `w${String(i)}`,
        gateway({ id: `w${String(i)}`, egress: i < 50 ? [{ group: 'g1', ipv4: `198.51.100.${String(i)}` }] : [] }),
      ]),
    ),
    resources: new Map(
      numbered(1000).map((i) => [
        `s${String(i)}`,
        resource({ id: `s${String(i)}`, prefixes: [`10.${String(i >> 8)}.${String(i & 255)}.0/24`] }),
      ]),
    ),
    rules: new Map(
      numbered(1000).map((i) => [
        `l${String(i)}`,
        rule({
          id: `l${String(i)}`,
          groups: [`g${String(i % 50)}`, `g${String((i * 3) % 50)}`],
          resources: [`s${String(i)}`],
          gateways: i % 5 === 4 ? numbered(20).map((n) => `w${String(n)}`) : [],
        }),
      ]),
    ),
  };
}
