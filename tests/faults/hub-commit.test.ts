/** What gateways report is counted once, whichever way the commit that stores it is broken off. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { PostgresServer } from '@sallyport/netlab';
import { usageByDay } from '../../packages/control/src/repositories/usage.ts';
import { ControlNode, eventually, openWorld, SimulatedGateway } from '../control/hub-world.ts';
import { proxy } from './postgres-proxy.ts';

test('a report whose commit got no answer counts once, and what comes meanwhile counts too', async () => {
  const server = await PostgresServer.start({ durable: false });
  const between = await proxy(server);
  const clock = Date.parse('2027-03-10T12:00:00Z');
  const world = openWorld(() => clock);
  const url = between.urlOf(await server.createDatabase());
  const node = await ControlNode.start(world, { url });
  const gateway = SimulatedGateway.create();
  try {
    await node.addPeople(1);
    await gateway.connect(node.url, await node.joinToken());
    await eventually('the first state', () => gateway.state !== undefined);
    const report = (number: number): void =>
      gateway.report([{ id: 'd0', sentBytes: 10 ** number, receivedBytes: 0, lastHandshakeAt: clock }], { number });
    const counted = async (): Promise<number> => {
      const days = await usageByDay(node.store.db, { deviceId: 'd0', from: '2027-01-01', to: '2027-12-31' }, clock);
      return days.reduce((sum, { sentBytes }) => sum + sentBytes, 0);
    };
    for (let number = 1; number <= 8; number += 2) {
      report(number);
      // By itself it stores each second: what has come by now is in the one that is broken.
      await sleep(100);
      between.control.fault = number % 4 === 1 ? 'answer lost' : 'commit lost';
      await node.hub.flush();
      report(number + 1);
      await eventually('both to be stored', async () => {
        await node.hub.flush();
        return gateway.stored.includes(number + 1);
      });
      assert.equal(await counted(), Number('1'.repeat(number + 1)) * 10, String(gateway.stored));
    }
    assert.equal(between.control.broken, 4);
  } finally {
    await gateway.disconnect();
    await node.close();
    between.close();
    world.remove();
    await server.remove();
  }
});
