/** The stream of events over HTTP: what is told to whom, when it ends, and that nothing of it stays. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { afterEach, describe, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { routes } from '@sallyport/api';
import { SYSTEM, WebServer } from '@sallyport/control';
import { EventStream } from '../../packages/control/src/live/event-stream.ts';
import { newPublicKey } from './access-world.ts';
import { apiWorld } from './api-world.ts';
import { onBothDatabases, onOne } from './databases.ts';
import { EventReader, eventually } from './event-reader.ts';

type World = Awaited<ReturnType<typeof apiWorld>>;

const readers: EventReader[] = [];
afterEach(() => {
  for (const reader of readers.splice(0)) reader.abort();
});

async function open(world: World, token: string | undefined, options?: { paused?: boolean }): Promise<EventReader> {
  const reader = await EventReader.open(world.port, token, options);
  readers.push(reader);
  return reader;
}

/** A change that each user hears of, and nobody else but those who may read users. */
const isMark = (change: string): boolean => change.startsWith('usage ');

/** What a reader was told, without the marks. */
const told = (reader: EventReader): string[] => reader.changes.filter((change) => !isMark(change));

/** Until everything that has happened was told to these; to anybody, where there are none. */
async function settle(world: World, ...readers: readonly EventReader[]): Promise<void> {
  const { count } = world.live;
  const all = readers.length > 0 ? readers : [await EventReader.open(world.port, world.root)];
  for (const reader of all) await reader.next('hello');
  // Among so many changes that they are told as one, it is that one.
  const marks = (reader: EventReader): number =>
    reader.changes.filter((change) => isMark(change) || change === 'everything').length;
  const before = all.map(marks);
  await world.services.store.write(SYSTEM, async ({ db, changed }) => {
    for (const { id } of await db.selectFrom('user').select('id').execute()) changed('usage', id);
  });
  await eventually('all is told', () => all.every((reader, i) => marks(reader) > before[i]));
  if (readers.length > 0) return;
  all[0].abort();
  await eventually('nobody listens', () => world.live.count === count);
}

async function addDevice(world: World, token: string, name: string): Promise<{ id: string; version: number }> {
  return await world.client(token).call(routes.addMyDevice, { body: { name, publicKey: newPublicKey() } });
}

onBothDatabases('a stream', (databases) => {
  test('begins with the version, and tells what changes', async () => {
    await using world = await apiWorld({ url: await databases.create() });
    const reader = await open(world, world.root);
    assert.equal(reader.status, 200);
    assert.equal(reader.headers['content-type'], 'text/event-stream');
    assert.equal(reader.headers['cache-control'], 'no-store');
    assert.equal(reader.headers['x-accel-buffering'], 'no');
    await reader.next('hello');
    assert.match(reader.text, /^retry: 2000\nevent: hello\ndata: \{"version":"0.0.0"\}\n\n/);
    const group = await world.client(world.root).call(routes.createGroup, { body: { name: 'staff' } });
    await reader.next('change', ({ kind, id }) => kind === 'group' && id === group.id);
  });

  test('ends when the session does, or may do less', async () => {
    await using world = await apiWorld({ url: await databases.create() });
    const admin = world.client(world.root);
    const bye = async (reader: EventReader, reason: string): Promise<void> => {
      assert.deepEqual((await reader.next('bye')).data, { reason });
      await eventually('the end', () => reader.ended);
      assert.equal(reader.events.at(-1)?.name, 'bye');
    };
    const alice = await world.addUser('alice', 'administrator');
    const carol = await world.addUser('carol');
    const ofCarol = await open(world, carol);
    const loggedOut = await open(world, alice);
    await world.client(alice).call(routes.logOut);
    await bye(loggedOut, 'loggedOut');

    const again = await world.logIn('alice');
    const demoted = await open(world, again);
    const user = await admin.call(routes.getUser, { params: { userId: 'alice' } });
    await admin.call(routes.updateUser, {
      params: { userId: 'alice' },
      ifMatch: user.version,
      body: { role: 'auditor' },
    });
    await bye(demoted, 'permissions');

    const disabled = await open(world, again);
    const { version } = await admin.call(routes.getUser, { params: { userId: 'alice' } });
    await admin.call(routes.updateUser, { params: { userId: 'alice' }, ifMatch: version, body: { disabled: true } });
    await bye(disabled, 'loggedOut');

    const apiToken = await world.addToken(world.root, ['self']);
    const byToken = await open(world, apiToken);
    const [row] = await world.services.store.db.selectFrom('api_token').select('id').execute();
    await admin.call(routes.deleteToken, { params: { tokenId: row.id } });
    await bye(byToken, 'loggedOut');

    const group = await admin.call(routes.createGroup, { body: { name: 'careful' } });
    await admin.call(routes.addGroupMember, { params: { groupId: group.id, userId: 'carol' } });
    await settle(world, ofCarol);
    assert.equal(ofCarol.ended, false);
    await world.services.store.write(SYSTEM, async ({ db, changed }) => {
      await db.updateTable('group').set({ require_second_factor: 1 }).where('id', '=', group.id).execute();
      changed('group', group.id);
    });
    await bye(ofCarol, 'permissions');
    assert.equal(world.live.count, 0);
  });
});

