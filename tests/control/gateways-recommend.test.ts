import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { AccessModel, GatewayModel, RuleModel, UserModel } from '@sallyport/policy';
import { haversineKm, recommendGateways, type GatewayPlace } from '../../packages/control/src/hub/recommend.ts';
import { NEVER_CONNECTED } from '../../packages/control/src/repositories/status.ts';

const frankfurt = { latitude: 50.11, longitude: 8.68 };
const tokyo = { latitude: 35.68, longitude: 139.69 };
const newYork = { latitude: 40.71, longitude: -74.01 };

const user = { id: 'u', name: 'u', groups: new Set(['staff']) } as unknown as UserModel;

function place(
  at: { latitude: number; longitude: number } | undefined,
  {
    cpu = 0,
    health = 'healthy',
    country = null,
  }: { cpu?: number; health?: GatewayPlace['status']['health']; country?: string | null } = {},
): GatewayPlace {
  const load = { cpu, memoryBytes: 0, receivedBitsPerSecond: 0, sentBitsPerSecond: 0, activeDevices: 0 };
  return {
    status: { ...NEVER_CONNECTED, health, load },
    country,
    latitude: at?.latitude ?? null,
    longitude: at?.longitude ?? null,
  };
}

function model(
  gateways: Record<string, Partial<GatewayModel>>,
  rules: readonly Partial<RuleModel>[] = [{}],
): AccessModel {
  return {
    pool4: '10.0.0.0/8',
    pool6: 'fd00::/64',
    users: new Map([['u', user]]),
    groups: new Map(),
    devices: new Map(),
    gateways: new Map(
      Object.entries(gateways).map(([id, gateway]) => [
        id,
        { id, name: id, regionId: 'default', draining: false, egress: [], ...gateway },
      ]),
    ),
    resources: new Map([
      ['net', { id: 'net', name: 'net', kind: 'internet', prefixes: [], domain: null, services: [] }],
    ]),
    rules: new Map(
      rules.map((rule, index) => {
        const id = String(index);
        return [id, { id, name: id, enabled: true, groups: ['staff'], resources: ['net'], gateways: [], ...rule }];
      }),
    ),
    tests: new Map(),
  };
}

function order(
  ...[access, places, options]: [AccessModel, Record<string, GatewayPlace>, Parameters<typeof recommendGateways>[3]?]
) {
  return recommendGateways(access, new Map(Object.entries(places)), user, options).map(({ gatewayId }) => gatewayId);
}

describe('the recommended gateway', () => {
  test('is the nearest one when all have the same load', () => {
    const access = model({ a: {}, b: {}, c: {} });
    const places = { a: place(tokyo), b: place(newYork), c: place(frankfurt) };
    assert.deepEqual(order(access, places, { near: { latitude: 48.85, longitude: 2.35 } }), ['c', 'b', 'a']);
    assert.deepEqual(order(access, places, { near: { latitude: 37.5, longitude: 127 } })[0], 'a');
    assert.deepEqual(order(access, places), ['a', 'b', 'c']);
  });

  test('is not one that is busy when another one is hardly farther', () => {
    const near = { near: frankfurt };
    const access = model({ a: {}, b: {} });
    assert.deepEqual(order(access, { a: place(frankfurt, { cpu: 0.9 }), b: place(newYork) }, near), ['b', 'a']);
    assert.deepEqual(order(access, { a: place(frankfurt, { cpu: 0.5 }), b: place(tokyo) }, near), ['a', 'b']);
  });

  test('is never one that is draining or can not be reached, though these are still named', () => {
    const access = model({ a: { draining: true }, b: {}, c: {} });
    const places = { a: place(frankfurt), b: place(frankfurt, { health: 'unreachable' }), c: place(tokyo, { cpu: 1 }) };
    const choices = recommendGateways(access, new Map(Object.entries(places)), user, { near: frankfurt });
    assert.deepEqual(choices.map(({ gatewayId, open }) => [gatewayId, open]), [['c', true], ['a', false], ['b', false]]); // prettier-ignore
  });

  test("is one of the user's own: groups and regions count", () => {
    const access = model({ a: {}, b: {}, c: { regionId: 'east' } }, [{ gateways: ['b'] }, { gateways: ['c'] }]);
    const places = { a: place(frankfurt), b: place(tokyo), c: place(newYork) };
    assert.deepEqual(order(access, places, { near: newYork }), ['c', 'b']);
    assert.deepEqual(order(access, places, { regionId: 'east' }), ['c']);
    assert.deepEqual(order(model({ a: {} }, [{ groups: ['others'] }]), places), []);
    assert.deepEqual(order(model({ a: {} }, [{ enabled: false }]), places), []);
    assert.deepEqual(order(model({ a: {} }, [{ resources: [] }]), places), []);
  });

  test('is in the country that was asked for', () => {
    const access = model({ a: {}, b: {}, c: {} });
    const places = {
      a: place(tokyo, { country: 'JP' }),
      b: place(frankfurt, { country: 'DE' }),
      c: place(undefined, { country: 'DE' }),
    };
    assert.deepEqual(order(access, places, { near: { country: 'JP' } }), ['a', 'c', 'b']);
    assert.equal(order(access, places, { near: { country: 'DE' } })[0], 'b');
    // As gateways say it when they join; nobody has given their coordinates yet.
    const joined = {
      a: place(undefined, { country: 'JP' }),
      b: place(undefined),
      c: place(undefined, { country: 'DE' }),
    };
    assert.deepEqual(order(access, joined, { near: { country: 'DE' } }), ['c', 'a', 'b']);
    assert.deepEqual(order(access, joined), ['a', 'b', 'c']);
  });

  test('distances are those on the globe', () => {
    assert.ok(Math.abs(haversineKm(frankfurt, newYork) - 6203) < 20);
    assert.ok(Math.abs(haversineKm(frankfurt, tokyo) - 9340) < 40);
    assert.ok(Math.abs(haversineKm({ latitude: 0, longitude: 179 }, { latitude: 0, longitude: -179 }) - 222) < 2);
    assert.equal(haversineKm(tokyo, tokyo), 0);
  });
});
