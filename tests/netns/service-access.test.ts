/** What clients reach of each other and of the gateway's own machine, and what a false source address gets them. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { ping, pingSteadily, until, type NetworkNamespace } from '@sallyport/netlab';
import { ADDRESSES, controlPort, seenFrom, startMirror } from '../../demo/scenarios/service/world.ts';
import { INTERNET, LEDGER, ServiceRig, type Client } from './service/rig.ts';

const METRICS_PORT = 9586;

describe('access through the service', () => {
  let rig: ServiceRig;
  let alice: Client;
  let bob: Client;

  before(async () => {
    rig = await ServiceRig.start({
      configuration: `[metrics]\ngateway_listen = "127.0.0.1:${String(METRICS_PORT)}"\n`,
    });
    await rig.user('alice', { groups: ['finance'] });
    await rig.user('bob');
    alice = await rig.connect('alice', 'alice');
    bob = await rig.connect('bob', 'bob');
    await startMirror(alice.machine);
    await startMirror(bob.machine);
  });
  after(async () => {
    await rig?.close();
  });

  const addressesOf = ({ device }: Client): string[] => [device.ipv4, device.ipv6];

  /** How many of these addresses answer a ping and a request of a page. */
  async function reached(machine: NetworkNamespace, addresses: readonly string[]): Promise<string[]> {
    const found: string[] = [];
    for (const address of addresses) {
      const { received } = await ping(machine, address, { count: 3, waitMs: 500 });
      if (received > 0) found.push(`icmp ${address}`);
      if ((await seenFrom(machine, address)) !== undefined) found.push(`tcp ${address}`);
    }
    return found;
  }

  /** That all of these are reached, which is no matter of a moment's patience. */
  async function assertReached(machine: NetworkNamespace, addresses: readonly string[]): Promise<void> {
    await until(`${machine.label} to reach ${addresses.join()}`, async () =>
      isDeepStrictEqual(await reached(machine, addresses), both(addresses)),
    );
  }

  const both = (addresses: readonly string[]): string[] =>
    addresses.flatMap((address) => [`icmp ${address}`, `tcp ${address}`]);

  test('clients do not reach each other until a rule says so, and then one way', async () => {
    await assertReached(alice.machine, [...INTERNET, ...LEDGER]);
    await assertReached(bob.machine, INTERNET);
    assert.deepEqual(await reached(bob.machine, LEDGER), []);
    assert.deepEqual(await reached(alice.machine, addressesOf(bob)), []);
    assert.deepEqual(await reached(bob.machine, addressesOf(alice)), []);

    const { items } = (await rig.api.call('listGateways')) as { items: { name: string }[] };
    const gateway = items[0]?.name ?? '';
    await rig.applied(gateway, () => rig.allow('finance-bob', 'finance', addressesOf(bob)));
    await assertReached(alice.machine, addressesOf(bob));
    // The other one is seen by the address of its tunnel.
    assert.equal(await seenFrom(alice.machine, bob.device.ipv4), alice.device.ipv4);
    assert.equal(await seenFrom(alice.machine, bob.device.ipv6), alice.device.ipv6);
    assert.deepEqual(await reached(bob.machine, addressesOf(alice)), []);

    await rig.applied(gateway, () =>
      rig.api.change('getRule', 'updateRule', { ruleId: 'finance-bob' }, { enabled: false }),
    );
    assert.deepEqual(await reached(alice.machine, addressesOf(bob)), []);
  });

  test('a false source address gets nothing through', async () => {
    // Everything that asks for an answer is counted where it would arrive.
    for (const machine of [rig.world.internet, rig.world.privateHost, alice.machine]) {
      await machine.nft(
        `table inet arrivals {
          counter requests { }
          chain input {
            type filter hook input priority -300; policy accept;
            icmp type echo-request counter name requests
            icmpv6 type echo-request counter name requests
          }
        }\n`,
      );
    }
    const arrived = async (machine: NetworkNamespace): Promise<number> => {
      const { stdout } = await machine.run(['nft', '-j', 'list', 'counter', 'inet', 'arrivals', 'requests']);
      const { nftables } = JSON.parse(stdout) as { nftables: { counter?: { packets: number } }[] };
      return nftables.find(({ counter }) => counter !== undefined)?.counter?.packets ?? -1;
    };
    const [outside4 = '', outside6 = ''] = INTERNET;
    const [ledger4 = '', ledger6 = ''] = LEDGER;
    const sources = [
      // Those of a device that may more, of a device that there is none of, and of the client's own machine.
      [alice.device.ipv4, alice.device.ipv6],
      [alice.device.ipv4.replace(/\d+$/, '250'), alice.device.ipv6.replace(/[^:]*$/, 'fafa')],
      [ADDRESSES.privateHost.ipv4.replace(/\d+$/, '77'), 'fd50::77'],
    ] as const;
    for (const pair of sources)
      for (const source of pair)
        await bob.machine.address(bob.app.device.name, `${source}/${source.includes(':') ? '128' : '32'}`);
    const targets = [
      [rig.world.internet, outside4, outside6],
      [rig.world.privateHost, ledger4, ledger6],
      [alice.machine, alice.device.ipv4, alice.device.ipv6],
    ] as const;
    for (const [machine, ipv4, ipv6] of targets) {
      for (const [source4, source6] of sources) {
        const before = await arrived(machine);
        assert.ok(before >= 0);
        for (const [source, target] of [
          [source4, ipv4],
          [source6, ipv6],
        ] as const) {
          // One's own address as the target would not leave the machine.
          if (source === target) continue;
          const { sent } = await ping(bob.machine, target, { count: 5, source, waitMs: 200 });
          assert.equal(sent, 5);
        }
        assert.equal(await arrived(machine), before, `${machine.label} was reached from ${source4} or ${source6}`);
      }
    }
    // The count counts, and the true address passes.
    const before = await arrived(rig.world.internet);
    let answered = 0;
    for (const [source, target] of [
      [bob.device.ipv4, outside4],
      [bob.device.ipv6, outside6],
    ] as const) {
      const { received } = await pingSteadily(bob.machine, target, { count: 5, source });
      assert.equal(received, 5, source);
      answered += received;
    }
    assert.ok((await arrived(rig.world.internet)) >= before + answered);
  });

  test("a client reaches the API, and nothing else on the gateway's machine", async () => {
    const { gateway1 } = rig.world;
    await startMirror(gateway1);
    assert.notEqual(await seenFrom(rig.world.admin, ADDRESSES.gateway1.endpoint), undefined, 'it runs');
    const metrics = await gateway1.run(['curl', '-s', `http://127.0.0.1:${String(METRICS_PORT)}/metrics`]);
    assert.match(metrics.stdout, /^sallyport_/m);

    // By TCP everything goes into the tunnel, also what goes to the endpoint.
    const { machine, app } = alice;
    for (const family of ['-4', '-6']) {
      await machine.ip(family, 'route', 'add', 'default', 'dev', app.device.name, 'table', '77');
      await machine.ip(family, 'rule', 'add', 'ipproto', 'tcp', 'lookup', '77');
    }
    const own = await gateway1.addressesOf('sallyport0');
    const addresses = [
      ...Object.values(ADDRESSES.gateway1),
      ...Object.values(ADDRESSES.egress),
      ...['10.50.0.1', 'fd50::1', '2001:db8:2:1::10', ...own.ipv4, ...own.ipv6],
    ];
    for (const address of addresses) {
      for (const port of [80, METRICS_PORT]) {
        const host = address.includes(':') ? `[${address}]` : address;
        const url = `http://${host}:${String(port)}/`;
        const { code } = await machine.run(['curl', '-s', '--noproxy', '*', '--max-time', '2', url], {
          allowFailure: true,
        });
        assert.notEqual(code, 0, url);
      }
    }
    const url = `https://${ADDRESSES.gateway1.endpoint}:${String(controlPort)}/healthz`;
    const before = (await app.device.peers())[0]?.sent ?? 0;
    const argv = ['curl', '-s', '-k', '--noproxy', '*', '--max-time', '20', '-w', '%{http_code} %{local_ip}', url];
    const { stdout } = await machine.run([...argv, '-o', '/dev/null']);
    assert.equal(stdout, `200 ${alice.device.ipv4}`);
    assert.ok(((await app.device.peers())[0]?.sent ?? 0) > before);
  });
});
