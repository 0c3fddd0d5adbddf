import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { DesiredState, DevicePlan, GroupPlan } from '@sallyport/policy';
import { digestOf } from '../../packages/control/src/hub/state-digest.ts';

function state(changes: Partial<Record<'gateway' | 'group' | 'device', object>> = {}, reversed = false): DesiredState {
  const of = <T>(entries: [string, unknown][]) => new Map(reversed ? entries.reverse() : entries) as Map<string, T>;
  const grants = [{ rule: 'r', destination: { kind: 'internet' }, protocol: 'tcp', ports: [{ from: 1, to: 2 }] }];
  return {
    gateway: { id: 'w', name: 'west', egress: {}, draining: false, ...changes.gateway } as DesiredState['gateway'],
    groups: of<GroupPlan>([
      ['g', { id: 'g', grants, ...changes.group }],
      ['h', { id: 'h', grants }],
    ]),
    devices: of<DevicePlan>([
      ['d1', { id: 'd1', publicKey: 'k', ipv4: '10.0.0.1', ipv6: 'fd::1', groups: ['g', 'h'], ...changes.device }],
      ['d2', { ipv6: 'fd::2', id: 'd2', publicKey: 'l', ipv4: '10.0.0.2', groups: [] }],
    ]),
  };
}

test('the digest of a state is that of its content, in whatever order and objects', () => {
  const one = state();
  const digest = digestOf(one);
  assert.equal(digestOf(one), digest);
  assert.equal(digestOf(state()), digest);
  assert.equal(digestOf(state({}, true)), digest);
  // Fields in another order, and one that is not there.
  assert.equal(digestOf(state({ device: { bitsPerSecond: undefined, groups: ['g', 'h'] } })), digest);
  assert.equal(digestOf({ ...one, devices: new Map(one.devices) }), digest);
});

test('whatever is another in a state makes its digest another', () => {
  const one = state();
  const others = [
    state({ gateway: { draining: true } }),
    state({ group: { grants: [] } }),
    state({ device: { publicKey: 'other' } }),
    state({ device: { groups: ['h', 'g'] } }),
    state({ device: { validUntil: 1 } }),
    // Known entries in another map: one less, and one of them in the place of another.
    { ...one, devices: new Map([...one.devices].slice(1)) },
    { ...one, groups: new Map([...one.groups].slice(1)) },
    { ...one, devices: new Map([...one.devices.keys()].map((id) => [id, one.devices.get('d1')!])) },
  ];
  const digests = new Set([one, ...others].map(digestOf));
  assert.equal(digests.size, others.length + 1);
});
