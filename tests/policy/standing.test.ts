import assert from 'node:assert/strict';
import { test } from 'node:test';
import { bitsPerSecondOf, limitsOf, requiresApproval, sessionLifetimeOf, standingOf } from '@sallyport/policy';
import type { AccessModel, DeviceModel, GroupModel, UserModel } from '@sallyport/policy';
import { device, emptyModel, group, START, user } from './organisation.ts';

function world(
  ofUser: Partial<UserModel>,
  ofDevice: Partial<DeviceModel> = {},
  groups: readonly (Partial<GroupModel> & { id: string })[] = [],
): { model: AccessModel; it: DeviceModel; who: UserModel } {
  const own = groups.filter(({ id }) => id !== 'everyone').map(({ id }) => id);
  const who = user({ id: 'u', groups: new Set(own), ...ofUser });
  const it = device(1, 'u', ofDevice);
  const model = {
    ...emptyModel(),
    users: new Map([['u', who]]),
    devices: new Map([[it.id, it]]),
    groups: new Map([['everyone', group({ id: 'everyone' })], ...groups.map((g) => [g.id, group(g)] as const)]),
  };
  return { model, it, who };
}

const now = START;
const hour = 3_600_000;

test('the gravest reason counts, and validUntil is the first of all ends', () => {
  const standing = (...args: Parameters<typeof world>) => {
    const { model, it } = world(...args);
    return standingOf(model, it, now);
  };
  assert.deepEqual(standing({}), { standing: 'active' });
  assert.deepEqual(standing({ expiresAt: now + 5 }, { expiresAt: now + 3 }), {
    standing: 'active',
    validUntil: now + 3,
  });
  assert.deepEqual(standing({ expiresAt: now + 2 }, { expiresAt: now + 3 }), {
    standing: 'active',
    validUntil: now + 2,
  });
  assert.deepEqual(standing({ disabled: true, expiresAt: now }), { standing: 'userDisabled' });
  assert.deepEqual(standing({ expiresAt: now }, { approved: false }), { standing: 'userExpired' });
  assert.deepEqual(standing({}, { approved: false, expiresAt: now }), { standing: 'awaitingApproval' });
  assert.deepEqual(standing({ lastLoginAt: null }, { expiresAt: now }, [{ id: 'g', sessionLifetimeMs: hour }]), {
    standing: 'deviceExpired',
  });
  const certificate = (expiresAt: number) => ({ openvpn: { login: 'password', certificate: { sha256: '', expiresAt } } }) as const; // prettier-ignore
  assert.deepEqual(standing({}, certificate(now)), { standing: 'certificateExpired' });
  assert.deepEqual(standing({}, { ...certificate(now), expiresAt: now }), { standing: 'deviceExpired' });
  assert.deepEqual(standing({ lastLoginAt: null }, certificate(now), [{ id: 'g', sessionLifetimeMs: hour }]), {
    standing: 'certificateExpired',
  });
  assert.deepEqual(standing({ expiresAt: now + 9 }, { ...certificate(now + 4), expiresAt: now + 5 }), {
    standing: 'active',
    validUntil: now + 4,
  });
  assert.deepEqual(standing({}, { openvpn: { login: 'web', certificate: null } }), { standing: 'active' });
  assert.deepEqual(standing({ lastLoginAt: null }, {}, [{ id: 'g', sessionLifetimeMs: hour }]), {
    standing: 'loginRequired',
  });
  assert.deepEqual(standing({ lastLoginAt: now - hour }, {}, [{ id: 'g', sessionLifetimeMs: hour }]), {
    standing: 'loginRequired',
  });
  assert.deepEqual(standing({ lastLoginAt: now - hour + 1 }, {}, [{ id: 'g', sessionLifetimeMs: hour }]), {
    standing: 'active',
    validUntil: now + 1,
  });
  assert.deepEqual(standing({ trafficBytesPerMonth: 10, trafficBytesThisMonth: 10 }), { standing: 'trafficUsedUp' });
  assert.deepEqual(standing({ trafficBytesPerMonth: 10, trafficBytesThisMonth: 9 }), { standing: 'active' });
});

test('a device without its user is barred', () => {
  const { model } = world({});
  assert.equal(standingOf(model, device(2, 'nobody'), now).standing, 'userDisabled');
});

test("a user's own limits count before those of groups, of which the largest does", () => {
  const groups = [
    { id: 'everyone', bitsPerSecond: 1, devicesPerUser: 9 },
    { id: 'a', bitsPerSecond: 3 },
    { id: 'b', bitsPerSecond: 2 },
  ];
  const grouped = world({}, {}, groups);
  assert.deepEqual(limitsOf(grouped.model, grouped.who), {
    devicesPerUser: 9,
    bitsPerSecond: 3,
    trafficBytesPerMonth: null,
  });
  assert.equal(bitsPerSecondOf(grouped.model, grouped.it), 3);
  const own = world({ bitsPerSecond: 1, devicesPerUser: 0 }, { bitsPerSecond: 7 }, groups);
  assert.deepEqual(limitsOf(own.model, own.who), { devicesPerUser: 0, bitsPerSecond: 1, trafficBytesPerMonth: null });
  assert.equal(bitsPerSecondOf(own.model, own.it), 7);
});

test('the shortest session counts, and any group that asks for approval', () => {
  const { model, who } = world({}, {}, [
    { id: 'a', sessionLifetimeMs: 2 * hour },
    { id: 'b', sessionLifetimeMs: hour },
    { id: 'everyone', requireDeviceApproval: true },
  ]);
  assert.equal(sessionLifetimeOf(model, who), hour);
  assert.ok(requiresApproval(model, who));
  const none = world({}, {}, [{ id: 'a' }]);
  assert.equal(sessionLifetimeOf(none.model, none.who), null);
  assert.ok(!requiresApproval(none.model, none.who));
});
