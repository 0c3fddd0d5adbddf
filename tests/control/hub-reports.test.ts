import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { sql } from 'kysely';
import type { Report } from '@sallyport/link';
import { gatewayStatuses } from '../../packages/control/src/repositories/status.ts';
import { usageByDay } from '../../packages/control/src/repositories/usage.ts';
import { ControlNode, eventually, openWorld, SimulatedGateway } from './hub-world.ts';

let world: ReturnType<typeof openWorld>;
let clock: number;
let node: ControlNode;
let gateway: SimulatedGateway;

beforeEach(async () => {
  clock = Date.parse('2027-03-10T12:00:00Z');
  world = openWorld(() => clock);
  node = await ControlNode.start(world);
  await node.addPeople(4);
  gateway = SimulatedGateway.create();
  await gateway.connect(node.url, await node.joinToken());
  await eventually('the first state', () => gateway.state !== undefined);
});

afterEach(async () => {
  await gateway.disconnect();
  await node.close();
  world.remove();
});

const device = (
  id: string,
  sentBytes: number,
  receivedBytes = 0,
  lastHandshakeAt = clock,
): Report['devices'][number] => ({
  id,
  sentBytes,
  receivedBytes,
  lastHandshakeAt,
});

/** Sends a report and waits until it is in the database. */
async function store(number: number, devices: Report['devices'], more: Partial<Report> = {}): Promise<void> {
  gateway.report(devices, { number, ...more });
  await eventually('the report is stored', async () => {
    await node.hub.flush();
    return gateway.stored.includes(number);
  });
}

const rows = () =>
  node.store.db
    .selectFrom('usage')
    .select(['device_id', 'day', 'sent_bytes', 'received_bytes'])
    .orderBy('day')
    .execute();

async function total(deviceId: string): Promise<number> {
  const days = await usageByDay(node.store.db, { deviceId, from: '2027-01-01', to: '2027-12-31' }, clock);
  return days.reduce((sum, { sentBytes, receivedBytes }) => sum + sentBytes + receivedBytes, 0);
}

describe('traffic', () => {
  test('adds up by device and UTC day', async () => {
    await store(1, [device('d0', 100, 10), device('d1', 1)]);
    await store(2, [device('d0', 50, 5)]);
    clock = Date.parse('2027-03-11T00:00:00Z');
    await store(3, [device('d0', 7)]);
    assert.deepEqual(
      (await rows()).map(({ device_id, day, sent_bytes, received_bytes }) => [
        device_id,
        day,
        sent_bytes,
        received_bytes,
      ]),
      [
        ['d0', '2027-03-10', 150, 15],
        ['d1', '2027-03-10', 1, 0],
        ['d0', '2027-03-11', 7, 0],
      ],
    );
  });

  test('a report that is sent again counts once: on the same link, on another one, after a restart', async () => {
    await store(10, [device('d0', 100)]);
    gateway.report([device('d0', 100)], { number: 10 });
    gateway.report([device('d0', 100)], { number: 11 });
    await gateway.disconnect();
    await gateway.connect(node.url);
    gateway.report([device('d0', 100)], { number: 11 });
    await eventually('it is stored', async () => {
      await node.hub.flush();
      return gateway.stored.includes(11);
    });
    assert.equal(await total('d0'), 200);
    await node.close();
    node = await ControlNode.start(world);
    await gateway.disconnect();
    await gateway.connect(node.url);
    gateway.stored.length = 0;
    await store(11, [device('d0', 100)]);
    assert.equal(await total('d0'), 200);
    await store(12, [device('d0', 1)]);
    assert.equal(await total('d0'), 201);
  });

  test('is kept while the database does not take it, and stored once then', async () => {
    // A trigger that fails stands for a disk that is full.
    await sql`create trigger full before insert on usage begin select raise(abort, 'full'); end`.execute(node.store.db);
    gateway.report([device('d0', 100)], { number: 1 });
    gateway.report([device('d0', 20)], { number: 2 });
    for (let i = 0; i < 20; i++) await node.hub.flush();
    assert.deepEqual(gateway.stored, []);
    await sql`drop trigger full`.execute(node.store.db);
    gateway.report([device('d0', 3)], { number: 3 });
    await eventually('it is stored', async () => {
      await node.hub.flush();
      return gateway.stored.includes(3);
    });
    assert.equal(await total('d0'), 123);
  });

  test('of a device that was removed still counts for its user, and of one that never was does not', async () => {
    await node.write(async ({ db, changed }) => {
      await db.deleteFrom('device').where('id', '=', 'd0').execute();
      changed('device', 'd0');
    });
    await store(1, [device('d0', 5), device('nobody', 5), device('d1', 1)]);
    const [{ sentBytes } = { sentBytes: -1 }] = await usageByDay(node.store.db, { userId: 'u0' }, clock);
    assert.equal(sentBytes, 5);
    assert.equal((await rows()).length, 2);
  });

  test('a user who is removed does not stop the others from being counted', async () => {
    gateway.report([device('d0', 5), device('d1', 6)], { number: 1 });
    await node.write(async ({ db, changed }) => {
      await db.deleteFrom('user').where('id', '=', 'u0').execute();
      changed('user', 'u0');
      changed('device', 'd0');
    });
    await eventually('it is stored', async () => {
      await node.hub.flush();
      return gateway.stored.includes(1);
    });
    assert.equal(await total('d1'), 6);
  });
});

