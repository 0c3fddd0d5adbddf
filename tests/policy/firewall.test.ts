import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  changePlan,
  changeRuleset,
  compileFirewall,
  FirewallCompiler,
  FirewallPlanError,
  judge,
  LAST_GENERATION,
  MAX_NETWORKS,
  usableNetworks,
  type FirewallPlan,
  type FirewallPlanChange,
  type Grant,
  type NftCommand,
  type Protocol,
  type Ruleset,
} from '@sallyport/policy';
import { withSeed } from '../../packages/testkit/src/seeded-random.ts';
import { changedPlan, OWN, randomPacket, randomPlan } from './random-plans.ts';
import { evaluate } from './ruleset-evaluator.ts';

const base: FirewallPlan = {
  interfaceName: 'spt0',
  gateway: { pool4: '10.64.0.0/10', pool6: 'fd5a::/48', address4: '10.64.0.1', address6: 'fd5a::1', egress: {} },
  ownAddresses: OWN,
  localTcpPorts: [8443],
  groups: [],
  devices: [{ id: 'a', ipv4: '10.64.0.2', ipv6: 'fd5a::2', groups: ['g'] }],
  names: {},
};

const grant = (prefix: string, protocol: Protocol = 'any', ...ports: [number, number][]): Grant => ({
  rule: `${prefix} ${protocol}`,
  destination: { kind: 'network', prefix },
  protocol,
  ports: ports.map(([from, to]) => ({ from, to })),
});
const internet: Grant = { rule: 'internet', destination: { kind: 'internet' }, protocol: 'any', ports: [] };
const granting = (...grants: Grant[]): FirewallPlan => ({ ...base, groups: [{ id: 'g', grants }] });
const elementsOf = (ruleset: Ruleset, set: string): string[] => [...(ruleset.sets.get(set)?.elements.keys() ?? [])];

test('a compiled ruleset decides as the model says, whatever the plan', () => {
  withSeed((random) => {
    const counts = { allowed: 0, denied: 0 };
    for (let i = 0; i < 2200; i++) {
      const plan = randomPlan(random);
      const ruleset = compileFirewall(plan);
      const own = [...plan.ownAddresses, plan.gateway.address4, plan.gateway.address6];
      for (let j = 0; j < 20; j++) {
        const packet = { ...randomPacket(random, plan), fromTunnel: !random.chance(0.1) };
        if (!packet.fromTunnel && own.includes(packet.destination) && !packet.destination.startsWith('10.64.'))
          continue;
        const { allowed } = judge(plan, packet);
        counts[allowed ? 'allowed' : 'denied']++;
        const verdict = evaluate(ruleset, packet, plan.interfaceName, own);
        assert.equal(verdict === 'accept', allowed, JSON.stringify({ packet, verdict, plan }));
        assert.equal(verdict === 'accept', allowed);
      }
    }
    assert.ok(counts.allowed > 2000 && counts.denied > 2000, JSON.stringify(counts));
  });
});

