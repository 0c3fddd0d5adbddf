import assert from 'node:assert/strict';
import { test } from 'node:test';
import { addTraffic, trafficThisMonth, usageByDay } from '../../packages/control/src/repositories/usage.ts';
import { addUser, administrator, onBothDatabases } from './databases.ts';
onBothDatabases('traffic', ({ create, open }) => {
  test('of a day stops where it can still be added up', async () => {
    const store = await open(await create());
    const now = Date.parse('2027-03-10T12:00:00Z');
    await store.write(administrator, (w) => addUser(w, 'alice'));
    const item = (deviceId: string, n: number) => ({
      deviceId,
      userId: 'alice',
      day: '2027-03-10',
      sentBytes: n,
      receivedBytes: 7,
    });
    await store.db.transaction().execute((t) => addTraffic(t, [item('a', 5), item('b', 2 ** 52)]));
    await store.db.transaction().execute((t) => addTraffic(t, [item('a', 6), item('b', 2 ** 52)]));
    assert.deepEqual(await usageByDay(store.db, { deviceId: 'a' }, now), [
      { day: '2027-03-10', sentBytes: 11, receivedBytes: 14 },
    ]);
    assert.deepEqual(await usageByDay(store.db, {}, now), [
      { day: '2027-03-10', sentBytes: 2 ** 50 + 11, receivedBytes: 28 },
    ]);
    assert.equal((await trafficThisMonth(store.db, ['alice'], now)).get('alice'), 2 ** 50 + 11 + 28);
  });
});
