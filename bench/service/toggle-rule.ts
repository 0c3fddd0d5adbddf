/**
 * Switches the rule `probe` off and on by the API, TIMES in all: toggle-rule.ts URL FINGERPRINT TIMES INTERVAL-MS HOW, the API
 * token on standard input. Prints `ready` and begins, and a JSON list at the end.
 *
 * HOW is `probed`: it watches by ping when that is in force; milliseconds from each request to the last answer of the probe
 * where the rule was switched off, and to the first where it was switched on. Or `alternating`: after each interval with a
 * change comes one without, which begins with as many requests; `{from, changed}` of each, in epoch milliseconds.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { ApiClient, routes } from '@sallyport/api';
import { PROBE_ADDRESS } from './seed.ts';

const [url = '', certificateSha256 = '', times = '1', interval = '1000', how] = process.argv.slice(2);
const client = new ApiClient({ url, certificateSha256, token: readFileSync(0, 'utf8').trim() });
const params = { ruleId: 'probe' };
const read = async (): Promise<number> => (await client.call(routes.getRule, { params })).version;
const write = (enabled: boolean, ifMatch: number): Promise<unknown> =>
  client.call(routes.updateRule, { params, body: { enabled }, ifMatch });

// What a first request alone takes, the server's too, is no part of a change.
await read();
const result = how === 'probed' ? await probed() : await alternating();
process.stdout.write(JSON.stringify(result));

async function begin(): Promise<void> {
  await sleep(500);
  process.stdout.write('ready\n');
}

async function probed(): Promise<number[]> {
  const answers: number[] = [];
  const pings = spawn('ping', ['-D', '-n', '-i', '0.005', PROBE_ADDRESS], { stdio: ['ignore', 'pipe', 'ignore'] });
  pings.stdout.setEncoding('utf8').on('data', (text: string) => {
    for (const [, at] of text.matchAll(/^\[(\d+\.\d+)\] \d+ bytes from/gm)) answers.push(Number(at) * 1000);
  });
  await begin();
  const took: number[] = [];
  for (let at = 0; at < Number(times); at++) {
    const enabled = at % 2 === 1;
    const version = await read();
    const sent = Date.now();
    await write(enabled, version);
    await sleep(Number(interval));
    const felt = enabled ? answers.find((time) => time > sent) : answers.findLast((time) => time > sent);
    // Off before the next ping: no answer came after the request.
    if (felt === undefined && enabled) throw new Error('the rule was not in force again in time');
    took.push((felt ?? sent) - sent);
  }
  pings.kill();
  await write(true, await read());
  return took;
}

async function alternating(): Promise<{ from: number; changed: boolean }[]> {
  await begin();
  const seconds: { from: number; changed: boolean }[] = [];
  for (let at = 0; at < Number(times); at++)
    for (const changed of [true, false]) {
      seconds.push({ from: Date.now(), changed });
      const version = await read();
      await (changed ? write(at % 2 === 1, version) : read());
      await sleep(Number(interval));
    }
  await write(true, await read());
  return seconds;
}