describe('what a group reaches as disjoint boxes', () => {
  const boxes = (family: 4 | 6, ...grants: Grant[]): string[] =>
    elementsOf(compileFirewall(granting(...grants)), `group-g-${String(family)}`);

  test('one grant is one box, of its family only', () => {
    assert.deepEqual(boxes(4, grant('10.1.0.0/16')), ['10.1.0.0-10.1.255.255|0-255|0-65535']);
    assert.deepEqual(boxes(6, grant('10.1.0.0/16')), []);
    assert.deepEqual(boxes(6, grant('fd00::1/128', 'tcp', [80, 80])), ['fd00::1|6|80']);
    assert.deepEqual(boxes(4, grant('10.0.0.0/8', 'icmp')), ['10.0.0.0-10.255.255.255|1|0-65535']);
    assert.deepEqual(boxes(6, grant('fd00::/8', 'icmp')), [
      'fd00::-fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff|58|0-65535',
    ]);
  });

  test('what overlaps is cut, what touches is joined', () => {
    assert.deepEqual(boxes(4, grant('10.0.0.0/30', 'tcp', [80, 90]), grant('10.0.0.2/31', 'tcp', [85, 99])), [
      '10.0.0.0-10.0.0.1|6|80-90',
      '10.0.0.2-10.0.0.3|6|80-99',
    ]);
    assert.deepEqual(boxes(4, grant('10.0.0.0/31', 'udp', [1, 2], [3, 4]), grant('10.0.0.2/31', 'udp', [1, 4])), [
      '10.0.0.0-10.0.0.3|17|1-4',
    ]);
    // All of a protocol and of its neighbour are one box, parts of them are not.
    assert.deepEqual(boxes(4, grant('10.0.0.1/32', 'tcp', [0, 65_535]), grant('10.0.0.1/32', 'tcp', [1, 2])), [
      '10.0.0.1|6|0-65535',
    ]);
    assert.deepEqual(boxes(4, grant('10.0.0.0/8'), grant('10.2.0.0/16', 'tcp', [1, 1])), [
      '10.0.0.0-10.255.255.255|0-255|0-65535',
    ]);
  });

  test('the internet has neither special ranges nor pools nor addresses of this machine', () => {
    const plan = granting(internet);
    const reaches = (destination: string): boolean =>
      judge(plan, {
        fromTunnel: true,
        source: destination.includes(':') ? 'fd5a::2' : '10.64.0.2',
        destination,
        protocol: 17,
        port: 53,
      }).allowed;
    for (const address of [
      '1.1.1.1',
      '9.255.255.255',
      '11.0.0.0',
      '172.15.255.255',
      '172.32.0.0',
      '223.255.255.255',
      '100.63.255.255',
      '100.128.0.0',
      '2606:4700::1',
      '2001:200::',
      '2003::',
      '3ffe::',
    ])
      assert.equal(reaches(address), true, address);
    for (const address of [
      ...[
        '0.0.0.0',
        '10.0.0.1',
        '100.64.0.1',
        '127.0.0.1',
        '169.254.169.254',
        '172.16.0.1',
        '172.31.255.255',
        '192.0.0.8',
      ],
      ...['192.88.99.1', '192.168.1.1', '198.18.0.1', '198.19.255.255', '224.0.0.1'],
      ...['239.255.255.250', '240.0.0.1', '255.255.255.255', OWN[0], OWN[1], '10.64.0.1', 'fd5a::9'],
      ...[
        '::',
        '::1',
        '::ffff:1.1.1.1',
        '64:ff9b::101:101',
        '64:ff9b:1::1',
        '100::1',
        '1fff::1',
        '2001::1',
        '2001:2::1',
      ],
      ...['2002:101:101::1', '4000::1', '5f00::1', 'fc00::1', 'fd00::1', 'fe80::1', 'fec0::1', 'ff02::1'],
    ])
      assert.equal(reaches(address), false, address);
  });

  test('too many are refused, with the group and what to do', () => {
    const ports = Array.from({ length: 600 }, (_, i): [number, number] => [2 * i + 1, 2 * i + 1]);
    const hosts = Array.from({ length: 400 }, (_, i) =>
      grant(`10.0.${String(i >> 7)}.${String((i & 127) * 2)}/32`, 'tcp', ...ports),
    );
    assert.throws(
      () => compileFirewall(granting(...hosts)),
      (error) =>
        error instanceof FirewallPlanError && error.code === 'tooLarge' && /"g".*fewer or larger/.test(error.message),
    );
    // Nor does it take long to find out.
    const nested = Array.from({ length: 20_000 }, (_, i) =>
      grant(`10.${String(i >> 8)}.${String(i & 255)}.0/${String(8 + (i % 24))}`, 'tcp', [i, i + 1]),
    );
    const start = process.threadCpuUsage();
    try {
      compileFirewall(granting(...nested));
    } catch (error) {
      assert.ok(error instanceof FirewallPlanError);
    }
    const { user, system } = process.threadCpuUsage(start);
    assert.ok(user + system < 10_000_000, `${String(user + system)} µs`);
  });
});

