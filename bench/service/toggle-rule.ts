/**
 * Switches the rule `probe` off and on by the API, and watches by ping when that is in force: toggle-rule.ts URL FINGERPRINT
 * TIMES INTERVAL-MS [watch], the API token on standard input. With `watch` it does all of it but the switching. Prints
 * `ready` and begins; at the end a JSON list of milliseconds: from each request to the last answer of the probe where the
 * rule was switched off, and to the first where it was switched on.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient, routes } from '@sallyport/api';
import { PROBE_ADDRESS } from './seed.ts';

const [url = '', certificateSha256 = '', times = '1', interval = '1000', watch] = process.argv.slice(2);
const client = new ApiClient({ url, certificateSha256, token: readFileSync(0, 'utf8').trim() });
const params = { ruleId: 'probe' };

const answers: number[] = [];
const pings = spawn('ping', ['-D', '-n', '-i', '0.005', PROBE_ADDRESS], { stdio: ['ignore', 'pipe', 'ignore'] });
pings.stdout.setEncoding('utf8').on('data', (text: string) => {
  for (const [, at] of text.matchAll(/^\[(\d+\.\d+)\] \d+ bytes from/gm)) answers.push(Number(at) * 1000);
});
// What a first request alone takes, the server's too, is no part of a change.
await client.call(routes.getRule, { params });
await sleep(500);
process.stdout.write('ready\n');

const took: number[] = [];
for (let at = 0; at < Number(times); at++) {
  for (const enabled of [false, true]) {
    if (watch !== undefined) {
      await sleep(Number(interval));
      continue;
    }
    const { version } = await client.call(routes.getRule, { params });
    const sent = Date.now();
    await client.call(routes.updateRule, { params, body: { enabled }, ifMatch: version });
    await sleep(Number(interval));
    const felt = enabled ? answers.find((time) => time > sent) : answers.findLast((time) => time > sent);
    // Off before the next ping: no answer came after the request.
    if (felt === undefined && enabled) throw new Error('the rule was not in force again in time');
    took.push((felt ?? sent) - sent);
  }
}
pings.kill();
process.stdout.write(JSON.stringify(took));
