/**
 * Switches a rule off and on by the API: toggle-rule.ts URL FINGERPRINT TIMES INTERVAL-MS, the API token on standard input.
 * Prints a JSON list of the milliseconds from each request until the gateway had applied what came of it.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient, routes } from '@sallyport/api';

const [url = '', certificateSha256 = '', times = '1', interval = '1000'] = process.argv.slice(2);
const client = new ApiClient({ url, certificateSha256, token: readFileSync(0, 'utf8').trim() });
const params = { ruleId: 'r1' };
const took: number[] = [];
for (let at = 0; at < Number(times); at++) {
  const rule = await client.call(routes.getRule, { params });
  const before = (await client.call(routes.listGateways)).items[0]?.appliedVersion ?? 0;
  const started = performance.now();
  await client.call(routes.updateRule, { params, body: { enabled: !rule.enabled }, ifMatch: rule.version });
  for (;;) {
    const [gateway] = (await client.call(routes.listGateways)).items;
    if (gateway !== undefined && gateway.appliedVersion > before && gateway.appliedVersion >= gateway.stateVersion)
      break;
    await sleep(5);
  }
  took.push(performance.now() - started);
  await sleep(Number(interval));
}
process.stdout.write(JSON.stringify(took));