test('a plan that breaks its promises is refused', () => {
  const [device] = base.devices;
  const bad: [string, Partial<FirewallPlan>][] = [
    ['interface', { interfaceName: 'spt*' }],
    ['interface', { interfaceName: 'lo' }],
    ['pool4', { gateway: { ...base.gateway, pool4: 'fd00::/8' } }],
    ['address6', { gateway: { ...base.gateway, address6: 'fd5a::1; flush ruleset' } }],
    ['egress', { gateway: { ...base.gateway, egress: { ipv4: '@device4' } } }],
    ['ownAddresses', { ownAddresses: ['0.0.0.0/0'] }],
    ['localTcpPorts', { localTcpPorts: [70_000] }],
    ['device "a"', { devices: [{ ...device, ipv4: '10.64.0.02' }] }],
    ['device "a"', { devices: [{ ...device, ipv6: 'fd5a:0::2' }] }],
    ['device "a"', { devices: [{ ...device, ipv6: 'FD5A::2' }] }],
    ['device "b"', { devices: [device, { ...device, id: 'b', ipv6: 'fd5a::3' }] }],
    ['device "a"', { devices: [device, { ...device, ipv4: '10.64.0.3', ipv6: 'fd5a::3' }] }],
    ['device "a"', { devices: [{ ...device, egress: { ipv4: '1.1.1' } }] }],
    ['device "a"', { devices: [{ ...device, bitsPerSecond: -1 }] }],
    ['tunnelPorts', { tunnelPorts: { udp: [0], tcp: [] } }],
    ['neighbours', { neighbours: [{ gatewayId: 'w', host: '192.0.2.1', port: 65_536 }] }],
    ...[
      ...['0.0.0.0/0', '::/0', '10.0.0.0/7', 'fd00::/15', '10.0.0.1/24', '10.0.0.0', 'FD00::/64', '127.0.0.0/8'],
      ...[
        '169.254.0.0/24',
        '224.0.0.0/8',
        'fe80::/64',
        'ff02::/64',
        '::ffff:a00:0/104',
        '198.51.100.0/24',
        '2001:db8::/32',
      ],
      ...['10.64.0.0/16', '10.0.0.0/8', 'fd5a::/64', 'fd00::/16; flush ruleset'],
    ].map((network): [string, Partial<FirewallPlan>] => [
      'networks',
      { devices: [{ ...device, networks: [network] }] },
    ]),
    [
      'networks',
      {
        devices: [
          { ...device, networks: ['10.1.0.0/16'] },
          { ...device, id: 'b', ipv4: '10.64.0.9', ipv6: 'fd5a::9', networks: ['10.1.7.0/24'] },
        ],
      },
    ],
    ['group "g"', { groups: [{ id: 'g', grants: [grant('10.0.0.0/33')] }] }],
    ['group "g"', { groups: [{ id: 'g', grants: [grant('10.0.0.0/8', 'sctp' as Protocol)] }] }],
    ['group "g"', { groups: [{ id: 'g', grants: [grant('10.0.0.0/8', 'tcp', [2, 1])] }] }],
    [
      'group "g"',
      {
        groups: [
          { id: 'g', grants: [] },
          { id: 'g', grants: [] },
        ],
      },
    ],
  ];
  for (const [where, change] of bad)
    assert.throws(
      () => compileFirewall({ ...base, ...change }),
      (error) => error instanceof FirewallPlanError && error.code === 'invalid' && error.message.includes(where),
      JSON.stringify(change),
    );
});

