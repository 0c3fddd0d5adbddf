/** What a gateway that somebody took over can do to the control plane by what it reports: nothing beyond its own devices. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, describe, test } from 'node:test';
import type { Report } from '@sallyport/link';
import { usageByDay } from '../../packages/control/src/repositories/usage.ts';
import { ControlNode, eventually, openWorld, SimulatedGateway } from './hub-world.ts';

let world: ReturnType<typeof openWorld>;
let clock: number;
let node: ControlNode;
let gateway: SimulatedGateway;
let number: number;

beforeEach(async () => {
  clock = Date.parse('2027-03-10T12:00:00Z');
  number = 0;
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

const device = (id: string, bytes: number): Report['devices'][number] => ({
  id,
  sentBytes: bytes,
  receivedBytes: bytes,
  lastHandshakeAt: clock,
});

/** Sends a report and waits until it is in the database. */
async function store(devices: Report['devices']): Promise<void> {
  number++;
  gateway.report(devices, { number });
  await eventually('the report is stored', async () => {
    await node.hub.flush();
    return gateway.stored.includes(number);
  });
}

describe('a gateway that lies', () => {
  test('says something else of itself only so often: each is an entry of the audit log', async () => {
    const announced = async (): Promise<number> =>
      (await node.auditActions()).filter((action) => action === 'gateway.announce').length;
    const says = async (port: number): Promise<void> => {
      await gateway.disconnect();
      Object.assign(gateway.hello, { tunnel: { ...gateway.hello.tunnel, endpointPort: port } });
      await gateway.connect(node.url);
    };
    for (let port = 1; port <= 20; port++) await says(port);
    assert.equal(await announced(), 20);
    await says(21);
    assert.equal(gateway.goodbye?.reason, 'retry');
    assert.match(gateway.goodbye.message, /something else of itself each time/);
    assert.equal(await announced(), 20);
    // What it said last still holds, and after a while it may change again.
    await says(20);
    assert.ok(gateway.connected);
    clock += 300_000;
    await says(21);
    assert.ok(gateway.connected);
    assert.equal(await announced(), 21);
  });

  test('counts no traffic that the control plane could not add up any more', async () => {
    const much = Array.from({ length: 2000 }, () => device('d0', Number.MAX_SAFE_INTEGER));
    for (let i = 0; i < 3; i++) await store(much);
    await store([device('d1', 100)]);
    const days = await usageByDay(node.store.db, {}, clock);
    assert.equal(days.length, 1);
    // What is read at the start of every control node.
    await node.close();
    node = await ControlNode.start(world);
    assert.ok(node.directory.model.users.has('u0'));
    assert.equal((await usageByDay(node.store.db, { userId: 'u1' }, clock))[0]?.sentBytes, 100);
  });

  test('says nothing of devices that it does not serve', async () => {
    const other = SimulatedGateway.create();
    await other.connect(node.url, await node.joinToken());
    // From now on everybody reaches the internet through the other one alone.
    await node.write(async ({ db, changed }) => {
      const settings = await db.selectFrom('settings').selectAll().executeTakeFirstOrThrow();
      const value = { ...(JSON.parse(settings.value) as object), connectionAudit: { enabled: true, retentionDays: 7 } };
      await db
        .updateTable('settings')
        .set({ value: JSON.stringify(value) })
        .execute();
      changed('settings', 'settings');
      const rules = await db.selectFrom('rule').select('id').execute();
      await db
        .updateTable('rule')
        .set({ gateways: JSON.stringify([other.id]) })
        .execute();
      for (const { id } of rules) changed('rule', id);
    });
    await eventually('the devices are gone', () => gateway.state?.devices.size === 0);
    await store([device('d0', 1000)]);
    assert.deepEqual(await usageByDay(node.store.db, {}, clock), []);
    assert.deepEqual(await node.store.db.selectFrom('device_status').selectAll().execute(), []);
    assert.ok(!(await node.auditActions()).includes('connection.start'));
    other.report([device('d0', 1000)]);
    await eventually('what the other one says counts', async () => {
      await node.hub.flush();
      return (await usageByDay(node.store.db, { userId: 'u0' }, clock))[0]?.sentBytes === 1000;
    });
    assert.ok((await node.auditActions()).includes('connection.start'));
    await other.disconnect();
  });
});
