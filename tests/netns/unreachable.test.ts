/** What our device tells those whose packets it can't send. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ping, sallyportDevice, wireguardGo } from '@sallyport/netlab';
import { assertReachable, configurationOf, families, withPair } from './pair.ts';

for (const family of families) {
  test(`${family}: no peer has the address`, () =>
    withPair({ a: sallyportDevice, b: wireguardGo }, {}, async ({ a, b }) => {
      await assertReachable(a, b);
      const nobody = family === 'ipv4' ? '10.77.0.200' : 'fd77::200';
      const { received, output } = await ping(a.namespace, nobody, { count: 2 });
      assert.equal(received, 0);
      assert.match(output, /unreachable/i);
    }));

  test(`${family}: the peer's endpoint isn't known`, () =>
    withPair({ a: sallyportDevice, b: wireguardGo }, {}, async ({ a, b }) => {
      const peers = configurationOf(a, b).peers.map(({ publicKey, allowedIps }) => ({ publicKey, allowedIps }));
      await a.device.configure({ ...configurationOf(a, b), peers });
      const { received, output } = await ping(a.namespace, b.inner[family], { count: 2 });
      assert.equal(received, 0);
      assert.match(output, /unreachable/i);
      await assertReachable(b, a);
      await assertReachable(a, b);
    }));
}
