/** What TCP makes of a limited bandwidth, in both directions and both families. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { iperf, wire, withLaboratory } from '@sallyport/netlab';
import { changeRuleset, compileFirewall, type FirewallPlan } from '@sallyport/policy';

/** Bytes a second: 50 Mbit/s. */
const RATE = 6_250_000;
const SECONDS = 4;

const plan: FirewallPlan = {
  interfaceName: 'spt0',
  gateway: { pool4: '10.64.0.0/10', pool6: 'fd5a::/48', address4: '10.64.0.1', address6: 'fd5a::1', egress: {} },
  ownAddresses: ['192.0.2.1', '2001:db8::1'],
  localTcpPorts: [],
  groups: [
    {
      id: 'g',
      grants: [{ rule: 'internet', destination: { kind: 'internet' }, protocol: 'any', ports: [] }],
    },
  ],
  devices: [{ id: 'a', ipv4: '10.64.0.2', ipv6: 'fd5a::2', groups: ['g'], bitsPerSecond: RATE * 8 }],
  names: {},
};

test('TCP reaches nearly the whole rate of its device and no more, either way', () =>
  withLaboratory(async (laboratory) => {
    const [client, gateway, server] = [
      await laboratory.namespace('client'),
      await laboratory.namespace('gateway'),
      await laboratory.namespace('server'),
    ];
    await wire(
      { namespace: client, name: 'up0', addresses: ['10.64.0.2/10', 'fd5a::2/48'] },
      { namespace: gateway, name: 'spt0', addresses: ['10.64.0.1/10', 'fd5a::1/48'] },
    );
    await wire(
      { namespace: gateway, name: 'out0', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
      { namespace: server, name: 'down0', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
    );
    await gateway.forward();
    await client.route('0.0.0.0/0', 'via', '10.64.0.1');
    await client.route('::/0', 'via', 'fd5a::1');
    // A tunnel knows no neighbour discovery, and the packet filter lets none in.
    for (const [namespace, name, peer, peerName, addresses] of [
      [client, 'up0', gateway, 'spt0', ['10.64.0.1', 'fd5a::1']],
      [gateway, 'spt0', client, 'up0', ['10.64.0.2', 'fd5a::2']],
    ] as const) {
      const [link] = JSON.parse(await peer.ip('-json', 'link', 'show', peerName)) as [{ address: string }];
      for (const address of addresses)
        await namespace.ip('neigh', 'replace', address, 'lladdr', link.address, 'dev', name, 'nud', 'permanent');
    }
    const { transactions } = changeRuleset(undefined, compileFirewall(plan), 1);
    for (const commands of transactions) {
      const path = laboratory.file('commands.json', JSON.stringify({ nftables: commands }));
      await gateway.run(['nft', '-j', '-f', path]);
    }
    for (const address of ['192.0.2.2', '2001:db8::2'])
      for (const reverse of [false, true]) {
        const { bytes, seconds } = await iperf({ client, server, address }, { seconds: SECONDS, reverse });
        // What the kernel lets pass at once beside the burst is the rate of a second.
        const reached = ((bytes - 1.2 * RATE) / seconds / RATE) * 100;
        assert.ok(reached > 80 && reached < 105, `${address}${reverse ? ' back' : ''}: ${reached.toFixed(1)} %`);
      }
  }));
