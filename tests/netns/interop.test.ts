/** Our device and wireguard-go, in both roles. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { generatePresharedKey, ping, pingSteadily, sallyportDevice, until, wireguardGo } from '@sallyport/netlab';
import { withHub } from './hub.ts';
import { assertReachable, assertUnreachable, configurationOf, families, roles, transfer, withPair } from './pair.ts';

for (const { name, ...programs } of roles) {
  for (const outer of families) {
    test(`${name}, over ${outer}: handshake, both families inside`, () =>
      withPair(programs, { outer }, async ({ a, b }) => {
        await assertReachable(a, b);
        await assertReachable(b, a);
        // The last packet may be on its way yet.
        const [ofA, ofB] = await until('what one has sent to be what the other received', async () => {
          const [one, other] = [(await a.device.peers())[0], (await b.device.peers())[0]];
          return one?.sent === other?.received && [one, other];
        });
        assert.ok((ofA?.latestHandshake ?? 0) > 0 && (ofB?.latestHandshake ?? 0) > 0);
        assert.ok((ofA?.received ?? 0) > 0 && (ofA?.sent ?? 0) > 0);
      }));
  }

  test(`${name}: a preshared key`, () =>
    withPair(programs, { presharedKey: generatePresharedKey() }, async ({ a, b }) => {
      await assertReachable(a, b);
    }));

  test(`${name}: different preshared keys`, () =>
    withPair(programs, { presharedKey: generatePresharedKey() }, async ({ a, b }) => {
      await b.device.configure(configurationOf(b, a, { presharedKey: generatePresharedKey() }));
      await assertUnreachable(a, b);
      assert.equal((await a.device.peers())[0]?.latestHandshake, 0);
    }));

  test(`${name}: a wire with a smaller MTU than the tunnel expects`, () =>
    withPair(programs, { wireMtu: 1300 }, async ({ a, b }) => {
      for (const [from, to] of [
        [a, b],
        [b, a],
      ] as const) {
        // As large as the tunnel takes without fragmenting inside; the first ones teach the sender the path's MTU.
        await ping(from.namespace, to.inner.ipv4, { count: 2, bytes: 1392, dontFragment: true, waitMs: 500 });
        const large = { count: 5, bytes: 1392, dontFragment: true };
        const { received, output } = await pingSteadily(from.namespace, to.inner.ipv4, large);
        assert.equal(received, 5, output);
      }
      for (const reverse of [false, true]) await transfer(a, b, 'ipv4', { bytes: 10e6, reverse });
    }));

  test(`${name}: the interface's MTU changed while it runs`, () =>
    withPair(programs, {}, async ({ a, b }) => {
      await assertReachable(a, b);
      for (const mtu of [1280, 4000, 1420]) {
        for (const host of [a, b]) await host.namespace.ip('link', 'set', host.device.name, 'mtu', String(mtu));
        for (const [from, to] of [
          [a, b],
          [b, a],
        ] as const) {
          const fitting = { count: 3, bytes: mtu - 28, dontFragment: true, waitMs: 200 };
          // Programs learn of the change by a message from the kernel.
          await until(
            `the largest packet of MTU ${String(mtu)}`,
            async () => (await ping(from.namespace, to.inner.ipv4, fitting)).received > 0,
          );
          const tooLarge = await ping(from.namespace, to.inner.ipv4, { ...fitting, bytes: mtu - 27 });
          assert.equal(tooLarge.received, 0, `MTU ${String(mtu)}: ${tooLarge.output}`);
        }
      }
      await transfer(a, b, 'ipv6', { bytes: 10e6 });
    }));
}

test('several peers: each gets what is addressed to it, and may send from its own addresses only', () =>
  withHub(sallyportDevice, [sallyportDevice, wireguardGo, wireguardGo], async ({ hub, spokes }) => {
    for (const spoke of spokes) {
      for (const address of [hub.ipv4, hub.ipv6]) {
        const { received, output } = await ping(spoke.namespace, address, { count: 3, waitMs: 10_000 });
        assert.ok(received > 0, output);
      }
    }
    const [first, second, third] = spokes;
    assert.ok(first !== undefined && second !== undefined && third !== undefined);
    const between = await pingSteadily(first.namespace, second.ipv4, { count: 3 });
    assert.equal(between.received, 3, between.output);

    // A source address that belongs to another peer.
    await first.namespace.address(first.device.name, `${third.ipv4}/32`);
    const forged = await ping(first.namespace, hub.ipv4, { count: 3, waitMs: 500, source: third.ipv4 });
    assert.equal(forged.received, 0, forged.output);

    // Allowed IPs that are given to another peer leave the one that had them.
    await hub.device.wg('set', hub.device.name, 'peer', first.publicKey, 'allowed-ips', `${third.ipv4}/32`);
    const peers = await hub.device.peers();
    const allowedIpsOf = (key: string) => peers.find(({ publicKey }) => publicKey === key)?.allowedIps;
    assert.deepEqual(allowedIpsOf(first.publicKey), [`${third.ipv4}/32`]);
    assert.deepEqual(allowedIpsOf(third.publicKey), [`${third.ipv6}/128`]);
    const moved = await pingSteadily(first.namespace, hub.ipv4, { count: 3, source: third.ipv4 });
    assert.equal(moved.received, 3, moved.output);
    const formerOwner = await ping(third.namespace, hub.ipv4, { count: 3, waitMs: 500 });
    assert.equal(formerOwner.received, 0, formerOwner.output);
  }));