test('of networks that meet, the first device’s counts; what is wrong with the others is said', () => {
  const { byDevice, faults } = usableNetworks(
    [
      { id: 'c', networks: ['10.1.2.0/24', '10.9.0.0/16'] },
      { id: 'a', networks: ['10.1.0.0/16', 'fd00:7::/64', '0.0.0.0/0'] },
      { id: 'b', networks: ['10.64.0.0/24', '192.0.2.0/24'] },
      { id: 'd' },
    ],
    ['10.64.0.0/10', '192.0.2.9'],
  );
  assert.deepEqual(
    [...byDevice],
    [
      ['a', ['10.1.0.0/16', 'fd00:7::/64']],
      ['c', ['10.9.0.0/16']],
    ],
  );
  assert.deepEqual(faults.length, 4);
  assert.ok(faults.some((fault) => /10\.1\.2\.0\/24 meets 10\.1\.0\.0\/16/.test(fault)));
  const many = Array.from({ length: 300 }, (_, i) => ({
    id: `d${String(i).padStart(3, '0')}`,
    networks: [0, 1, 2, 3].map((j) => `10.${String(i & 255)}.${String(4 * (i >> 8) + j)}.0/24`),
  }));
  assert.equal([...usableNetworks(many, []).byDevice.values()].flat().length, MAX_NETWORKS);
});

describe('networks behind devices', () => {
  const plan: FirewallPlan = {
    ...granting(internet, grant('10.1.2.0/24', 'tcp', [443, 443])),
    devices: [
      ...base.devices,
      { id: 'b', ipv4: '10.64.0.3', ipv6: 'fd5a::3', groups: [], networks: ['10.1.2.0/24', '8.8.8.0/24'] },
    ],
  };
  const ruleset = compileFirewall(plan);
  const passes = (source: string, destination: string, port: number, fromTunnel = true): boolean => {
    const packet = { fromTunnel, source, destination, protocol: 6, port };
    const allowed = evaluate(ruleset, packet, 'spt0', [...OWN, '10.64.0.1']) === 'accept';
    assert.equal(allowed, judge(plan, packet).allowed, JSON.stringify(packet));
    return allowed;
  };

  test('are reached by rules alone, and are no internet', () => {
    assert.ok(passes('10.64.0.2', '10.1.2.9', 443));
    assert.ok(!passes('10.64.0.2', '10.1.2.9', 80));
    assert.ok(passes('10.64.0.2', '8.8.4.4', 443));
    assert.ok(!passes('10.64.0.2', '8.8.8.8', 443));
    assert.ok(!passes('10.64.0.3', '10.1.2.9', 443));
  });

  test('begin nothing themselves, and are not claimed from elsewhere', () => {
    for (const to of ['10.64.0.2', '10.64.0.1', '8.8.4.4', OWN[0]]) {
      assert.ok(!passes('10.1.2.9', to, 443), to);
      // Not before it is looked for a flow that it answers.
      const packet = { fromTunnel: true, source: '10.1.2.9', destination: to, protocol: 6, port: 443 };
      assert.equal(evaluate(ruleset, packet, 'spt0', OWN), 'reject');
    }
    assert.equal(
      evaluate(
        ruleset,
        { fromTunnel: true, source: '10.1.3.9', destination: '8.8.4.4', protocol: 6, port: 1 },
        'spt0',
        [],
      ),
      'drop',
    );
    assert.equal(
      evaluate(
        ruleset,
        { fromTunnel: false, source: '10.1.2.9', destination: OWN[0], protocol: 6, port: 1 },
        'spt0',
        OWN,
      ),
      'drop',
    );
  });
});

