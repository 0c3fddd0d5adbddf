/** The addresses that traffic leaves with: a group's own, the lists for firewalls, and addresses that aren't there. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until } from '@sallyport/netlab';
import type { Gateway } from '@sallyport/api';
import { ADDRESSES, seenFrom } from '../../demo/scenarios/service/world.ts';
import { startFlows } from './service/flows.ts';
import { INTERNET, ServiceRig, type Client } from './service/rig.ts';

const { egress, gateway1 } = ADDRESSES;

describe('egress addresses', () => {
  let rig: ServiceRig;
  let alice: Client;
  let bob: Client;
  let finance = '';
  let gatewayId = '';

  before(async () => {
    rig = await ServiceRig.start();
    await rig.user('alice', { groups: ['finance'] });
    await rig.user('bob');
    alice = await rig.connect('alice', 'alice');
    bob = await rig.connect('bob', 'bob');
    finance = (await rig.api.call('getGroup', { params: { groupId: 'finance' } })).id;
    gatewayId = (await gateway()).id;
  });
  after(async () => {
    await rig?.close();
  });

  async function gateway(): Promise<Gateway> {
    const { items } = (await rig.api.call('listGateways')) as unknown as { items: Gateway[] };
    assert.equal(items.length, 1);
    return items[0];
  }

  const change = (body: object) => rig.api.change('getGateway', 'updateGateway', { gatewayId }, body);
  const seen = async ({ machine }: Client): Promise<(string | undefined)[]> => [
    await seenFrom(machine, ADDRESSES.internet.ipv4),
    await seenFrom(machine, ADDRESSES.internet.ipv6),
  ];

  test("a group leaves with its own, and everybody else with the gateway's", async () => {
    const everybody = { groupId: null, ipv4: gateway1.ipv4, ipv6: gateway1.ipv6 };
    await change({ egress: [everybody] });
    await until('the address', async () => (await seen(bob)).join() === `${gateway1.ipv4},${gateway1.ipv6}`);
    assert.deepEqual(await seen(alice), await seen(bob));
    const others = await startFlows(bob.machine, INTERNET);
    await change({
      egress: [{ groupId: finance, ...egress }, everybody],
    });
    await until('the address', async () => (await seen(alice))[0] === egress.ipv4);
    assert.deepEqual(await seen(alice), [egress.ipv4, egress.ipv6]);
    assert.deepEqual(await seen(bob), [gateway1.ipv4, gateway1.ipv6]);
    // Who leaves with the same address as before goes on.
    await others.flowing();
    others.assertUndisturbed();
    await others.stop();
  });

  test('the lists for firewalls', async () => {
    const { items } = await rig.api.call('listEgress');
    assert.deepEqual(
      items.map(({ groupName, ipv4 }) => [groupName, ipv4]),
      [
        ['finance', egress.ipv4],
        [null, gateway1.ipv4],
      ],
    );
    const lines = (text: unknown): string[] => String(text).trim().split('\n').sort();
    const all = [egress.ipv4, egress.ipv6, gateway1.ipv4, gateway1.ipv6].sort();
    const own = [egress.ipv4, egress.ipv6].sort();
    assert.deepEqual(lines(await rig.api.call('exportEgress')), all);
    assert.deepEqual(lines(await rig.api.call('exportEgress', { query: { group: 'finance' } })), own);

    const link = (await rig.api.call('createEgressLink', { body: { name: 'head office' } })) as {
      id: string;
      url: string;
    };
    // A firewall has no login, and is no client of the tunnel.
    const fetch = async (url: string): Promise<string[]> => {
      const argv = ['curl', '-s', '-k', '--noproxy', '*', '--max-time', '20', '-w', '\n%{http_code}', url];
      return (await rig.world.internal.run(argv)).stdout.trim().split(/\n+/);
    };
    const [status, ...listed] = (await fetch(link.url)).reverse();
    assert.deepEqual([status, listed.sort()], ['200', all]);
    const [, ...ofGroup] = (await fetch(`${link.url}?group=finance`)).reverse();
    assert.deepEqual(ofGroup.sort(), own);
    assert.equal((await fetch(`${link.url.slice(0, -1)}${link.url.endsWith('A') ? 'B' : 'A'}`)).at(-1), '404');
    await rig.api.call('revokeEgressLink', { params: { linkId: link.id } });
    const revoked = await fetch(link.url);
    assert.equal(revoked.at(-1), '404');
    assert.ok(!revoked.join('\n').includes(egress.ipv4));
  });

  test('an address that the gateway does not have', async () => {
    await assert.rejects(
      change({ egress: [{ groupId: finance, ipv4: '203.0.113.99', ipv6: null }] }),
      /the gateway has no such address; it has: .*203\.0\.113\.21/,
    );
    assert.deepEqual(await seen(alice), [egress.ipv4, egress.ipv6]);

    // One that it loses later is reported, and nobody leaves with another instead.
    const device = rig.world.gateway1;
    await device.ip('address', 'del', `${egress.ipv4}/24`, 'dev', 'to-exchange');
    await until('the report', async () => (await gateway()).health === 'degraded', undefined, 200);
    const { problems } = await gateway();
    assert.ok(
      problems.some((problem) => problem.includes(egress.ipv4)),
      problems.join(),
    );
    const [ipv4, ipv6] = await seen(alice);
    assert.ok(ipv4 === undefined || ipv4 === egress.ipv4, String(ipv4));
    assert.equal(ipv6, egress.ipv6);
    assert.deepEqual(await seen(bob), [gateway1.ipv4, gateway1.ipv6]);

    await device.address('to-exchange', `${egress.ipv4}/24`);
    await until('its return', async () => (await gateway()).health === 'healthy', undefined, 200);
    assert.deepEqual(await seen(alice), [egress.ipv4, egress.ipv6]);
  });
});
