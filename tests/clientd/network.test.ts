/** What is read of the machine's networks, and what is counted as a leak. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { factsOf, groupIdOf, isAllowed, outgoingOf, parseTolerantly, type Allowed } from '@sallyport/clientd';
import { parseNetworkChange } from '@sallyport/io';
import { z } from 'zod';

const up = ['BROADCAST', 'MULTICAST', 'UP', 'LOWER_UP'];
const links = [
  { ifname: 'lo', mtu: 65_536, flags: ['LOOPBACK', 'UP'] },
  { ifname: 'eth0', mtu: 1500, flags: up },
  { ifname: 'wwan0', mtu: 1428, flags: up },
  { ifname: 'eth1', mtu: 1400, flags: ['UP', 'NO-CARRIER'] },
  { ifname: 'sallyport', mtu: 1420, flags: up },
];

test('a network is told by its routers, its prefixes and its narrowest way out', () => {
  const four = [
    { dst: 'default', gateway: '192.168.1.1', dev: 'eth0', metric: 100 },
    { dst: 'default', gateway: '100.64.0.1', dev: 'wwan0', metric: 700 },
    { dst: '192.168.1.0/24', dev: 'eth0' },
    { dst: '10.9.0.0/16', gateway: '192.168.1.7', dev: 'eth0' },
    { dst: '10.77.0.0/16', dev: 'sallyport' },
    { dst: '10.8.0.0/24', dev: 'eth1' },
  ];
  const six = [{ dst: 'fe80::/64', dev: 'eth0' }];
  assert.deepEqual(factsOf(links, four, six), {
    id: '100.64.0.1 wwan0, 192.168.1.1 eth0',
    ipv4: true,
    ipv6: false,
    onLink: ['192.168.1.0/24', 'fe80::/64'],
    devices: ['eth0', 'wwan0'],
    mtu: 1428,
  });
});

test('a default route of our own, or of an interface without a carrier, is none', () => {
  const ours = [
    { dst: 'default', dev: 'sallyport' },
    { dst: 'default', gateway: '10.0.0.1', dev: 'eth1' },
  ];
  const { id, ipv4, mtu } = factsOf(links, ours, []);
  assert.deepEqual([id, ipv4, mtu], ['', false, 1500]);
});

test('several ways at once, and a router of the other family, are ways too', () => {
  const many = [{ dst: 'default', nexthops: [{ dev: 'eth0', gateway: '10.0.0.1' }, { dev: 'wwan0' }] }];
  const { ipv4, mtu } = factsOf(links, many, []);
  assert.deepEqual([ipv4, mtu], [true, 1428]);
  assert.equal(factsOf(links, [{ dst: 'default', via: { family: 'inet6', host: 'fe80::1' }, dev: 'eth0' }], []).id, 'fe80::1 eth0'); // prettier-ignore
});

test('a line of "ip monitor" is read', () => {
  for (const [line, change] of [
    ['[LINK]6: h-v0@h-v1: <BROADCAST> mtu 1500', { kind: 'link', device: 'h-v0', table: undefined, removed: false }],
    ['[ADDR]Deleted 6: eth0    inet 192.0.2.7/24 scope', { kind: 'address', device: 'eth0', table: undefined, removed: true }], // prettier-ignore
    ['[ROUTE]Deleted default via 10.0.0.1 dev eth0 proto', { kind: 'route', device: 'eth0', table: 'main', removed: true }], // prettier-ignore
    ['[ROUTE]local 192.0.2.7 dev eth0 table local proto', { kind: 'route', device: 'eth0', table: 'local', removed: false }], // prettier-ignore
    ['[RULE]Deleted 5110: from all lookup 51921', { kind: 'rule', device: undefined, table: undefined, removed: true }],
  ] as const)
    assert.deepEqual(parseNetworkChange(line), change, line);
  for (const line of ['', 'ROUTE', '[NEIGH]10.0.0.1 dev eth0', '[NEXTHOP]id 1'])
    assert.equal(parseNetworkChange(line), undefined, line);
});

test('the system group', () => {
  const groups = 'root:x:0:\nsallyports:x:7:\nsallyport:x:992:alice,bob\n';
  assert.equal(groupIdOf('sallyport', groups), 992);
  assert.equal(groupIdOf('nobody', groups), undefined);
  assert.equal(groupIdOf('sallyport', 'sallyport:x:many:'), undefined);
});

test('a newer server may say more, not something else', () => {
  const schema = z.strictObject({ a: z.number(), list: z.array(z.strictObject({ b: z.string() })) });
  const told = { a: 1, list: [{ b: 'x', later: { deep: 1 } }], new: [1] };
  assert.deepEqual(parseTolerantly(schema, told), { a: 1, list: [{ b: 'x' }] });
  assert.deepEqual(told.list[0]?.later, { deep: 1 }, 'the answer itself is left');
  for (const wrong of [{ a: '1', list: [] }, { list: [] }, [], null, 'text', { a: 1, list: [{ later: 1 }] }])
    assert.equal(parseTolerantly(schema, wrong), undefined, JSON.stringify(wrong));
});

const udp = (from: number, to: number): number[] => [from >> 8, from & 255, to >> 8, to & 255, 0, 8, 0, 0];
const ipv4 = (protocol: number, to: number[], rest: number[]): Uint8Array =>
  Uint8Array.from([0x45, 0, 0, 28, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 0, 0, 2, ...to, ...rest]);
const ipv6 = (next: number, rest: number[]): Uint8Array =>
  Uint8Array.from([0x60, 0, 0, 0, 0, 8, next, 64, ...new Array<number>(16).fill(0), 0x20, 1, 0x0d, 0xb8, ...new Array<number>(11).fill(0), 1, ...rest]); // prettier-ignore

test('a packet is read from its network header on, behind extension headers too', () => {
  assert.deepEqual(outgoingOf(0x0800, ipv4(17, [192, 0, 2, 1], udp(4000, 53))), { protocol: 17, destination: '192.0.2.1', port: 53, sourcePort: 4000 }); // prettier-ignore
  assert.deepEqual(outgoingOf(0x86dd, ipv6(0, [17, 0, 0, 0, 0, 0, 0, 0, ...udp(1, 443)])), { protocol: 17, destination: '2001:db8::1', port: 443, sourcePort: 1 }); // prettier-ignore
  assert.deepEqual(outgoingOf(0x86dd, ipv6(58, [135, 0, 0, 0]))?.port, 135);
  assert.equal(outgoingOf(0x0806, new Uint8Array(28)), undefined);
});

test('bytes that are no packet are no harm', () => {
  for (let length = 0; length < 80; length++) {
    for (const first of [0x45, 0x4f, 0x60, 0xff]) {
      const bytes = new Uint8Array(length).fill(first);
      for (const etherType of [0x0800, 0x86dd]) outgoingOf(etherType, bytes);
    }
  }
});

test('what may leave: the tunnel, DHCP, neighbours, and what the settings let out but for names', () => {
  const allowed: Allowed = {
    endpoints: [{ protocol: 'udp', address: '192.0.2.1', port: 51_820 }],
    prefixes: ['192.168.1.0/24', 'fd20::/48'],
    dhcp: true,
  };
  const packet = (protocol: number, destination: string, port: number, sourcePort = 40_000) => ({ protocol, destination, port, sourcePort }); // prettier-ignore
  for (const good of [
    packet(17, '192.0.2.1', 51_820),
    packet(17, '255.255.255.255', 67, 68),
    packet(17, 'ff02::1:2', 547, 546),
    packet(58, 'ff02::1', 135, 0),
    packet(6, '192.168.1.9', 631),
    packet(6, 'fd20::9', 22),
  ])
    assert.equal(isAllowed(good, allowed), true, JSON.stringify(good));
  for (const bad of [
    packet(6, '192.0.2.1', 51_820),
    packet(17, '192.0.2.1', 53),
    packet(17, '192.0.2.2', 51_820),
    packet(17, '192.168.1.1', 53),
    packet(6, '192.168.1.1', 853),
    packet(1, '192.0.2.1', 8, 0),
    packet(58, '2001:db8::1', 128, 0),
    packet(132, '192.0.2.1', 0, 0),
  ])
    assert.equal(isAllowed(bad, allowed), false, JSON.stringify(bad));
  assert.equal(isAllowed(packet(17, '255.255.255.255', 67, 68), { ...allowed, dhcp: false }), false);
});