describe('networks behind devices that are elsewhere', () => {
  const plan: FirewallPlan = {
    ...granting(internet, grant('10.0.0.0/8'), grant('fd00::/8', 'tcp', [22, 22]), {
      ...internet,
      destination: { kind: 'name', name: 'db.example' },
    }),
    connectedNetworks: ['10.0.5.0/24', '10.1.0.0/16', '8.8.8.0/24', 'fd07::/64'],
    devices: [
      { ...base.devices[0], groups: ['g'] },
      { id: 'b', ipv4: '10.64.0.3', ipv6: 'fd5a::3', groups: [], networks: ['10.1.2.0/24'] },
    ],
    ownAddresses: [...OWN, '10.0.5.1'],
    neighbours: [{ gatewayId: 'w', host: '10.0.5.7', port: 51_820 }],
    names: { 'db.example': ['10.0.5.9', '192.168.9.9'] },
  };
  const reaches = (destination: string, port = 22, protocol = 6, at = plan): boolean => {
    const source = destination.includes(':') ? 'fd5a::2' : '10.64.0.2';
    const packet = { fromTunnel: true, source, destination, protocol, port };
    const allowed = evaluate(compileFirewall(at), packet, 'spt0', at.ownAddresses) === 'accept';
    assert.equal(judge(at, packet).allowed, allowed, destination);
    return allowed;
  };

  test('are reached by no rule, whoever has those addresses here', () => {
    for (const address of ['10.0.5.1', '10.0.5.9', '10.1.3.1', '8.8.8.8', 'fd07::1'])
      assert.ok(!reaches(address), address);
    assert.ok(!reaches('10.0.5.7', 51_820, 17), 'nor as another gateway’s entrance');
    for (const address of ['10.0.4.255', '10.0.6.0', '10.1.2.9', '8.8.9.1', 'fd07:0:0:1::1', '192.168.9.9'])
      assert.ok(reaches(address), address);
    assert.ok(reaches('10.0.5.1', 22, 6, { ...plan, connectedNetworks: undefined }), 'a network without a connector');
  });

  test('end the flows that were allowed, and give them back', () => {
    const before = compileFirewall({ ...plan, connectedNetworks: [] });
    assert.ok(changeRuleset(before, compileFirewall(plan), 1).restrictive);
    assert.throws(() => compileFirewall({ ...plan, connectedNetworks: ['10.0.5.0'] }), /connectedNetworks/);
  });
});

test('of what is not the internet a neighbour opens little', () => {
  const entrances = (hosts: readonly [string, number][], ...grants: Grant[]): string[] => {
    const plan = { ...granting(...grants), neighbours: hosts.map(([host, port]) => ({ gatewayId: 'w', host, port })) };
    const at = { ...plan, devices: [{ id: 'b', ipv4: '10.64.0.3', ipv6: 'fd5a::3', groups: [] }] };
    const ruleset = compileFirewall(at);
    return hosts.flatMap(([destination, port]) => {
      const source = destination.includes(':') ? 'fd5a::3' : '10.64.0.3';
      const packet = { fromTunnel: true, source, destination, protocol: 17, port };
      const { allowed } = judge(at, packet);
      assert.equal(evaluate(ruleset, packet, 'spt0', OWN) === 'accept', allowed, destination);
      return allowed ? [`${destination} ${String(port)}`] : [];
    });
  };
  const hosts: [string, number][] = [
    ['10.0.0.53', 53],
    ['10.0.0.53', 1023],
    ['192.168.1.1', 51_820],
    ['fd01::1', 51_820],
    ['fd01::1', 53],
    ['169.254.169.254', 51_820],
    ['127.0.0.1', 51_820],
    ['224.0.0.251', 5353],
    ['fe80::1', 51_820],
    ['203.0.113.1', 443],
  ];
  assert.deepEqual(entrances(hosts), ['192.168.1.1 51820', 'fd01::1 51820', '203.0.113.1 443']);
  // What a rule names takes that rule, though its group be another.
  assert.deepEqual(entrances(hosts, grant('192.168.0.0/16'), grant('203.0.113.0/24')), [
    'fd01::1 51820',
    '203.0.113.1 443',
  ]);
});

test('a neighbour’s name opens nothing inside', () => {
  const plan: FirewallPlan = {
    ...base,
    devices: [...base.devices, { id: 'b', ipv4: '10.64.0.3', ipv6: 'fd5a::3', groups: [], networks: ['10.1.2.0/24'] }],
    neighbours: [{ gatewayId: 'w', host: 'W.example', port: 443 }],
    names: { 'w.example': ['203.0.113.9', '192.168.0.1', '10.64.0.3', OWN[0], '10.1.2.9', 'fd5a::3', '2001:db8:1::1'] },
  };
  const ruleset = compileFirewall(plan);
  const reached = plan.names['w.example'].filter((destination) => {
    const source = destination.includes(':') ? 'fd5a::2' : '10.64.0.2';
    const packet = { fromTunnel: true, source, destination, protocol: 17, port: 443 };
    assert.ok(!judge(plan, { ...packet, protocol: 6 }).allowed && !judge(plan, { ...packet, port: 442 }).allowed);
    assert.equal(evaluate(ruleset, packet, 'spt0', OWN) === 'accept', judge(plan, packet).allowed);
    return judge(plan, packet).allowed;
  });
  assert.deepEqual(reached, ['203.0.113.9', '2001:db8:1::1']);
});

