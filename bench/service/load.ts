/**
 * Reads from an HTTP server by several connections at once: load.ts PORT PATH CONNECTIONS SECONDS, the bearer token on
 * standard input. Prints `{ "perSecond", "p99" }`, milliseconds, of the answers after the first second.
 */
import { readFileSync } from 'node:fs';
import { Agent, get } from 'node:http';
import { quantile } from '../statistics.ts';

const [port = '', path = '/', connections = '1', seconds = '1'] = process.argv.slice(2);
const agent = new Agent({ keepAlive: true, maxSockets: Number(connections) });
const headers = { authorization: `Bearer ${readFileSync(0, 'utf8').trim()}` };
const warmUp = performance.now() + 1000;
const end = warmUp + Number(seconds) * 1000;
const times: number[] = [];

function once(): Promise<void> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    get({ host: '127.0.0.1', port, path, headers, agent }, (response) => {
      if (response.statusCode !== 200) reject(new Error(`status ${String(response.statusCode)}`));
      response.resume().on('error', reject);
      response.on('end', () => {
        if (started > warmUp) times.push(performance.now() - started);
        resolve();
      });
    }).on('error', reject);
  });
}

async function connection(): Promise<void> {
  while (performance.now() < end) await once();
}

await Promise.all(Array.from({ length: Number(connections) }, connection));
agent.destroy();
process.stdout.write(JSON.stringify({ perSecond: times.length / Number(seconds), p99: quantile(times, 0.99) }));
