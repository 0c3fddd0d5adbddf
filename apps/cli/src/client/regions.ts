import type { Command } from '../command.ts';
import { table } from '../service/table.ts';
import { ask } from './daemon.ts';
import { formatMilliseconds } from './format.ts';

export const regions: Command = {
  name: 'regions',
  usage: '[--json]',
  summary: 'list the regions and gateways that you may use, with latency and load',
  help: `Measures how far each gateway is, now, and shows how loaded it says that it is. "*" marks where "sallyport connect
fastest" would go. Any id or name of the first two columns can be given to "sallyport connect".

Options:
  --json  print JSON

Example:
  sallyport regions`,
  options: ['json'],
  arguments: [0, 0],
  async run(_words, options) {
    const { items } = await ask('regions', {});
    if (options.has('json')) process.stdout.write(`${JSON.stringify({ items }, undefined, 2)}\n`);
    else process.stdout.write(`${regionTable(items)}\n`);
    return 0;
  },
};

type Choice = Awaited<ReturnType<typeof ask<'regions'>>>['items'][number];

/** The nearest first; those that did not answer last. */
export function regionTable(items: readonly Choice[]): string {
  if (items.length === 0) return 'none: no gateway lets you in yet; ask an administrator';
  const rows = [...items]
    .sort((a, b) => (a.latencyMs ?? Infinity) - (b.latencyMs ?? Infinity) || a.gateway.localeCompare(b.gateway))
    .map(({ region, gateway, city, country, latencyMs, load, draining, recommended }) => ({
      region,
      gateway,
      place: [city, country].filter((part) => part !== null && part !== '').join(', '),
      latency: latencyMs === null ? 'no answer' : formatMilliseconds(latencyMs),
      load: load === 'unknown' ? '' : load,
      '': [...(recommended ? ['*'] : []), ...(draining ? ['being closed'] : [])].join(' ') || ' ',
    }));
  return table(['region', 'gateway', 'place', 'latency', 'load', ''], rows);
}
