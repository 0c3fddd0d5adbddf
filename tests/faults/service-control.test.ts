/** What a control plane that is away leaves as it is, and what the gateways do by themselves meanwhile. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until, type Process } from '@sallyport/netlab';
import { runGateway, startService } from '../../demo/scenarios/service/servers.ts';
import { ADDRESSES, seenFrom } from '../../demo/scenarios/service/world.ts';
import { startFlows } from '../netns/service/flows.ts';
import { killPart } from '../netns/service/processes.ts';
import { INTERNET, ServiceRig, type Client } from '../netns/service/rig.ts';

describe('a control plane that is away', () => {
  let rig: ServiceRig;
  let oslo: Process;
  let local = '';
  let alice: Client;

  before(async () => {
    rig = await ServiceRig.start();
    const { items } = (await rig.api.call('listGateways')) as { items: { name: string }[] };
    local = items[0]?.name ?? '';
    ({ process: oslo } = await rig.joinGateway());
    await rig.user('alice');
    alice = await rig.connect('alice', 'alice', { gateway: local });
  });
  after(async () => {
    await rig?.close();
  });

  const supervisor = (): number => rig.service.processes.supervisor;
  const isReady = async (): Promise<boolean> =>
    (
      await rig.world.admin.run(['curl', '-sfk', '--noproxy', '*', '--max-time', '2', `${rig.service.url}/readyz`], {
        allowFailure: true,
      })
    ).code === 0;

  /** Kills the control plane and keeps the one that follows from running until `meanwhile` is done. */
  async function away(meanwhile: () => Promise<void>): Promise<void> {
    const stopped = await killPart(supervisor(), 'control');
    process.kill(stopped, 'SIGSTOP');
    try {
      assert.equal(await isReady(), false);
      await meanwhile();
    } finally {
      process.kill(stopped, 'SIGKILL');
    }
    await until('its return', isReady, undefined, 100);
    await rig.healthy(local);
    await rig.healthy('oslo');
  }

  test('is killed: flows go on, a new handshake works, changes apply afterwards', async () => {
    const flows = await startFlows(alice.machine, INTERNET);
    await rig.user('bob');
    let bob: Client | undefined;
    const prepared = await rig.applied(local, () => rig.prepare('bob', { gateway: local }));
    await away(async () => {
      await flows.flowing();
      bob = await rig.start('bob', prepared);
      assert.equal(await seenFrom(bob.machine, ADDRESSES.internet.ipv4), ADDRESSES.gateway1.ipv4);
      assert.notEqual(await seenFrom(bob.machine, ADDRESSES.internet.ipv6), undefined);
    });
    await flows.flowing();
    flows.assertUndisturbed();

    const ofBob = await startFlows(rig.world.bob, INTERNET);
    // The gateway may first have to link again.
    await rig.applied(local, () => rig.api.change('getUser', 'updateUser', { userId: 'bob' }, { disabled: true }));
    await ofBob.assertCutOff(Date.now());
    await flows.flowing();
    flows.assertUndisturbed();
    await ofBob.stop();
    await flows.stop();
    if (bob !== undefined) await rig.disconnect(bob);
  });

  test("is not needed for what it said about a device's end", async () => {
    await rig.user('carol');
    const carol = await rig.connect('bob', 'carol', { gateway: local });
    const flows = await startFlows(carol.machine, INTERNET);
    const at = Date.now() + 30_000;
    await rig.applied(local, () =>
      rig.api.change('getUser', 'updateUser', { userId: 'carol' }, { expiresAt: new Date(at).toISOString() }),
    );
    await away(async () => {
      assert.ok(Date.now() < at - 1000, 'it must be away by then');
      const late = await flows.assertCutOff(at);
      assert.ok(late > -5000, `cut off ${String(-late)} ms early`);
    });
    await flows.stop();
    await rig.disconnect(carol);
  });

  test('with its whole machine: another gateway starts without it', async () => {
    await rig.user('dave');
    const dave = await rig.connect('bob', 'dave', { gateway: 'oslo' });
    const throughOslo = async () => (await seenFrom(dave.machine, ADDRESSES.internet.ipv4)) === ADDRESSES.gateway2.ipv4;
    assert.ok(await throughOslo());

    rig.service.process.signal('SIGKILL');
    await rig.service.process.exited;
    oslo.signal('SIGTERM');
    assert.equal((await oslo.end()).code, 0, oslo.stderr);
    assert.equal(await throughOslo(), false);
    oslo = await runGateway(rig.world);
    // The client does nothing: it begins a handshake by itself, 15 seconds after the last answer at the latest.
    await until('the client', throughOslo);
    assert.equal(await seenFrom(dave.machine, ADDRESSES.internet.ipv6), ADDRESSES.gateway2.ipv6);

    rig.service = await startService(rig.world);
    await rig.healthy('oslo');
    await rig.healthy(local);
    await until("alice's return", async () => (await seenFrom(alice.machine, ADDRESSES.internet.ipv4)) !== undefined);
    const flows = await startFlows(dave.machine, INTERNET);
    const { sentAt } = await rig.api.change('getUser', 'updateUser', { userId: 'dave' }, { disabled: true });
    await flows.assertCutOff(sentAt);
    await flows.stop();
  });
});
