import assert from 'node:assert/strict';
import { test } from 'node:test';
import { forFirstVersion, forSecondVersion } from '@sallyport/link';
import type { Destination, StateChange } from '@sallyport/policy';

const network = (prefix: string): Destination => ({ kind: 'network', prefix });
const destinations: readonly Destination[] = [
  { kind: 'internet' },
  ...['10.1.0.0/16', '10.1.2.0/24', '10.0.0.0/8', '10.2.0.0/16', 'fd09::/64'].map(network),
  { kind: 'name', name: 'db.example' },
];

const change: StateChange = {
  gateway: {
    id: 'gw',
    name: 'gw',
    pool4: '100.64.0.0/10',
    pool6: 'fd00::/64',
    address4: '100.64.0.1',
    address6: 'fd00::1',
    egress: {},
    draining: false,
    neighbours: [{ gatewayId: 'w', host: 'oslo.example', port: 51_820 }],
    connectedNetworks: ['10.1.0.0/16'],
    names: { upstreams: [], blocked: [], blockLists: [], hosts: [], domains: [] },
    openvpn: { authority: 'a', certificate: 'c', clientKey: 'k', tokenKey: 't', dataCiphers: [], push: [] },
  },
  putGroups: [{ id: 'g', grants: destinations.map((destination) => ({ rule: 'r', destination, protocol: 'any', ports: [] })) }], // prettier-ignore
  removeGroups: ['old'],
  putDevices: [
    { id: 'd', publicKey: 'k', ipv4: '100.64.0.2', ipv6: 'fd00::2', groups: ['g'], networks: ['10.1.0.0/16'], validUntil: 5 }, // prettier-ignore
    { id: 'o', openvpn: { certificates: [], login: 'password', userName: 'u', loginEpoch: 'e' }, ipv4: '100.64.0.3', ipv6: 'fd00::3', groups: ['g'] }, // prettier-ignore
  ],
  removeDevices: ['x'],
};

/** As it is sent. */
const sent = (connected: readonly string[]): StateChange =>
  JSON.parse(JSON.stringify(forFirstVersion(change, connected))) as StateChange;

test('a gateway of the first version gets what its schema knows', () => {
  const { gateway, putDevices, putGroups, ...rest } = sent([]);
  assert.deepEqual(gateway, {
    id: 'gw',
    name: 'gw',
    pool4: '100.64.0.0/10',
    pool6: 'fd00::/64',
    address4: '100.64.0.1',
    address6: 'fd00::1',
    egress: {},
    draining: false,
  });
  assert.deepEqual(putDevices, [{ id: 'd', publicKey: 'k', ipv4: '100.64.0.2', ipv6: 'fd00::2', groups: ['g'], validUntil: 5 }]); // prettier-ignore
  assert.deepEqual(putGroups, change.putGroups);
  assert.deepEqual(rest, { removeGroups: ['old'], removeDevices: ['x'] });
});

test('and no grant that may lead to a network behind a device, which it can’t tell from others', () => {
  const kept = sent(['10.1.0.0/16', 'fd08::/64']).putGroups[0]?.grants.map(({ destination }) => destination);
  assert.deepEqual(kept, [{ kind: 'internet' }, network('10.2.0.0/16'), network('fd09::/64')]);
});

test('a gateway of the second version gets everything but OpenVPN and its devices', () => {
  const second = JSON.parse(JSON.stringify(forSecondVersion(change))) as StateChange;
  const { openvpn: _, ...gateway } = change.gateway!;
  assert.deepEqual(second, { ...change, gateway, putDevices: change.putDevices.slice(0, 1) });
});
