/** What a device may use: its rate, and how many of them a user may have. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { generateKeys, iperf, until, upTo, type IperfOptions } from '@sallyport/netlab';
import { INTERNET, ServiceRig } from './service/rig.ts';

const LIMIT = 20_000_000;

describe('limits', () => {
  let rig: ServiceRig;

  before(async () => {
    rig = await ServiceRig.start();
  });
  after(async () => {
    await rig?.close();
  });

  test('the rate of a device holds, both ways and in both families', async () => {
    await rig.user('alice');
    const alice = await rig.connect('alice', 'alice');
    const measure = async (address: string, options: IperfOptions): Promise<number> =>
      (await iperf({ client: alice.machine, server: rig.world.internet, address }, options)).bitsPerSecond;
    for (const reverse of [false, true]) {
      // Otherwise one would not be seen.
      const free = () => measure(INTERNET[0] ?? '', { seconds: 1, reverse });
      await until('much more than the limit will be', async () => (await free()) > LIMIT * 2);
    }
    const holds = async (limit: number): Promise<void> => {
      for (const address of INTERNET)
        for (const reverse of [false, true]) {
          const share = async () => (await measure(address, { seconds: 3, warmUpSeconds: 2, reverse })) / limit;
          const isMet = (rate: number): boolean => rate > 0.7 && rate < 1.1;
          // Who was silent for a second may send that second's share, and a little more, at once: also who had no processor.
          const rate = await upTo(3, share, isMet);
          assert.ok(isMet(rate), `${address}, ${reverse ? 'down' : 'up'}: ${(rate * 100).toFixed()} %`);
        }
    };
    const { items } = (await rig.api.call('listGateways')) as { items: { name: string }[] };
    const applied = (change: () => Promise<unknown>) => rig.applied(items[0]?.name ?? '', change);
    await applied(() => rig.api.change('getUser', 'updateUser', { userId: 'alice' }, { bitsPerSecond: LIMIT }));
    await holds(LIMIT);
    // The device's own counts before the user's.
    const { id: deviceId } = alice.device;
    await applied(() => rig.api.change('getDevice', 'updateDevice', { deviceId }, { bitsPerSecond: LIMIT / 4 }));
    await holds(LIMIT / 4);
  });

  test('a user has no more devices than they may', async () => {
    const password = 'a password, long enough';
    await rig.user('bob', { devicesPerUser: 2 });
    await rig.password('bob', password);
    const bob = await rig.logIn('bob', password);
    const add = (name: string) => ({ body: { name, publicKey: generateKeys().publicKey } });
    await bob.call('addMyDevice', add('one'));
    await bob.call('addMyDevice', add('two'));
    const { problem } = await bob.refusal('addMyDevice', add('three'));
    assert.equal(problem?.status, 409);
    assert.match(problem.detail, /2 devices/);
    const { items } = (await bob.call('listMyDevices')) as { items: { name: string }[] };
    assert.deepEqual(items.map(({ name }) => name).sort(), ['one', 'two']);
    const me = (await bob.call('getMe')) as { standing: { devices: object; messages: string[] } };
    assert.deepEqual(me.standing.devices, { used: 2, allowed: 2 });
    await bob.call('removeMyDevice', { params: { deviceId: 'one' }, ifMatch: 1 });
    await bob.call('addMyDevice', add('three'));
  });
});
