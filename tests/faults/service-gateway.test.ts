/** A gateway process that dies: nothing passes unfiltered meanwhile, and clients come back without doing anything. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '@sallyport/netlab';
import { ADDRESSES, seenFrom } from '../../demo/scenarios/service/world.ts';
import { startFlows } from '../netns/service/flows.ts';
import { killPart, processesOf } from '../netns/service/processes.ts';
import { INTERNET, LEDGER, ServiceRig, type Client } from '../netns/service/rig.ts';

describe('a gateway that is killed', () => {
  let rig: ServiceRig;
  let alice: Client;

  before(async () => {
    rig = await ServiceRig.start();
    await rig.user('alice');
    alice = await rig.connect('alice', 'alice');
  });
  after(async () => {
    await rig?.close();
  });

  for (const part of ['gateway', 'helper'] as const) {
    test(`the ${part} process comes back, and so do its clients`, async () => {
      const { supervisor } = rig.service.processes;
      const control = processesOf(supervisor).control;
      const flows = await startFlows(alice.machine, INTERNET);
      assert.equal(await seenFrom(alice.machine, LEDGER[0] ?? ''), undefined);
      await killPart(supervisor, part);
      for (const address of INTERNET) {
        await until(`${address} again`, async () => {
          assert.equal(await seenFrom(alice.machine, LEDGER[0] ?? ''), undefined, 'what is denied stays so');
          return (await seenFrom(alice.machine, address)) !== undefined;
        });
      }
      assert.equal(await seenFrom(alice.machine, ADDRESSES.internet.ipv4), ADDRESSES.gateway1.ipv4);
      assert.equal(processesOf(supervisor).control, control);
      await flows.stop();
      const { items } = (await rig.api.call('listGateways')) as { items: { name: string }[] };
      await rig.healthy(items[0]?.name ?? '');
    });
  }
});