describe('of two nodes', () =>
  onOne('postgresql', (databases) => {
    test('tells what changed at the other node within a second', async () => {
      const url = await databases.create();
      const masterKeyFile = join(databases.folder(), 'master.key');
      await using one = await apiWorld({ url, masterKeyFile });
      const token = one.root;
      await using other = await apiWorld({ url, masterKeyFile, setUp: false });
      const reader = await open(other, token);
      await reader.next('hello');
      const latencies: number[] = [];
      for (let n = 0; n < 20; n++) {
        const begun = performance.now();
        const group = await one.client(token).call(routes.createGroup, { body: { name: `group-${n}` } });
        const { at } = await reader.next('change', ({ id }) => id === group.id);
        latencies.push(at - begun);
      }
      latencies.sort((a, b) => a - b);
      console.log(
        `change at one node → event at the other: median ${latencies[10].toFixed()} ms, worst ${latencies[19].toFixed()} ms`,
      );
      assert.ok(latencies[10] < 1000);
    });
  }));

describe('on one database', () =>
  onOne('sqlite', () => {
    test('who may read nothing hears of what is their own', async () => {
      await using world = await apiWorld();
      const admin = world.client(world.root);
      const alice = await world.addUser('alice');
      const bob = await world.addUser('bob');
      const { id: aliceId } = await admin.call(routes.getUser, { params: { userId: 'alice' } });
      const { id: bobId } = await admin.call(routes.getUser, { params: { userId: 'bob' } });
      const devicesOnly = await world.addToken(world.root, ['self', 'devices:read']);
      await settle(world);
      const [a, b, root, token] = (await Promise.all(
        [alice, bob, world.root, devicesOnly].map((who) => open(world, who)),
      )) as [EventReader, EventReader, EventReader, EventReader];
      const device = await addDevice(world, alice, 'laptop');
      await root.next('change', ({ id }) => id === device.id);
      await settle(world, a, b, root, token);
      assert.deepEqual(told(a), [`device ${device.id}`]);
      assert.deepEqual(told(b), []);
      assert.deepEqual(told(token), [`device ${device.id}`]);

      // One that is gone was still hers.
      await world
        .client(alice)
        .call(routes.removeMyDevice, { params: { deviceId: 'laptop' }, ifMatch: device.version });
      await settle(world, a, b);
      assert.equal(told(a).length, 2);
      assert.deepEqual(told(b), []);

      const resource = await admin.call(routes.createResource, {
        body: { name: 'wiki', kind: 'network', prefixes: ['10.1.0.0/16'] },
      });
      const group = await admin.call(routes.createGroup, { body: { name: 'staff' } });
      const invited = await admin.call(routes.createUser, { body: { name: 'dave' } });
      await settle(world, b, root, token);
      assert.ok(root.changes.includes(`resource ${resource.id}`) && root.changes.includes(`group ${group.id}`));
      assert.ok(root.changes.includes(`user ${invited.id}`));
      for (const reader of [b, token]) assert.ok(!reader.text.includes(resource.id) && !reader.text.includes(group.id));
      assert.deepEqual(told(b), []);

      // A rule may open or close a gateway to anybody: each hears of themselves, and not of the rule.
      const rule = await admin.call(routes.createRule, {
        body: { name: 'wiki', groups: [group.id], resources: [resource.id] },
      });
      await settle(world, b, root);
      assert.deepEqual(told(b), [`user ${bobId}`]);
      assert.ok(!b.text.includes(rule.id));
      assert.ok(root.changes.includes(`rule ${rule.id}`));

      await admin.call(routes.addGroupMember, { params: { groupId: group.id, userId: 'alice' } });
      await settle(world, a, b);
      assert.equal(a.changes.filter((change) => change === `user ${aliceId}`).length, 2);
      assert.equal(told(b).length, 1);
    });

    test('changes that come together are told once, and many as everything', async (t) => {
      await using world = await apiWorld();
      const alice = await world.addUser('alice');
      await settle(world);
      const [root, user] = [await open(world, world.root), await open(world, alice)];
      const write = (count: number) =>
        world.services.store.write(SYSTEM, ({ changed }) => {
          for (let n = 0; n < count; n++) changed('policyTest', `t${n}`);
          return Promise.resolve();
        });
      t.mock.timers.enable({ apis: ['setTimeout'] });
      await Promise.all([write(3), write(3), write(3)]);
      t.mock.timers.tick(50);
      t.mock.timers.reset();
      await settle(world, root, user);
      assert.deepEqual(told(root), ['policyTest t0', 'policyTest t1', 'policyTest t2']);
      await write(500);
      // The mark would be one too many.
      await root.next('change', ({ id }) => id === 't499');
      await settle(world, root, user);
      assert.equal(told(root).length, 503);
      assert.deepEqual(told(user), []);
      await write(501);
      await settle(world, root, user);
      assert.deepEqual(told(root).slice(503), ['everything']);
      assert.deepEqual(told(user), ['everything']);
    });

    test('a session whose time is over ends it, without any change', async () => {
      await using world = await apiWorld({ live: { recheckMs: 50 } });
      const reader = await open(world, world.root);
      await sleep(150);
      assert.equal(reader.ended, false);
      world.now += 8 * 24 * 3_600_000;
      assert.deepEqual((await reader.next('bye')).data, { reason: 'loggedOut' });
    });

    test('it needs a login, and there are only so many of a user', async () => {
      await using world = await apiWorld();
      assert.equal((await open(world, undefined)).status, 401);
      assert.equal((await open(world, await world.addToken(world.root, ['users:read']))).status, 403);
      assert.equal(world.live.count, 0);
      const mine = await Promise.all(Array.from({ length: 20 }, () => open(world, world.root)));
      assert.ok(mine.every(({ status }) => status === 200));
      const refused = await open(world, world.root);
      assert.equal(refused.status, 429);
      assert.equal(refused.headers['retry-after'], '30');
      assert.equal((await open(world, await world.addUser('alice'))).status, 200);
      mine[0].abort();
      await eventually('one is free', () => world.live.count === 20);
      assert.equal((await open(world, world.root)).status, 200);
    });

    test('HEAD says what GET would, and leaves nothing open', async () => {
      await using world = await apiWorld();
      const reader = await EventReader.open(world.port, world.root, { method: 'HEAD' });
      assert.equal(reader.status, 200);
      assert.equal(reader.headers['content-type'], 'text/event-stream');
      assert.equal(world.live.count, 0);
    });

    test('a thousand that are opened and broken off leave nothing', async () => {
      await using world = await apiWorld();
      const tokens: string[] = [];
      for (let n = 0; n < 50; n++) tokens.push(await world.addUser(`user-${n}`));
      const connections = () => new Promise<number>((resolve) => world.server.getConnections((_, n) => resolve(n)));
      const begun = performance.now();
      const opened = await Promise.all(
        Array.from({ length: 1000 }, (_, n) => EventReader.open(world.port, tokens[n % 50])),
      );
      assert.ok(opened.every(({ status }) => status === 200));
      assert.equal(world.live.count, 1000);
      const openedMs = performance.now() - begun;
      await Promise.all(opened.map((reader) => reader.next('hello')));
      const told = performance.now();
      await world.services.store.write(SYSTEM, ({ changed }) => {
        changed('settings', 'settings');
        return Promise.resolve();
      });
      await Promise.all(opened.map((reader) => reader.next('change')));
      const toldMs = performance.now() - told;
      console.log(`1,000 streams: opened in ${openedMs.toFixed()} ms, a change told to all in ${toldMs.toFixed()} ms`);
      for (const reader of opened) reader.abort();
      await eventually('all are freed', () => world.live.count === 0);
      while ((await connections()) > 50) await sleep(20);
      // As many again, of which none is refused for those before.
      const again = await Promise.all(tokens.flatMap((token) => [open(world, token), open(world, token)]));
      assert.ok(again.every(({ status }) => status === 200));
    });

    test('who does not read is let go, and holds up nobody', async () => {
      await using world = await apiWorld();
      await settle(world);
      const slow = await open(world, world.root, { paused: true });
      const quick = await open(world, world.root);
      assert.equal(world.live.count, 2);
      for (let round = 0; world.live.count === 2; round++) {
        assert.ok(round < 500, 'it was never let go');
        await world.services.store.write(SYSTEM, ({ changed }) => {
          for (let n = 0; n < 400; n++) changed('policyTest', `${round}-${n}-${'x'.repeat(100)}`);
          return Promise.resolve();
        });
        await quick.next('change', ({ id }) => String(id).startsWith(`${round}-399-`));
      }
      assert.equal(slow.status, 200);
      assert.equal(quick.ended, false);
    });

    test('when the service stops all hear of it, and its end waits for none', { timeout: 120_000 }, async (t) => {
      await using world = await apiWorld();
      const web = await WebServer.bind([{ host: '127.0.0.1', port: 0 }], { tls: false });
      const [listener] = world.server.listeners('request') as [Parameters<WebServer['open']>[0]['request']];
      web.open({ request: listener });
      const { port } = web.addresses[0];
      const open = await Promise.all(Array.from({ length: 5 }, () => EventReader.open(port, world.root)));
      await Promise.all(open.map((reader) => reader.next('hello')));
      // It gives those that it has to wait for some seconds, which never pass here.
      t.mock.timers.enable({ apis: ['setTimeout'] });
      world.live.end();
      await web.close();
      t.mock.timers.reset();
      for (const reader of open) assert.deepEqual((await reader.next('bye')).data, { reason: 'shutdown' });
      assert.equal(world.live.count, 0);
      assert.equal((await EventReader.open(world.port, world.root)).status, 503);
    });
  }));

describe('an EventStream', () => {
  test('ends at once for a reader that waits', async () => {
    let ends = 0;
    const stream = new EventStream(() => ends++);
    const waiting = stream.next();
    await stream.return();
    assert.deepEqual(await waiting, { done: true, value: undefined });
    stream.send('x');
    stream.end();
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
    assert.equal(ends, 1);
  });

  test('gives what was said before its end', async () => {
    const stream = new EventStream(() => undefined);
    stream.send('a');
    stream.send('b');
    stream.end();
    assert.deepEqual(await stream.next(), { done: false, value: 'ab' });
    assert.equal((await stream.next()).done, true);
  });

  test('holds 256 KiB of bytes and no more', async () => {
    const stream = new EventStream(() => undefined);
    for (let n = 0; n < 4; n++) stream.send('ü'.repeat(32 * 1024));
    assert.equal(stream.ended, false);
    stream.send('x');
    assert.equal(stream.ended, true);
    assert.deepEqual(await stream.next(), { done: true, value: undefined });
  });
});
