import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { FirewallPlan, FirewallPlanChange } from '@sallyport/policy';
import { InvalidRequest, RequestDecoder } from '@sallyport/privileged';

const decoder = new RequestDecoder({ interfaceName: 'tun9', pools: ['10.77.0.0/16', 'fd77::/64'] });

function plan(devices = 3): FirewallPlan {
  return {
    interfaceName: 'tun9',
    gateway: {
      pool4: '10.77.0.0/16',
      pool6: 'fd77::/64',
      address4: '10.77.0.1',
      address6: 'fd77::1',
      egress: { ipv4: '192.0.2.1' },
    },
    ownAddresses: ['192.0.2.1'],
    localTcpPorts: [443],
    groups: [
      {
        id: 'staff',
        grants: [
          {
            rule: 'r',
            destination: { kind: 'network', prefix: '10.0.0.0/8' },
            protocol: 'tcp',
            ports: [{ from: 1, to: 2 }],
          },
          { rule: 'r', destination: { kind: 'name', name: 'db.example' }, protocol: 'any', ports: [] },
          { rule: 'r', destination: { kind: 'internet' }, protocol: 'any', ports: [] },
        ],
      },
    ],
    devices: Array.from({ length: devices }, (_, i) => ({
      id: `device-${String(i)}`,
      ipv4: `10.77.${String((i >> 8) & 255)}.${String(i & 255)}`,
      ipv6: `fd77::${(i + 2).toString(16)}`,
      groups: ['staff'],
      egress: { ipv6: '2001:db8::1' },
      bitsPerSecond: 1_000_000,
      ...(i === 1 ? { networks: ['10.9.0.0/16', 'fd09::/64'] } : {}),
    })),
    tunnelPorts: { udp: [53], tcp: [53] },
    neighbours: [
      { gatewayId: 'oslo', host: 'oslo.example', port: 51_820 },
      { gatewayId: 'rome', host: '192.0.2.9', port: 51_820 },
    ],
    connectedNetworks: ['10.8.0.0/16'],
    names: { 'db.example': ['192.0.2.7', '2001:db8::7'] },
  };
}

test('a plan of 10,000 devices is checked in full within some tens of milliseconds', (t) => {
  const request = { kind: 'setFirewall', plan: plan(10_000) };
  decoder.decode(request);
  let best = Infinity;
  for (let i = 0; i < 5; i++) {
    // Its own time: what the machine does besides is no matter.
    const start = process.threadCpuUsage();
    decoder.decode(request);
    const { user, system } = process.threadCpuUsage(start);
    best = Math.min(best, (user + system) / 1000);
  }
  t.diagnostic(`${best.toFixed(1)} ms`);
  assert.ok(best < 100);
});

/** The plan's parts once more, as a change. */
function change(): FirewallPlanChange {
  const { groups, devices, ...surroundings } = plan();
  return {
    putGroups: groups,
    removeGroups: ['guests'],
    putDevices: devices,
    removeDevices: ['device-9'],
    surroundings,
  };
}

/** What each place of a request must not hold. */
const bad: Readonly<Record<string, readonly unknown[]>> = {
  address: ['', '10.77.0.300', '10.77.0.1/16', 'fd77::1%eth0', '-4', '10.77.0.1 dev lan0', '010.77.0.1', 1, null, {}],
  prefix: [
    '',
    '10.77.0.0',
    '10.77.0.0/33',
    '10.77.0.0/016',
    '10.77.0.0/16 via 192.0.2.1',
    '--help',
    'fd77::/129',
    [],
    5,
  ],
  outside: ['10.78.0.0/16', '10.0.0.0/8', '0.0.0.0/0', '::/0', 'fd78::/64', 'fd00::/8'],
  network: ['0.0.0.0/0', '::/0', '10.0.0.0/7', '127.0.0.0/8', 'fe80::/64', '224.0.0.0/8', '10.9.0.1/16', 'FD09::/64'],
  mtu: [0, 1279, 65_536, 1300.5, '1300', undefined, {}],
  outsideAddress: ['10.78.0.2', 'fd78::2', '8.8.8.8'],
  number: [-1, 1.5, '5', NaN, Infinity, 1e9, null],
  rate: [0, -1, 1.5, '5', NaN, 1e15, null],
  revision: [0, -1, 1.5, '5', 2 ** 53, null],
  identifier: ['', 'a b', 'a"b', 'a;b', 'ä', 'x'.repeat(200), 7, null],
  name: ['', '-n x', 'a b', '.', 'a..b', 'x'.repeat(64), '"', 'a\nb'],
};

