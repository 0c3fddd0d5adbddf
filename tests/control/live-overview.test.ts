/** The overview: what it counts and warns of, what gateways did in the last hour, and what it costs. */
import assert from 'node:assert/strict';
import { randomBytes } from 'node:crypto';
import { describe, test } from 'node:test';
import { routes, type Sample } from '@sallyport/api';
import { poolAddress } from '@sallyport/policy';
import { SYSTEM } from '@sallyport/control';
import { LiveFeed } from '../../packages/control/src/live/live-feed.ts';
import { Samples } from '../../packages/control/src/live/samples.ts';
import { NEVER_CONNECTED, type CountedStatus } from '../../packages/control/src/repositories/status.ts';
import { apiWorld } from './api-world.ts';
import { deviceRow, onBothDatabases, userRow } from './databases.ts';
import { EventReader } from './event-reader.ts';
import { ControlNode, eventually, openWorld, SimulatedGateway } from './hub-world.ts';

type World = Awaited<ReturnType<typeof apiWorld>>;

const load = { cpu: 0.1, memoryBytes: 1, receivedBitsPerSecond: 1000, sentBitsPerSecond: 2000, activeDevices: 3 };

async function addGateway(
  world: World,
  id: string,
  options: { draining?: number; health?: string; seen?: number } = {},
) {
  await world.services.store.write(SYSTEM, async ({ db, changed }) => {
    await db
      .insertInto('gateway')
      .values({
        id,
        name: id,
        region_id: 'default',
        country: null,
        city: null,
        latitude: null,
        longitude: null,
        endpoint_host: 'gateway.example.org',
        endpoint_port: 51_820,
        wireguard_public_key: id,
        link_key_hash: id,
        egress: '[]',
        addresses: '[]',
        draining: options.draining ?? 0,
        created_at: world.now,
        version: 1,
      })
      .execute();
    changed('gateway', id);
    if (options.seen === undefined) return;
    await db
      .insertInto('gateway_status')
      .values({
        gateway_id: id,
        connected: 1,
        health: options.health ?? 'healthy',
        problems: '[]',
        load: JSON.stringify(load),
        latency_ms: 1,
        software: '1',
        last_seen_at: options.seen,
        node: 'node',
        state_version: 1,
        applied_version: 1,
        applied_digest: '',
        report_number: 1,
      })
      .execute();
  });
}