describe('a limit on traffic', () => {
  test('cuts a user off when it is used up, and lets them in again with the next month or a higher limit', async () => {
    await node.setUser('u0', { traffic_bytes_per_month: 1000 });
    await node.hub.whenApplied();
    await store(1, [device('d0', 600, 399), device('d1', 5000)]);
    await node.hub.flush();
    await node.hub.whenApplied();
    assert.ok(gateway.state!.devices.has('d0'));

    await store(2, [device('d0', 1)]);
    await eventually('the device is cut off', () => !gateway.state!.devices.has('d0'));
    assert.ok(gateway.state!.devices.has('d1'));
    assert.ok((await node.auditActions()).includes('user.trafficUsedUp'));

    await node.setUser('u0', { traffic_bytes_per_month: 2000 });
    await eventually('the device is back', () => gateway.state!.devices.has('d0'));
    await store(3, [device('d0', 1000)]);
    await eventually('the device is cut off again', () => !gateway.state!.devices.has('d0'));
  });
});

describe('status', () => {
  const status = async () => (await gatewayStatuses(node.store.db, clock)).get(gateway.id!);

  test('says what the gateway said, and that it is gone when it is', async () => {
    await store(1, [], { health: 'degraded', problems: ['no IPv6 route'] });
    const now = await status();
    assert.equal(now?.health, 'degraded');
    assert.deepEqual(now.problems, ['no IPv6 route']);
    assert.equal(now.load?.cpu, 0.1);
    assert.equal(now.software, 'simulated');
    assert.equal(now.appliedVersion, gateway.version);
    assert.equal(now.stateVersion, gateway.version);
    clock += 15_001;
    assert.equal((await status())?.health, 'unreachable');
    await store(2, []);
    assert.equal((await status())?.health, 'healthy');
    await gateway.disconnect();
    await eventually('the end', async () => {
      await node.hub.flush();
      return (await status())?.health === 'unreachable';
    });
  });

  test('keeps the last handshake of a device, never an earlier one or one to come', async () => {
    await store(1, [device('d0', 0, 0, clock - 1000), device('d1', 0, 0, clock + 1e9)]);
    await store(2, [device('d0', 0, 0, clock - 5000)]);
    const seen = await node.store.db.selectFrom('device_status').selectAll().orderBy('device_id').execute();
    assert.deepEqual(
      seen.map((row) => [row.device_id, row.gateway_id, row.last_handshake_at]),
      [
        ['d0', gateway.id, clock - 1000],
        ['d1', gateway.id, clock],
      ],
    );
  });
});

describe('connections in the audit log', () => {
  const connections = async () => (await node.auditActions()).filter((action) => action.startsWith('connection.'));

  test('are not kept by default', async () => {
    await store(1, [device('d0', 1)]);
    await node.hub.flush();
    assert.deepEqual(await connections(), []);
  });

  test('where they are wanted: one entry when a device comes, one when it is gone', async () => {
    await node.write(async ({ db, changed }) => {
      const row = await db.selectFrom('settings').select('value').executeTakeFirstOrThrow();
      const settings = JSON.parse(row.value) as object;
      const value = JSON.stringify({ ...settings, connectionAudit: { enabled: true, retentionDays: 30 } });
      await db.updateTable('settings').set({ value }).execute();
      changed('settings', '1');
    });
    await store(1, [device('d0', 1)]);
    clock += 60_000;
    await store(2, [device('d0', 1)]);
    await node.hub.flush();
    assert.deepEqual(await connections(), ['connection.start']);
    // Another link, and another process, are no other connection of the device.
    await node.close();
    node = await ControlNode.start(world);
    await gateway.disconnect();
    await gateway.connect(node.url);
    await store(3, [device('d0', 1)]);
    await node.hub.flush();
    assert.deepEqual(await connections(), ['connection.start']);
    clock += 180_001;
    await store(4, []);
    await node.hub.flush();
    assert.deepEqual(await connections(), ['connection.start', 'connection.end']);
    const entry = await node.store.db
      .selectFrom('audit')
      .selectAll()
      .where('action', '=', 'connection.start')
      .executeTakeFirstOrThrow();
    assert.deepEqual(JSON.parse(entry.after), { gateway: 'gateway', user: 'u0' });
    // A gateway whose clock is ahead makes none longer.
    await store(5, [device('d1', 0, 0, clock + 3_600_000)]);
    clock += 180_001;
    await store(6, []);
    await node.hub.flush();
    assert.deepEqual((await connections()).slice(2), ['connection.start', 'connection.end']);
  });
});
