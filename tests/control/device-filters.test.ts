/** What lists of devices can be narrowed to. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { routes } from '@sallyport/api';
import { SYSTEM } from '@sallyport/control';
import { apiWorld } from './api-world.ts';
import { deviceRow, onBothDatabases, userRow } from './databases.ts';

const key = (n: number): string => Buffer.alloc(32, n).toString('base64');

onBothDatabases('devices', (databases) => {
  test('are found by name, user, part of an address, the beginning of a key, standing and gateway', async () => {
    await using world = await apiWorld({ url: await databases.create() });
    await world.services.store.write(SYSTEM, async ({ db, changed }) => {
      await db
        .insertInto('user')
        .values([userRow('alice'), userRow('albert'), { ...userRow('mallory'), disabled: 1 }])
        .execute();
      const device = (n: number, user: string, more: object = {}) => ({
        ...deviceRow(n, user),
        public_key: key(n),
        ipv4: `100.64.3.${n}`,
        ipv6: `fd00:5a11::3:${n}`,
        ...more,
      });
      await db
        .insertInto('device')
        .values([
          device(1, 'alice', { name: 'Laptop' }),
          device(2, 'alice', { name: 'phone', approved: 0 }),
          device(3, 'albert', { name: 'laptop 2', expires_at: 5 }),
          device(4, 'mallory', { name: 'tablet', ipv4: '100.64.4.4', ipv6: 'fd00:5a11::4:4' }),
        ])
        .execute();
      await db
        .insertInto('gateway')
        .values({
          id: 'g-1',
          name: 'oslo-1',
          region_id: 'default',
          country: null,
          city: null,
          latitude: null,
          longitude: null,
          endpoint_host: 'gateway.example.org',
          endpoint_port: 51_820,
          wireguard_public_key: 'k',
          link_key_hash: 'k',
          egress: '[]',
          addresses: '[]',
          draining: 0,
          created_at: 1,
          version: 1,
        })
        .execute();
      await db
        .insertInto('device_status')
        .values({ device_id: 'd3', gateway_id: 'g-1', last_handshake_at: 1 })
        .execute();
      for (const id of ['alice', 'albert', 'mallory']) changed('user', id);
      for (const id of ['d1', 'd2', 'd3', 'd4']) changed('device', id);
      changed('gateway', 'g-1');
    });
    const admin = world.client(world.root);
    const ids = async (query: Record<string, string>) => {
      const found: string[] = [];
      for await (const { id } of admin.list(routes.listDevices, { query: { limit: 1, ...query } })) found.push(id);
      return found.sort();
    };
    const cases: [Record<string, string>, string[]][] = [
      [{ search: 'LAPTOP' }, ['d1', 'd3']],
      [{ search: 'alice' }, ['d1', 'd2']],
      [{ search: '100.64.3.' }, ['d1', 'd2', 'd3']],
      [{ search: '.4.4' }, ['d4']],
      [{ search: 'FD00:5A11::3' }, ['d1', 'd2', 'd3']],
      [{ search: key(2) }, ['d2']],
      [{ search: key(2).slice(0, 8) }, ['d2']],
      // A key is written in one way, and two letters of it say nothing.
      [{ search: key(3).slice(0, 8).toLowerCase() }, []],
      [{ search: key(2).slice(0, 4) }, []],
      [{ search: '%' }, []],
      [{ search: '_._' }, []],
      [{ standing: 'active' }, ['d1']],
      [{ standing: 'awaitingApproval' }, ['d2']],
      [{ standing: 'deviceExpired' }, ['d3']],
      [{ standing: 'userDisabled' }, ['d4']],
      [{ standing: 'trafficUsedUp' }, []],
      [{ standing: 'deviceExpired', search: 'phone' }, []],
      [{ gateway: 'oslo-1' }, ['d3']],
      [{ gateway: 'g-1', standing: 'active' }, []],
      [{ user: 'alice', standing: 'awaitingApproval' }, ['d2']],
    ];
    for (const [query, expected] of cases) assert.deepEqual(await ids(query), expected, JSON.stringify(query));
    assert.equal((await world.call(world.root, 'GET', '/devices?gateway=nothing')).status, 404);
    assert.equal((await world.call(world.root, 'GET', '/devices?standing=nothing')).status, 400);
    // What is never shown to its user, the user does not find by it.
    assert.deepEqual((await world.call(world.root, 'GET', '/me/devices?search=laptop')).body['items'], []);
  });

  test('of a standing come in whole pages, however far apart they are', async () => {
    await using world = await apiWorld({ url: await databases.create() });
    await world.services.store.write(SYSTEM, async ({ db, changed }) => {
      await db.insertInto('user').values(userRow('alice')).execute();
      changed('user', 'alice');
      for (let at = 0; at < 2500; at += 500) {
        const numbers = Array.from({ length: 500 }, (_, n) => at + n);
        await db
          .insertInto('device')
          .values(
            numbers.map((n) => ({
              ...deviceRow(n, 'alice'),
              name: `d${String(n).padStart(5, '0')}`,
              approved: n % 1100 === 7 ? 0 : 1,
            })),
          )
          .execute();
        for (const n of numbers) changed('device', `d${n}`);
      }
    });
    const { db } = world.services.store;
    // The API would refuse to answer with keys that are none.
    for (const n of [7, 1107, 2207]) {
      await db
        .updateTable('device')
        .set({ public_key: key(n % 251), ipv6: `fd00:5a11::${n}` })
        .where('id', '=', `d${n}`)
        .execute();
    }
    const pages: string[][] = [];
    let next: string | null = '';
    while (next !== null) {
      const path: string = `/devices?standing=awaitingApproval&limit=2${next === '' ? '' : `&after=${next}`}`;
      const { body } = await world.call(world.root, 'GET', path);
      pages.push((body['items'] as { id: string }[]).map(({ id }) => id));
      next = body['next'] as string | null;
    }
    assert.deepEqual(pages, [['d7', 'd1107'], ['d2207']]);
  });
});