onBothDatabases('the overview', (databases) => {
  test('counts, and says what needs somebody, the most urgent first', async () => {
    await using world = await apiWorld({ url: await databases.create() });
    const admin = world.client(world.root);
    const first = await admin.call(routes.getOverview);
    assert.deepEqual(
      first.notices.map(({ kind, count }) => [kind, count]),
      [
        ['noGateway', 1],
        ['noSecondFactor', 1],
      ],
    );
    await addGateway(world, 'good', { seen: world.now });
    await addGateway(world, 'unwell', { seen: world.now, health: 'degraded' });
    await addGateway(world, 'silent', { seen: world.now - 60_000 });
    await addGateway(world, 'never');
    await addGateway(world, 'drained', { draining: 1 });
    await world.services.store.write(SYSTEM, async ({ db, changed }) => {
      await db
        .insertInto('user')
        .values([userRow('alice'), { ...userRow('bob'), disabled: 1 }])
        .execute();
      await db
        .insertInto('device')
        .values([
          deviceRow(1, 'alice'),
          { ...deviceRow(2, 'alice'), approved: 0 },
          // Whose user may not come in any more needs nobody.
          { ...deviceRow(3, 'bob'), approved: 0 },
        ])
        .execute();
      await db.updateTable('rule').set({ enabled: 0 }).execute();
      for (const id of ['alice', 'bob']) changed('user', id);
      for (const id of ['d1', 'd2', 'd3']) changed('device', id);
      changed('rule', 'everyone-internet');
    });
    await world.live.sample();
    const { users, devices, gateways, gatewayNames, notices, samples, sampleSeconds } = await admin.call(
      routes.getOverview,
    );
    assert.deepEqual(users, { total: 3, disabled: 1 });
    assert.deepEqual(devices, { total: 3, active: 6, awaitingApproval: 1 });
    assert.deepEqual(gateways, { total: 5, healthy: 1, draining: 1 });
    assert.deepEqual(
      gatewayNames.map(({ name, health }) => [name, health]),
      [
        ['drained', 'neverConnected'],
        ['good', 'healthy'],
        ['never', 'neverConnected'],
        ['silent', 'unreachable'],
        ['unwell', 'degraded'],
      ],
    );
    assert.deepEqual(gatewayNames[0], {
      id: 'drained',
      name: 'drained',
      regionId: 'default',
      regionName: 'Default',
      health: 'neverConnected',
    });
    assert.deepEqual(
      notices.map(({ kind, count, text }) => [kind, count, text]),
      [
        ['gatewayUnhealthy', 3, '3 gateways are not healthy.'],
        ['devicesAwaitApproval', 1, 'A device waits for approval.'],
        ['noSecondFactor', 1, 'An administrator has no second factor.'],
        ['noPolicy', 1, 'No rule is enabled: nobody reaches anything.'],
      ],
    );
    assert.equal(sampleSeconds, 5);
    assert.deepEqual(
      Object.fromEntries(samples.at(-1)!.gateways.map(({ gatewayId, ...rest }) => [gatewayId, rest])),
      Object.fromEntries([
        ...['good', 'unwell'].map((id) => [
          id,
          { receivedBitsPerSecond: 1000, sentBitsPerSecond: 2000, activeDevices: 3, handshakes: 0 },
        ]),
        ['silent', { receivedBitsPerSecond: 0, sentBitsPerSecond: 0, activeDevices: 0, handshakes: 0 }],
      ]),
    );

    // Of what a token may not read it says nothing.
    const token = await world.addToken(world.root, ['gateways:read']);
    const little = await world.client(token).call(routes.getOverview);
    assert.deepEqual(
      little.notices.map(({ kind }) => kind),
      ['gatewayUnhealthy'],
    );
    const alice = await world.addUser('carol');
    assert.equal((await world.call(alice, 'GET', '/overview')).status, 403);
  });

  test('a second factor ends the warning that an administrator has none', async () => {
    await using world = await apiWorld({ url: await databases.create() });
    const { db } = world.services.store;
    const { id } = await db.selectFrom('user').select('id').executeTakeFirstOrThrow();
    const warns = async () =>
      (await world.client(world.root).call(routes.getOverview)).notices.some(({ kind }) => kind === 'noSecondFactor');
    const totp = { user_id: id, sealed_secret: 'x', last_step: 0, created_at: world.now };
    await db
      .insertInto('totp')
      .values({ ...totp, confirmed: 0 })
      .execute();
    assert.equal(await warns(), true);
    await db.updateTable('totp').set({ confirmed: 1 }).execute();
    assert.equal(await warns(), false);
  });

  test('with 10,000 devices takes milliseconds', async () => {
    await using world = await apiWorld({ url: await databases.create(), api: { checkResults: false } });
    await fill(world, 10_000);
    for (let n = 0; n < 5; n++) await addGateway(world, `g${n}`, { seen: world.now });
    for (let n = 0; n < 720; n++) await world.live.sample();
    const admin = world.client(world.root);
    const overview = await admin.call(routes.getOverview);
    assert.equal(overview.devices.total, 10_000);
    assert.equal(overview.sampleSeconds, 10);
    assert.equal(overview.samples.length, 360);
  });

  test('handshakes are counted where they were, each once', async () => {
    let clock = Date.parse('2027-03-10T12:00:00Z');
    const folder = openWorld(() => clock);
    const node = await ControlNode.start(folder, { url: await databases.create() });
    await node.addPeople(3);
    const [one, two] = [SimulatedGateway.create(), SimulatedGateway.create()];
    for (const gateway of [one, two]) {
      await gateway.connect(node.url, await node.joinToken());
      await eventually('the first state', () => gateway.state !== undefined);
    }
    // By itself it takes none: those since the sample before count.
    const live = new LiveFeed(node.services, { version: '0', sampleMs: 600_000 });
    const counts = async (): Promise<Record<string, number>> => {
      await node.hub.flush();
      await live.sample();
      const caller = { permissions: new Set(['gateways:read']) } as unknown as Parameters<LiveFeed['overview']>[0];
      const { samples } = await live.overview(caller);
      return Object.fromEntries(samples.at(-1)!.gateways.map(({ gatewayId, handshakes }) => [gatewayId, handshakes]));
    };
    const say = async (gateway: SimulatedGateway, number: number, devices: Record<string, number>): Promise<void> => {
      const rows = Object.entries(devices).map(([id, lastHandshakeAt]) => ({
        id,
        lastHandshakeAt,
        sentBytes: 1,
        receivedBytes: 1,
      }));
      gateway.report(rows, { number });
      await eventually('the report is stored', async () => {
        await node.hub.flush();
        return gateway.stored.includes(number);
      });
    };
    assert.deepEqual(await counts(), { [one.id!]: 0, [two.id!]: 0 });
    await say(one, 1, { d0: clock, d1: clock });
    await say(two, 1, { d2: clock });
    assert.deepEqual(await counts(), { [one.id!]: 2, [two.id!]: 1 });
    // Traffic without a new handshake.
    await say(one, 2, { d0: clock, d1: clock });
    assert.deepEqual(await counts(), { [one.id!]: 0, [two.id!]: 0 });
    const before = clock;
    clock += 120_000;
    await say(one, 3, { d0: clock, d1: before });
    // One that moves counts where it went.
    await say(two, 2, { d1: clock });
    assert.deepEqual(await counts(), { [one.id!]: 1, [two.id!]: 1 });
    await live.close();
    await one.disconnect();
    await two.disconnect();
    await node.close();
    folder.remove();
  });
});

