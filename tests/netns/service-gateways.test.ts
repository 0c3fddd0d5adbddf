/** A second gateway: how it joins, that a device may use it as it is, how it is drained and removed. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { until, type Process } from '@sallyport/netlab';
import type { Gateway } from '@sallyport/api';
import { sallyport } from '../../demo/scenarios/service/person.ts';
import { ADDRESSES, seenFrom } from '../../demo/scenarios/service/world.ts';
import { startFlows } from './service/flows.ts';
import { INTERNET, ServiceRig, type Client } from './service/rig.ts';

const PASSWORD = 'a password, long enough';
const { gateway1, gateway2, internet } = ADDRESSES;

const reversed = (text: string): string => text.split('').reverse().join('');

describe('a second gateway', () => {
  let rig: ServiceRig;
  let oslo: Process;
  let alice: Client;
  let token = '';

  before(async () => {
    rig = await ServiceRig.start();
    await rig.user('alice');
    await rig.password('alice', PASSWORD);
    await rig.user('bob');
  });
  after(async () => {
    await rig?.close();
  });

  const gateways = async (): Promise<Gateway[]> =>
    ((await rig.api.call('listGateways')) as unknown as { items: Gateway[] }).items;

  const joining = (folder: string): string[] => [
    ...[sallyport, 'gateway', 'join', rig.service.url, '-'],
    ...['--data', join(rig.world.laboratory.folder, folder)],
  ];

  /** The exit of a machine that tries to join. */
  const attempt = (folder: string, tried: string): Promise<{ code: number | null; stderr: string }> =>
    // From a machine that is no gateway yet.
    rig.world.internal.run(joining(folder), { input: tried, allowFailure: true });

  test('joins with a token that works once', async () => {
    const created = (await rig.api.call('createJoinToken', { body: {} })) as { token: string };
    // Another secret of the same form, for the right control plane.
    const [secret = '', key = ''] = created.token.slice('spj_'.length).split('.');
    const wrong = `spj_${reversed(secret)}.${key}`;
    const refused = await attempt('wrong', wrong);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /token/);
    assert.ok(!refused.stderr.includes(wrong));
    // A control plane with another key is not spoken to at all: the token would be safe.
    const elsewhere = await rig.world.gateway2.start(joining('elsewhere'), { input: `spj_${secret}.${reversed(key)}` });
    await until('the refusal', () => elsewhere.stderr.includes('its key is another'));
    await elsewhere.stop();
    assert.equal(elsewhere.stdout, '');
    assert.equal((await gateways()).length, 1);

    ({ process: oslo, token } = await rig.joinGateway());
    assert.equal((await gateways()).find(({ name }) => name === 'oslo')?.health, 'healthy');
    const used = await attempt('used', token);
    assert.notEqual(used.code, 0);
    assert.match(used.stderr, /token/);
    assert.equal((await gateways()).length, 2);
    assert.equal(oslo.exit, undefined);
  });

  test('serves the same device with the same address', async () => {
    alice = await rig.connect('alice', 'alice', {
      gateway: (await gateways()).find(({ name }) => name !== 'oslo')?.name,
    });
    assert.equal(await seenFrom(alice.machine, internet.ipv4), gateway1.ipv4);
    const text = await rig.configuration(alice.device, alice.privateKey, 'oslo');
    assert.ok(text.includes(`Address = ${alice.device.ipv4}/32, ${alice.device.ipv6}/128`));
    await alice.app.use(text);
    await until('Oslo', async () => (await seenFrom(alice.machine, internet.ipv4)) === gateway2.ipv4);
    assert.equal(await seenFrom(alice.machine, internet.ipv6), gateway2.ipv6);
  });

  test('that is drained is not recommended, and keeps those who are on it', async () => {
    const api = await rig.logIn('alice', PASSWORD);
    const offered = async (): Promise<Map<string, { draining: boolean; recommended: boolean }>> => {
      const { items } = (await api.call('listMyGateways', { query: { country: 'NO' } })) as {
        items: { name: string; draining: boolean; recommended: boolean }[];
      };
      return new Map(items.map((item) => [item.name, item]));
    };
    const flows = await startFlows(alice.machine, INTERNET);
    await rig.api.change('getGateway', 'updateGateway', { gatewayId: 'oslo' }, { draining: true });
    const drained = await offered();
    assert.deepEqual([drained.get('oslo')?.draining, drained.get('oslo')?.recommended], [true, false]);
    assert.equal([...drained.values()].filter(({ recommended }) => recommended).length, 1);
    // A configuration for whoever has no wish leads elsewhere.
    assert.ok((await rig.configuration(alice.device, alice.privateKey)).includes(gateway1.endpoint));
    await flows.flowing();
    flows.assertUndisturbed();
    await flows.stop();
    // With the other one drained instead, it is the one.
    const other = [...drained.keys()].find((name) => name !== 'oslo') ?? '';
    await rig.api.change('getGateway', 'updateGateway', { gatewayId: 'oslo' }, { draining: false });
    await rig.api.change('getGateway', 'updateGateway', { gatewayId: other }, { draining: true });
    assert.equal((await offered()).get('oslo')?.recommended, true);
    await rig.api.change('getGateway', 'updateGateway', { gatewayId: other }, { draining: false });
  });

  test('that is removed cuts off who is on it, at once', async () => {
    const other = (await gateways()).find(({ name }) => name !== 'oslo')?.name;
    const bob = await rig.connect('bob', 'bob', { gateway: other });
    const others = await startFlows(bob.machine, INTERNET);
    const flows = await startFlows(alice.machine, INTERNET);
    const { sentAt } = await rig.api.change('getGateway', 'deleteGateway', { gatewayId: 'oslo' });
    await flows.assertCutOff(sentAt);
    await others.flowing();
    others.assertUndisturbed();
    await until('its end', () => oslo.exit !== undefined);
    assert.equal(oslo.exit?.code, 77, oslo.stderr);
    await flows.stop();
    // The device goes on at the gateway that is left.
    await alice.app.use(await rig.configuration(alice.device, alice.privateKey));
    await until('the other', async () => (await seenFrom(alice.machine, internet.ipv4)) === gateway1.ipv4);
  });
});
