/** What takes access away takes it from running flows, and disturbs nobody else. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '@sallyport/netlab';
import type { AgentAnswer } from './service/api.ts';
import type { Flows } from './service/flows.ts';
import { sleep, startFlows } from './service/flows.ts';
import { INTERNET, LEDGER, ServiceRig, type Client } from './service/rig.ts';

const PASSWORD = 'a password, long enough';
/** Gateways count out what they saw every five seconds, and the control plane stores it every second: some of each. */
const REPORTED_WITHIN_MS = 20_000;

describe('being cut off', () => {
  let rig: ServiceRig;
  let others: Flows;
  let number = 0;
  /** Between which moments carol, whose session is a short one, logged in; the last tests fill the time until it ends. */
  let loggedIn = { after: 0, before: 0 };

  before(async () => {
    rig = await ServiceRig.start();
    await rig.user('bob', { groups: ['finance'] });
    const bob = await rig.connect('bob', 'bob');
    others = await startFlows(bob.machine, [...INTERNET, ...LEDGER]);
    await rig.api.call('createGroup', { body: { name: 'sessions', sessionLifetimeSeconds: 60 } });
    await rig.user('carol', { groups: ['sessions'] });
    await rig.password('carol', PASSWORD);
  });
  after(async () => {
    await rig?.close();
  });

  async function logIn(): Promise<void> {
    const after = Date.now();
    await rig.logIn('carol', PASSWORD);
    loggedIn = { after, before: Date.now() };
  }

  /** A user of their own, connected at alice's machine, with flows; bob's must go on whatever happens. */
  async function cut(
    user: object,
    addresses: readonly string[],
    takeAway: (name: string, client: Client) => Promise<AgentAnswer | number>,
    afterwards: (name: string, client: Client) => Promise<void> = () => Promise.resolve(),
  ): Promise<void> {
    const name = `user-${String(++number)}`;
    await rig.user(name, user);
    const client = await rig.connect('alice', name);
    const flows = await startFlows(client.machine, addresses);
    await others.flowing();
    const taken = await takeAway(name, client);
    const sentAt = typeof taken === 'number' ? taken : taken.sentAt;
    const isDate = sentAt > Date.now();
    const late = await flows.assertCutOff(sentAt);
    if (isDate) assert.ok(late > -5000, `cut off ${String(-late)} ms early`);
    await others.flowing();
    others.assertUndisturbed();
    await afterwards(name, client);
    await flows.stop();
    await rig.disconnect(client);
  }

  const standing = async (client: Client, expected: string): Promise<void> => {
    assert.equal((await rig.device(client)).standing, expected);
  };

  test('by disabling the user', () =>
    cut(
      {},
      INTERNET,
      (userId) => rig.api.change('getUser', 'updateUser', { userId }, { disabled: true }),
      (_, client) => standing(client, 'userDisabled'),
    ));

  test('by removing the device', () =>
    cut({}, INTERNET, (_, { device }) => rig.api.change('getDevice', 'deleteDevice', { deviceId: device.id })));

  test('by taking the approval back', async () => {
    await rig.api.call('createGroup', { body: { name: 'approved', requireDeviceApproval: true } });
    await cut(
      { groups: ['approved'] },
      INTERNET,
      (_, { device }) => rig.api.change('getDevice', 'updateDevice', { deviceId: device.id }, { approved: false }),
      (_, client) => standing(client, 'awaitingApproval'),
    );
  });

  test('by leaving the group whose rule alone allowed it', () =>
    cut({ groups: ['finance'] }, LEDGER, async (userId, { machine }) => {
      const kept = await startFlows(machine, INTERNET);
      const answer = await rig.api.timed('removeGroupMember', { params: { groupId: 'finance', userId } });
      await kept.flowing();
      kept.assertUndisturbed();
      await kept.stop();
      return answer;
    }));

  test('(a short session begins meanwhile)', logIn);

  test('by a rule that is disabled', async () => {
    await rig.api.call('createGroup', { body: { name: 'visitors' } });
    await rig.api.call('createRule', {
      body: { name: 'visitors-ledger', groups: ['visitors'], resources: ['finance-ledger'] },
    });
    await cut({ groups: ['visitors'] }, LEDGER, () =>
      rig.api.change('getRule', 'updateRule', { ruleId: 'visitors-ledger' }, { enabled: false }),
    );
  });

  test('by the date on which the user expires', () =>
    cut(
      {},
      INTERNET,
      async (userId) => {
        const at = Date.now() + 7000;
        await rig.api.change('getUser', 'updateUser', { userId }, { expiresAt: new Date(at).toISOString() });
        return at;
      },
      (_, client) => standing(client, 'userExpired'),
    ));

  test("by the month's traffic, which is used up", () =>
    cut(
      {},
      INTERNET,
      async (userId, client) => {
        const used = (await rig.api.call('getUser', { params: { userId } })) as { trafficBytesThisMonth: number };
        const limit = used.trafficBytesThisMonth + 4_000_000;
        await rig.api.change('getUser', 'updateUser', { userId }, { trafficBytesPerMonth: limit });
        // What the device sent and received is what its user pays for.
        const crossed = await until('the limit', async () => {
          const [peer] = await client.app.device.peers();
          return (peer?.received ?? 0) + (peer?.sent ?? 0) > limit && Date.now();
        });
        return until('the standing', async () => {
          if ((await rig.device(client)).standing === 'trafficUsedUp') return Date.now();
          assert.ok(Date.now() - crossed < REPORTED_WITHIN_MS, 'nobody counts');
          return undefined;
        });
      },
      async (_, client) => {
        const { standing: why, message } = await rig.device(client);
        assert.equal(why, 'trafficUsedUp');
        assert.match(message, /traffic/i);
      },
    ));

  test('by the end of the session, until the next login', async () => {
    if (Date.now() - loggedIn.after > 30_000) await logIn();
    const client = await rig.connect('alice', 'carol');
    const flows = await startFlows(client.machine, INTERNET);
    await sleep(56_000 - (Date.now() - loggedIn.after));
    await flows.flowing();
    await flows.assertCutOff(loggedIn.before + 60_000);
    await flows.stop();
    const { standing: why, message } = await rig.device(client);
    assert.equal(why, 'loginRequired');
    assert.match(message, /log in/i);

    await logIn();
    // By itself the device would begin a handshake fifteen seconds after the last answer.
    await rig.disconnect(client);
    const again = await rig.start('alice', client);
    const regained = await startFlows(again.machine, INTERNET);
    await standing(again, 'active');
    await regained.stop();
    await rig.disconnect(again);
    others.assertUndisturbed();
  });
});
