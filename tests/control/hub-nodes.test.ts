import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import { usageByDay } from '../../packages/control/src/repositories/usage.ts';
import { gatewayStatuses } from '../../packages/control/src/repositories/status.ts';
import { ControlNode, eventually, openWorld, SimulatedGateway } from './hub-world.ts';

// Two control nodes on one database. That they hear of each other's changes is the store's to show; here it matters
// to which of them a gateway is connected.
let world: ReturnType<typeof openWorld>;
let first: ControlNode;
let second: ControlNode;
let gateway: SimulatedGateway;

beforeEach(async () => {
  world = openWorld();
  first = await ControlNode.start(world);
  await first.addPeople(3);
  second = await ControlNode.start(world);
  gateway = SimulatedGateway.create();
  await gateway.connect(first.url, await first.joinToken());
  await eventually('the first state', () => gateway.state !== undefined);
  await first.hub.whenApplied();
});

afterEach(async () => {
  await gateway.disconnect();
  await first.close();
  await second.close();
  world.remove();
});

/** The same gateway once more, with the state that it has. */
function twin(): SimulatedGateway {
  const again = new SimulatedGateway(gateway.identity, gateway.hello);
  again.version = gateway.version;
  again.state = gateway.state;
  return again;
}

test('a gateway that connects to another node is let go by the one before', async () => {
  const again = twin();
  await again.connect(second.url);
  assert.ok(again.connected);
  gateway.report([]);
  await eventually('goodbye', async () => {
    await first.hub.flush();
    return gateway.goodbye?.reason === 'replaced';
  });
  await first.hub.flush();
  again.report([]);
  await second.hub.flush();
  const status = (await gatewayStatuses(second.store.db, Date.now())).get(again.id!);
  assert.equal(status?.health, 'healthy');
  await again.disconnect();
});

test('versions go on over nodes, and no node takes what another one sent for its own', async () => {
  const version = gateway.version;
  await gateway.disconnect();
  await gateway.connect(second.url);
  await second.setUser('u0', { disabled: 1 });
  await second.hub.whenApplied();
  assert.ok(gateway.version > version);
  await gateway.disconnect();
  const between = gateway.version;
  gateway.received.length = 0;
  await gateway.connect(first.url);
  await first.setUser('u1', { disabled: 1 });
  await eventually('both changes', () => gateway.state?.devices.size === 1);
  assert.ok(gateway.received.every(({ version: number }) => number > between));
  assert.equal(gateway.received[0]?.base, 0);
});

test('a report that one node took and did not store is counted once, by the node to which it comes again', async () => {
  const device = { id: 'd0', sentBytes: 100, receivedBytes: 0, lastHandshakeAt: 0 };
  // The node has read it, but not written it down, when the gateway is somewhere else.
  gateway.report([device], { number: 1 });
  await new Promise((resolve) => setTimeout(resolve, 50));
  const again = twin();
  await again.connect(second.url);
  again.report([device], { number: 1 });
  await eventually('the report is stored', async () => {
    await first.hub.flush();
    await second.hub.flush();
    return again.stored.includes(1) || gateway.stored.includes(1);
  });
  await first.hub.flush();
  await second.hub.flush();
  const [usage] = await usageByDay(second.store.db, { deviceId: 'd0' }, Date.now());
  assert.equal(usage?.sentBytes, 100);
  await again.disconnect();
});
