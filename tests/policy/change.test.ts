import assert from 'node:assert/strict';
import { test } from 'node:test';
import { applyChange, changeBetween, isEmpty, planGateway } from '@sallyport/policy';
import type { DesiredState } from '@sallyport/policy';
import { SeededRandom } from '@sallyport/testkit';
import { changed, gateway, randomChange, randomOrganisation, START } from './organisation.ts';

const { structuredClone: copy } = globalThis;

test('a change between two states leads from one to the other', () => {
  let notEmpty = 0;
  for (let seed = 1; seed <= 200; seed++) {
    const random = new SeededRandom(seed);
    let model = changed(
      randomOrganisation(random),
      'gateways',
      'w',
      gateway({ id: 'w', egress: [{ group: 'g0', ipv4: '198.51.100.1' }] }),
    );
    const a = planGateway(model, 'w', START);
    for (let i = random.below(20); i > 0; i--) model = randomChange(random, model);
    const b = planGateway(model, 'w', START + random.below(1000) * 1000);
    const change = changeBetween(a, b);
    if (!isEmpty(change)) notEmpty++;
    assert.deepEqual(applyChange(a, change), b, `seed ${String(seed)}`);
    assert.deepEqual(applyChange(undefined, changeBetween(undefined, b)), b);
    // Entries that are equal but other objects are no change.
    assert.ok(isEmpty(changeBetween(b, copy(b))));
  }
  assert.ok(notEmpty > 150, `only ${String(notEmpty)} changes`);
});

test('every field of an entry counts', () => {
  const state: DesiredState = {
    gateway: {
      id: 'w',
      name: 'w',
      pool4: '100.64.0.0/16',
      pool6: 'fd00::/64',
      address4: '100.64.0.1',
      address6: 'fd00::1',
      egress: { ipv4: '198.51.100.1', ipv6: '2001:db8::1' },
      draining: false,
      openvpn: {
        authority: 'a',
        certificate: 'c',
        clientKey: 'k',
        tokenKey: 't',
        dataCiphers: ['AES-256-GCM'],
        push: ['route'],
      },
    },
    groups: new Map([
      [
        'g',
        {
          id: 'g',
          grants: [
            {
              rule: 'l',
              destination: { kind: 'network', prefix: '10.0.0.0/8' },
              protocol: 'tcp',
              ports: [{ from: 1, to: 2 }],
            },
            { rule: 'l', destination: { kind: 'name', name: 'a.example' }, protocol: 'any', ports: [] },
          ],
        },
      ],
    ]),
    devices: new Map([
      [
        'd',
        {
          id: 'd',
          publicKey: 'k',
          ipv4: '100.64.0.2',
          ipv6: 'fd00::2',
          groups: ['g'],
          egress: { ipv4: '198.51.100.2', ipv6: '2001:db8::2' },
          bitsPerSecond: 1,
          validUntil: 2,
          openvpn: { certificates: ['c'], login: 'web', userName: 'u', loginEpoch: 'e' },
        },
      ],
    ]),
  };
  // Each leaf in turn gets another value in a copy.
  let leaves = 0;
  const walk = (path: readonly string[], value: unknown): void => {
    if (value instanceof Map) for (const [key, item] of value) walk([...path, key as string], item);
    else if (Array.isArray(value) && value.length > 0) value.forEach((item, i) => walk([...path, String(i)], item));
    else if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
      for (const [key, item] of Object.entries(value)) walk([...path, key], item);
    } else if (path.at(-1) !== 'id' && path.at(-1) !== 'kind') {
      leaves++;
      const other = copy(state);
      let holder: unknown = other;
      for (const key of path.slice(0, -1)) {
        holder = holder instanceof Map ? holder.get(key) : (holder as Record<string, unknown>)[key];
      }
      (holder as Record<string, unknown>)[path.at(-1) as string] = Array.isArray(value)
        ? [{ from: 9, to: 9 }]
        : typeof value === 'boolean'
          ? !value
          : `${String(value)}x`;
      assert.ok(!isEmpty(changeBetween(state, other)), path.join('.'));
      assert.deepEqual(applyChange(state, changeBetween(state, other)), other);
    }
  };
  walk([], state);
  assert.equal(leaves, 35);
});

test('a change without a gateway needs a state', () => {
  assert.throws(
    () => applyChange(undefined, { putGroups: [], removeGroups: [], putDevices: [], removeDevices: [] }),
    RangeError,
  );
});