test('addresses in every canonical spelling are taken', () => {
  for (const ipv6 of [
    'fd5a::2',
    'fd5a:1:2:3:4:5:6:7',
    'fd5a:0:1::',
    'fd5a::1:0:0:1',
    'fd5a:0:1:2:3:4:5:6',
    'fd5a::10:20',
  ])
    compileFirewall({ ...base, devices: [{ ...base.devices[0], ipv6 }] });
});

test('group identifiers of any kind have names of their own', () => {
  const ids = ['a', 'a-4', 'with space', 'x'.repeat(300), 'grüße', '@set', '"', ''];
  const plan = {
    ...base,
    groups: ids.map((id, i) => ({ id, grants: [grant(`10.${String(i)}.0.0/16`), grant('fd00::/8')] })),
    devices: ids.map((id, i) => ({
      id,
      ipv4: `10.64.0.${String(i + 2)}`,
      ipv6: `fd5a::${String(i + 2)}`,
      groups: [id],
    })),
  };
  const ruleset = compileFirewall(plan);
  for (const name of [...ruleset.chains.keys(), ...ruleset.sets.keys()]) assert.match(name, /^[a-z][\w.-]{0,90}$/);
  ids.forEach((_, i) => {
    for (const [j, allowed] of ids.map((_, j) => [j, i === j] as const)) {
      const packet = {
        fromTunnel: true,
        source: `10.64.0.${String(i + 2)}`,
        destination: `10.${String(j)}.0.1`,
        protocol: 6,
        port: 1,
      };
      assert.equal(evaluate(ruleset, packet, 'spt0', []) === 'accept', allowed);
    }
  });
});

test('what is compiled plan after plan is what each would be alone, and shares what stayed', () => {
  let shared = 0;
  withSeed((random) => {
    for (let i = 0; i < 60; i++) {
      const compiler = new FirewallCompiler();
      let plan = randomPlan(random);
      let before = compiler.compile(plan);
      for (let step = 0; step < 25; step++) {
        const next = changedPlan(random, plan);
        // As the helper has it: by differences, with entries that are other objects.
        plan = changePlan(plan, structuredClone(differences(plan, next)));
        const ruleset = compiler.compile(plan);
        assert.deepEqual(sorted(ruleset), sorted(compileFirewall(next)), JSON.stringify({ plan, next }));
        for (const [name, set] of ruleset.sets) if (before.sets.get(name) === set && set.elements.size > 0) shared++;
        const refused = { ...plan, devices: [...plan.devices, { ...base.devices[0], ipv4: '10.64.0.02' }] };
        assert.throws(() => compiler.compile(refused), FirewallPlanError);
        before = ruleset;
      }
    }
  });
  assert.ok(shared > 1000, String(shared));
});

/** The order in which things come is nothing that the kernel is told. */
function sorted(ruleset: Ruleset): unknown {
  const entries = <T>(map: ReadonlyMap<string, T>): [string, T][] => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return {
    ...ruleset,
    meters: entries(ruleset.meters),
    sets: entries(ruleset.sets).map(([name, set]) => [name, { ...set, elements: entries(set.elements) }]),
    chains: entries(ruleset.chains),
    owners: entries(ruleset.owners),
    egress: entries(ruleset.egress),
  };
}

function differences(from: FirewallPlan, to: FirewallPlan): FirewallPlanChange {
  const { groups, devices, ...surroundings } = to;
  const other = <T extends { readonly id: string }>(before: readonly T[], now: readonly T[]): T[] =>
    now.filter((entry) => JSON.stringify(entry) !== JSON.stringify(before.find(({ id }) => id === entry.id)));
  const gone = (before: readonly { readonly id: string }[], now: readonly { readonly id: string }[]): string[] =>
    before.flatMap(({ id }) => (now.some((entry) => entry.id === id) ? [] : id));
  return {
    surroundings,
    putGroups: other(from.groups, groups),
    removeGroups: gone(from.groups, groups),
    putDevices: other(from.devices, devices),
    removeDevices: gone(from.devices, devices),
  };
}