/** Each place of a request, as a path, and the kinds of values that it must not hold. */
const places: readonly (readonly [request: object, path: string, kinds: readonly string[]])[] = [
  ...(['addresses.0', 'routes.0'] as const).map(
    (path) =>
      [
        { kind: 'configureInterface', addresses: ['10.77.0.1/16'], routes: ['fd77::/64'], mtu: 1420 },
        path,
        ['prefix', 'outside'],
      ] as const,
  ),
  [{ kind: 'configureInterface', addresses: [], routes: [], mtu: 1420 }, 'mtu', ['number']],
  ...['networks.0', 'unreachable.0'].map(
    (path) =>
      [
        { kind: 'setNetworks', networks: ['10.9.0.0/16', 'fd09::/64'], unreachable: ['10.8.0.0/16'] },
        path,
        ['prefix', 'network'],
      ] as const,
  ),
  [{ kind: 'setDeviceMtu', ipv4: '10.77.0.2', ipv6: 'fd77::2', mtu: 1300 }, 'ipv4', ['address', 'outsideAddress']],
  [{ kind: 'setDeviceMtu', ipv4: '10.77.0.2', ipv6: 'fd77::2', mtu: 1300 }, 'ipv6', ['address', 'outsideAddress']],
  [{ kind: 'setDeviceMtu', ipv4: '10.77.0.2', ipv6: 'fd77::2', mtu: 1300 }, 'mtu', ['mtu']],
  [{ kind: 'cutFlows', addresses: ['10.77.0.1'] }, 'addresses.0', ['address']],
  ...(
    [
      ['plan.gateway.pool4', ['prefix', 'outside']],
      ['plan.gateway.pool6', ['prefix', 'outside']],
      ['plan.gateway.address4', ['address']],
      ['plan.gateway.egress.ipv4', ['address']],
      ['plan.ownAddresses.0', ['address']],
      ['plan.localTcpPorts.0', ['number']],
      ['plan.groups.0.id', ['identifier']],
      ['plan.groups.0.grants.0.rule', ['identifier']],
      ['plan.groups.0.grants.0.destination.prefix', ['prefix']],
      ['plan.groups.0.grants.0.protocol', ['identifier', 'number']],
      ['plan.groups.0.grants.0.ports.0.from', ['number']],
      ['plan.groups.0.grants.0.ports.0.to', ['number']],
      ['plan.groups.0.grants.1.destination.name', ['name']],
      ['plan.devices.1.id', ['identifier']],
      ['plan.devices.1.ipv4', ['address']],
      ['plan.devices.1.ipv6', ['address']],
      ['plan.devices.1.groups.0', ['identifier']],
      ['plan.devices.1.egress.ipv6', ['address']],
      ['plan.devices.1.bitsPerSecond', ['rate']],
      ['plan.devices.1.networks.1', ['prefix', 'network']],
      ['plan.tunnelPorts.udp.0', ['number']],
      ['plan.tunnelPorts.tcp', ['number']],
      ['plan.neighbours.0.gatewayId', ['identifier']],
      ['plan.neighbours.0.host', ['name']],
      ['plan.neighbours.1.port', ['number']],
      ['plan.connectedNetworks.0', ['prefix']],
      ['plan.names', ['identifier', 'number']],
      ['plan.interfaceName', ['identifier', 'name']],
    ] as const
  ).flatMap(
    ([path, kinds]) =>
      [
        [{ kind: 'setFirewall', plan: plan() }, path, kinds],
        [{ kind: 'changeFirewall', revision: 7, change: change() }, inChange(path), kinds],
      ] as const,
  ),
  [{ kind: 'changeFirewall', revision: 7, change: change() }, 'revision', ['revision']],
  ...['removeGroups', 'removeDevices', 'putGroups', 'putDevices'].map(
    (list) => [{ kind: 'changeFirewall', revision: 7, change: change() }, `change.${list}.0`, ['identifier']] as const,
  ),
];