test('samples are told to who may read gateways, and to nobody else', async () => {
  await using world = await apiWorld({ live: { sampleMs: 20 } });
  await addGateway(world, 'oslo-1', { seen: world.now });
  const [root, alice] = [
    await EventReader.open(world.port, world.root),
    await EventReader.open(world.port, await world.addUser('alice')),
  ];
  const { data } = await root.next('sample');
  assert.equal((data as Sample).gateways[0].gatewayId, 'oslo-1');
  await root.next('sample', () => root.named('sample').length > 2);
  assert.deepEqual(alice.named('sample'), []);
  root.abort();
  alice.abort();
});

describe('an hour of samples', () => {
  const status = (handshakes: number, bits: number): CountedStatus => ({
    ...NEVER_CONNECTED,
    health: 'healthy',
    load: { ...load, receivedBitsPerSecond: bits },
    handshakes,
  });

  test('is all that is kept', () => {
    const samples = new Samples(5000);
    for (let n = 0; n < 1000; n++) samples.take(new Map([['g', status(n, n)]]), n * 5000);
    const hour = samples.lastHour();
    assert.equal(hour.seconds, 5);
    assert.equal(hour.samples.length, 720);
    assert.equal(hour.samples[0].at, new Date(280 * 5000).toISOString());
    assert.ok(hour.samples.every(({ gateways }) => gateways[0].handshakes === 1));
  });

  test('of many gateways comes in longer steps, in which nothing that is counted is lost', () => {
    const samples = new Samples(5000);
    const names = Array.from({ length: 100 }, (_, n) => `g${n}`);
    for (let n = 0; n < 720; n++) {
      samples.take(new Map(names.map((name) => [name, status(n * 2, n % 2 === 0 ? 0 : 1000)])), n * 5000);
    }
    const { seconds, samples: hour } = samples.lastHour();
    assert.equal(seconds, 36 * 5);
    assert.equal(hour.length, 20);
    assert.ok(hour.reduce((sum, { gateways }) => sum + gateways.length, 0) <= 2000);
    assert.deepEqual(hour.at(-1)!.gateways[0], {
      gatewayId: 'g0',
      receivedBitsPerSecond: 500,
      sentBitsPerSecond: 2000,
      activeDevices: 3,
      handshakes: 72,
    });
    const total = hour.reduce((sum, { gateways }) => sum + gateways[7].handshakes, 0);
    assert.equal(total, 719 * 2);
  });

  test('a gateway that is new, or counts anew, has no handshakes from before', () => {
    const samples = new Samples(5000);
    assert.equal(samples.take(new Map([['g', status(500, 0)]]), 0).gateways[0].handshakes, 0);
    assert.equal(samples.take(new Map([['g', status(3, 0)]]), 1).gateways[0].handshakes, 0);
    assert.equal(samples.take(new Map([['g', status(5, 0)]]), 2).gateways[0].handshakes, 2);
  });
});

async function fill(world: World, count: number): Promise<void> {
  await world.services.store.write(SYSTEM, async ({ db, changed }) => {
    for (let at = 0; at < count; at += 500) {
      const numbers = Array.from({ length: 500 }, (_, n) => at + n);
      await db
        .insertInto('user')
        .values(numbers.map((n) => userRow(`u${n}`)))
        .execute();
      await db
        .insertInto('device')
        .values(
          numbers.map((n) => ({
            ...deviceRow(n, `u${n}`),
            public_key: randomBytes(32).toString('base64'),
            ipv4: poolAddress('100.64.0.0/16', n + 2),
            ipv6: poolAddress('fd00:5a11::/64', n + 2),
          })),
        )
        .execute();
      for (const n of numbers) {
        changed('user', `u${n}`);
        changed('device', `d${n}`);
      }
    }
  });
}
