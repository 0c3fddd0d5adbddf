/** How much goes between our device and wireguard-go, in both roles. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { pingSteadily } from '@sallyport/netlab';
import { assertReachable, families, roles, transfer, withPair } from './pair.ts';

for (const { name, ...programs } of roles) {
  test(`${name}: TCP and UDP in both directions and both families`, () =>
    withPair(programs, {}, async ({ a, b }) => {
      for (const streams of [1, 4])
        for (const reverse of [false, true])
          await Promise.all(
            families.map((family, i) => transfer(a, b, family, { seconds: 1, reverse, streams, port: 5201 + i })),
          );
      const udp = { bytes: 1200, bitsPerSecond: 20e6 };
      const ways = families.flatMap((family) => [false, true].map((reverse) => ({ family, reverse })));
      const results = await Promise.all(
        ways.map(({ family, reverse }, i) => transfer(a, b, family, { seconds: 1, reverse, udp, port: 5201 + i })),
      );
      for (const { datagrams, lostFraction } of results)
        assert.ok(datagrams > 0 && lostFraction < 0.05, `${String(lostFraction)} lost`);
    }));

  test(`${name}: a flood of pings without loss`, () =>
    withPair(programs, {}, async ({ a, b }) => {
      await assertReachable(a, b);
      for (const family of families) {
        for (const bytes of [56, 1300]) {
          const { sent, received, output } = await pingSteadily(a.namespace, b.inner[family], {
            count: 5000,
            intervalMs: 0,
            bytes,
          });
          assert.equal(received, sent, output);
        }
      }
    }));
}