describe('changes', () => {
  const many: FirewallPlan = {
    ...base,
    groups: [
      { id: 'g', grants: [internet] },
      { id: 'h', grants: [grant('10.1.0.0/16')] },
    ],
    devices: Array.from({ length: 10_000 }, (_, i) => ({
      id: `d${String(i)}`,
      ipv4: `10.64.${String(i >> 8)}.${String(i & 255)}`,
      ipv6: `fd5a::${(i + 2).toString(16)}`,
      groups: i % 2 === 0 ? ['g'] : ['g', 'h'],
      ...(i % 3 === 0 ? { bitsPerSecond: 1e8 } : {}),
    })),
  };
  const before = compileFirewall(many);
  const elements = (commands: readonly NftCommand[]): number =>
    commands.reduce(
      (sum, command) =>
        sum + ((Object.values(command)[0] as { element?: { elem: unknown[] } }).element?.elem.length ?? 0),
      0,
    );

  test('nothing new, nothing to do', () => {
    const change = changeRuleset(before, compileFirewall(structuredClone(many)), 7);
    assert.deepEqual(change, { transactions: [], restrictive: false, generation: 7, cut: [] });
  });

  test('one device of ten thousand goes with a handful of commands, and the generation after it', () => {
    const change = changeRuleset(before, compileFirewall({ ...many, devices: many.devices.slice(1) }), 7);
    assert.equal(change.transactions.length, 2);
    assert.ok(change.transactions[0].length <= 8 && elements(change.transactions[0]) === 7);
    assert.equal(change.generation, 8);
    assert.deepEqual(change.cut, ['10.64.0.0', 'fd5a::2']);
    // Elements alone: with each new rule the kernel would follow all ways through the table.
    assert.deepEqual(
      change.transactions[1].map((command) => JSON.stringify(command)),
      [
        '{"delete":{"element":{"family":"inet","table":"sallyport","name":"generation","elem":["7"]}}}',
        '{"add":{"element":{"family":"inet","table":"sallyport","name":"generation","elem":["8"]}}}',
        '{"delete":{"element":{"family":"inet","table":"sallyport","name":"mark","elem":[["ipv4","7"],["ipv6","7"]]}}}',
        '{"add":{"element":{"family":"inet","table":"sallyport","name":"mark","elem":[["ipv4","8"],["ipv6","8"]]}}}',
      ],
    );
    assert.ok(!/mark|generation/.test(JSON.stringify(change.transactions[0])));
  });

  test('what only gives does not end the generation', () => {
    const after = compileFirewall({
      ...many,
      groups: [many.groups[0], { id: 'h', grants: [...many.groups[1].grants, grant('10.3.0.0/16')] }],
    });
    const change = changeRuleset(before, after, 7);
    assert.deepEqual([change.transactions.length, change.restrictive, change.generation], [1, false, 7]);
    assert.equal(elements(change.transactions[0]), 1);
  });

  test('the last generation is followed by the first', () => {
    const change = changeRuleset(before, compileFirewall(base), LAST_GENERATION);
    assert.equal(change.generation, 1);
  });

  test('whatever is taken away is called restrictive', () => {
    withSeed((random) => {
      for (let i = 0; i < 500; i++) {
        const plan = randomPlan(random);
        const next = changedPlan(random, plan);
        const { restrictive } = changeRuleset(compileFirewall(plan), compileFirewall(next), 1);
        if (restrictive) continue;
        for (let j = 0; j < 40; j++) {
          const packet = randomPacket(random, plan);
          if (judge(plan, packet).allowed)
            assert.ok(judge(next, packet).allowed, JSON.stringify({ packet, plan, next }));
        }
      }
    });
  });
});
