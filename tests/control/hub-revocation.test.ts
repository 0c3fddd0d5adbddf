import assert from 'node:assert/strict';
import { test } from 'node:test';
import { measureRevocation } from '../../bench/figures/revocation.ts';
import { quantile } from '../../bench/statistics.ts';

test('a user who is disabled is off every gateway; how soon is measured here and judged in the bench', async (t) => {
  const latencies = await measureRevocation({ devices: 2000, gateways: 20, revocations: 20 });
  assert.equal(latencies.length, 20 * 20);
  const [p50, p99] = [0.5, 0.99].map((fraction) => quantile(latencies, fraction).toFixed(1));
  t.diagnostic(`2000 devices, 20 gateways: p50 ${p50 ?? ''} ms, p99 ${p99 ?? ''} ms`);
});
