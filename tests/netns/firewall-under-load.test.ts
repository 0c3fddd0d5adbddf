/**
 * A revocation while packets of the flows that it ends arrive all the time, on another core: the kernel shows the rules
 * of a transaction before all of its set elements, so a change in one transaction would let flows live on.
 */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { until, wire, withLaboratory } from '@sallyport/netlab';
import { changeRuleset, compileFirewall, type FirewallPlan, type Grant, type Ruleset } from '@sallyport/policy';

const ROUNDS = 6;
/** Sends small datagrams in many flows as fast as it can. */
const SENDER = `
const { createSocket } = require('node:dgram');
for (let port = 20000; port < 20064; port++) {
  const socket = createSocket('udp4').on('error', () => {});
  socket.bind(port, '10.64.0.2', () => socket.connect(7, '192.168.5.2', () => {
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
    await client.start([process.execPath, '-e', SENDER]);
    for (let round = 0; round < ROUNDS; round++) {
      await until('the packets arrive while they may', async () => (await arriving()) > 200);
      await apply(planWith(false));
      const left = await arriving();
      // Neighbours ask each other for their addresses.
      assert.ok(left < 10, `round ${String(round)}: ${String(left)} packets arrive after the revocation`);
      await apply(planWith(true));
    }
  }));
