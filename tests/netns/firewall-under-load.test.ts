/**
 * A revocation while packets of the flows that it ends arrive all the time, on another core: the kernel shows the rules
 * of a transaction before all of its set elements, so a change in one transaction would let flows live on.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until, wire, withLaboratory } from '@sallyport/netlab';
import { changeRuleset, compileFirewall, type FirewallPlan, type Grant, type Ruleset } from '@sallyport/policy';
import { ALLOWED, buildRig, configuration, device, plan, staff, startHelper } from './privileged-rig.ts';

const ROUNDS = 6;
/** Sends small datagrams in many flows as fast as it can. */
const SENDER = `
const { createSocket } = require('node:dgram');
const [, from, to] = process.argv;
for (let port = 20000; port < 20064; port++) {
  const socket = createSocket('udp4').on('error', () => {});
  socket.bind(port, from, () => socket.connect(7, to, () => {
    const send = () => {
      for (let i = 0; i < 16; i++) socket.send('x', () => {});
      setImmediate(send);
    };
    send();
  }));
}
`;

/** With thousands of others, so that the kernel takes a time for the elements. */
function planWith(allowed: boolean): FirewallPlan {
  const grant = (prefix: string, protocol: 'tcp' | 'udp'): Grant => ({
    rule: prefix,
    destination: { kind: 'network', prefix },
    protocol,
    ports: [],
  });
  const others = Array.from({ length: 3000 }, (_, i) => grant(`10.${String(i >> 8)}.${String(i & 255)}.0/25`, 'tcp'));
  return {
    interfaceName: 'spt0',
    gateway: { pool4: '10.64.0.0/10', pool6: 'fd5a::/48', address4: '10.64.0.1', address6: 'fd5a::1', egress: {} },
    ownAddresses: ['192.168.5.1'],
    localTcpPorts: [],
    groups: [{ id: 'g', grants: allowed ? [grant('192.168.5.0/24', 'udp'), ...others] : others.slice(200) }],
    devices: [{ id: 'a', ipv4: '10.64.0.2', ipv6: 'fd5a::2', groups: ['g'] }],
    names: {},
  };
}

test('no flow outlives its permission by arriving in the middle of the change', () =>
  withLaboratory(async (laboratory) => {
    const [client, gateway, server] = [
      await laboratory.namespace('client'),
      await laboratory.namespace('gateway'),
      await laboratory.namespace('server'),
    ];
    await wire(
      { namespace: client, name: 'up0', addresses: ['10.64.0.2/10'] },
      { namespace: gateway, name: 'spt0', addresses: ['10.64.0.1/10'] },
    );
    await wire(
      { namespace: gateway, name: 'out0', addresses: ['192.168.5.1/24'] },
      { namespace: server, name: 'down0', addresses: ['192.168.5.2/24'] },
    );
    await gateway.forward();
    await client.route('0.0.0.0/0', 'via', '10.64.0.1');

    let inPlace: { ruleset: Ruleset; generation: number } | undefined;
    const apply = async (plan: FirewallPlan): Promise<void> => {
      const ruleset = compileFirewall(plan);
      const change = changeRuleset(inPlace?.ruleset, ruleset, inPlace?.generation ?? 1);
      for (const commands of change.transactions) {
        const path = laboratory.file('commands.json', JSON.stringify({ nftables: commands }));
        await gateway.run(['nft', '-j', '-f', path]);
      }
      inPlace = { ruleset, generation: change.generation };
    };
    /** How many packets reach the server in a moment. */
    const arriving = async (): Promise<number> => {
      const count = async (): Promise<number> =>
        Number((await server.run(['cat', '/sys/class/net/down0/statistics/rx_packets'])).stdout);
      const before = await count();
      await new Promise((resolve) => setTimeout(resolve, 100));
      return (await count()) - before;
    };

    await apply(planWith(true));
    await client.start([process.execPath, '-e', SENDER, '10.64.0.2', '192.168.5.2']);
    for (let round = 0; round < ROUNDS; round++) {
      await until('the packets arrive while they may', async () => (await arriving()) > 200);
      await apply(planWith(false));
      const left = await arriving();
      // Neighbours ask each other for their addresses.
      assert.ok(left < 10, `round ${String(round)}: ${String(left)} packets arrive after the revocation`);
      await apply(planWith(true));
    }
  }));

test('nor where the helper changes nothing but elements, by differences', async () => {
  const rig = await buildRig();
  const helper = startHelper(rig);
  const { client } = helper;
  try {
    const less = { id: 'staff', grants: staff.grants.slice(1) };
    const others = { ...staff.grants[0], destination: { kind: 'network', prefix: '10.9.0.0/16' } } as const;
    const group = (allowed: boolean) => ({ id: 'staff', grants: [others, ...(allowed ? staff : less).grants] });
    const first = await client.request({ kind: 'setFirewall', plan: plan([device(2, ['staff'])], [group(true)]) });
    await client.request(configuration);
    await client.request({ kind: 'enableForwarding' });
    let revision = first.firewall?.revision ?? 0;
    const allow = async (allowed: boolean): Promise<void> => {
      const change = { putGroups: [group(allowed)], removeGroups: [], putDevices: [], removeDevices: [] };
      const answer = await client.request({ kind: 'changeFirewall', revision, change });
      assert.equal(answer.error, undefined);
      revision = answer.firewall?.revision ?? 0;
    };
    const arriving = async (): Promise<number> => {
      const count = async (): Promise<number> =>
        Number((await rig.inside.run(['cat', '/sys/class/net/lan0/statistics/rx_packets'])).stdout);
      const before = await count();
      await new Promise((resolve) => setTimeout(resolve, 100));
      return (await count()) - before;
    };
    await rig.devices.start([process.execPath, '-e', SENDER, '10.77.0.2', ALLOWED[4]]);
    for (let round = 0; round < 3 * ROUNDS; round++) {
      await until('the packets arrive while they may', async () => (await arriving()) > 200);
      await allow(false);
      const left = await arriving();
      assert.ok(left < 10, `round ${String(round)}: ${String(left)} packets arrive after the revocation`);
      await allow(true);
    }
    const programs = helper.commands.filter((command) => command === 'nft -j -f -');
    assert.equal(programs.length, 1, 'the first plan alone');
    const stale = await client.request({
      kind: 'changeFirewall',
      revision: revision - 1,
      change: { putGroups: [], removeGroups: ['staff'], putDevices: [], removeDevices: [] },
    });
    assert.equal(stale.error?.code, 'OTHER_REVISION');
    assert.ok((await arriving()) > 200, 'and nothing is done');
  } finally {
    client.close();
    await helper.ended;
    await rig.laboratory.close();
  }
});