/** Where a change holds what is at `path` in a plan. */
function inChange(path: string): string {
  return path
    .replace('plan.', 'change.surroundings.')
    .replace('surroundings.groups', 'putGroups')
    .replace('surroundings.devices', 'putDevices');
}

function replaced(request: object, path: string, value: unknown): unknown {
  const copy = structuredClone(request) as Record<string, unknown>;
  const keys = path.split('.');
  const last = keys.pop() ?? '';
  const parent = keys.reduce<Record<string, unknown>>((at, key) => at[key] as Record<string, unknown>, copy);
  assert.ok(last in parent, path);
  parent[last] = value;
  return copy;
}

test('no place takes what it is not for', () => {
  for (const [request, path, kinds] of places) {
    assert.doesNotThrow(() => decoder.decode(request), path);
    for (const value of kinds.flatMap((kind) => bad[kind] ?? []))
      assert.throws(
        () => decoder.decode(replaced(request, path, value)),
        InvalidRequest,
        `${path} took ${JSON.stringify(value)}`,
      );
  }
});

test('no object takes a key that is not known, nor does without one', () => {
  const objects = ['', 'plan', 'plan.gateway', 'plan.groups.0', 'plan.groups.0.grants.0', 'plan.devices.0'];
  objects.push('plan.tunnelPorts', 'plan.neighbours.0');
  const cases = objects.map((path) => [{ kind: 'setFirewall', plan: plan() }, path] as const);
  const changes = ['change', ...objects.filter((path) => path !== '').map(inChange), 'change.surroundings'];
  for (const [like, path] of [
    ...cases,
    ...changes
      .filter((path) => path !== 'plan')
      .map((path) => [{ kind: 'changeFirewall', revision: 7, change: change() }, path] as const),
  ]) {
    const request = structuredClone(like) as Record<string, unknown>;
    const at = path === '' ? request : path.split('.').reduce((object, key) => object[key] as typeof request, request);
    at['extra'] = 1;
    assert.throws(() => decoder.decode(request), InvalidRequest, path);
    delete at['extra'];
    const key = Object.keys(at)[0] ?? '';
    Reflect.deleteProperty(at, key);
    assert.throws(() => decoder.decode(request), InvalidRequest, `${path} without ${key}`);
  }
});

test('a device’s own MTU can be taken back, and needs both addresses', () => {
  const request = { kind: 'setDeviceMtu', ipv4: '10.77.0.2', ipv6: 'fd77::2', mtu: null };
  assert.deepEqual(decoder.decode(request), request);
  assert.throws(() => decoder.decode({ ...request, ipv6: '10.77.0.3' }), InvalidRequest);
  assert.throws(() => decoder.decode({ kind: 'setDeviceMtu', ipv4: '10.77.0.2', mtu: null }), InvalidRequest);
});

test('what is no request at all is refused', () => {
  for (const value of [undefined, null, 1, 'tearDown', [], {}, { kind: 'run' }, { kind: 'tearDown', command: 'id' }])
    assert.throws(() => decoder.decode(value), InvalidRequest);
});

test('bounds that make no sense are refused at the start', () => {
  for (const interfaceName of ['', 'all', 'a b', '-x', '../x', 'x'.repeat(16)])
    assert.throws(() => new RequestDecoder({ interfaceName, pools: ['10.0.0.0/8'] }), interfaceName);
  for (const pools of [[], ['0.0.0.0/0'], ['10.0.0.0'], ['x/8']])
    assert.throws(() => new RequestDecoder({ interfaceName: 'tun9', pools }), pools.join());
});
