import { join } from 'node:path';
import { iperf, ping, until } from '@sallyport/netlab';
import { Pairs, type BenchContext, type Comparison, type Figure } from '../figure.ts';
import { openServiceSite, type ServiceSite } from '../service/site.ts';
import { quantile } from '../statistics.ts';

const size = { devices: 10_000, rules: 1000, groups: 50 };
const PING_INTERVAL_MS = 10;
/** A transfer that leaves the machine room for others, as one over the internet does. */
const TRANSFER = { bytes: 1200, bitsPerSecond: 300e6 };
/** A change of policy, as often as administrators at work make one. */
const CHANGE_INTERVAL_MS = 1000;

/** How soon a changed rule is in force at a gateway of 10,000 devices, and what a transfer notices of it. */
export const recompute: Figure = {
  names: ['recompute', 'recompute-transfer'],
  about: 'a rule changes with 10,000 devices and 1,000 rules: until it is in force, and a transfer meanwhile',
  timeoutMs: ({ pairs, seconds }) => 180_000 + pairs * 4 * (seconds * 1000 + 6000),
  async run(context): Promise<readonly Comparison[]> {
    const site = await openServiceSite(context.laboratory, 'large', context.ours, size);
    const inForce: number[] = [];
    const transfers = new Pairs();
    const latencies = new Pairs();
    for (let pair = 0; pair < context.pairs; pair++) {
      for (const [side, changes] of [
        ['ours', true],
        ['theirs', false],
      ] as const) {
        context.progress(
          `pair ${String(pair + 1)} of ${String(context.pairs)}: ${changes ? 'with' : 'without'} changes`,
        );
        // Without changes there is a client too, which does all but the changing.
        const changing = await change(context, site, changes);
        const route = { client: site.client, server: site.destination, address: site.address };
        const { bitsPerSecond } = await iperf(route, { seconds: context.seconds, udp: TRANSFER });
        transfers.add(side, 'rate of a transfer of 300 Mbit/s', bitsPerSecond / 1e6);
        inForce.push(...(await changing()));
        const alone = await change(context, site, changes);
        const count = Math.round((context.seconds * 1000) / PING_INTERVAL_MS);
        const { times } = await ping(site.client, site.address, { count, intervalMs: PING_INTERVAL_MS });
        latencies.add(side, 'round trip, p50', quantile(times, 0.5));
        latencies.add(side, 'round trip, p99', quantile(times, 0.99));
        inForce.push(...(await alone()));
      }
    }
    const applied = { figure: 'recompute', unit: 'ms', reference: '', theirs: [] };
    const meanwhile = { figure: 'recompute-transfer', reference: 'no changes' };
    return [
      { ...applied, name: 'p50', ours: [quantile(inForce, 0.5)], goal: { of: 'ours', atMost: 500 } },
      { ...applied, name: 'p99', ours: [quantile(inForce, 0.99)], goal: { of: 'ours', atMost: 500 } },
      ...transfers.comparisons({ ...meanwhile, unit: 'Mbit/s', goal: { of: 'ratio', atLeast: 0.95 } }),
      ...latencies.comparisons({ ...meanwhile, unit: 'ms', goal: { of: 'ratio', atMost: 1.05 } }),
    ];
  },
};

/**
 * Has a rule changed once a second, or none, from now on; the result waits for the end and gives the milliseconds until
 * each change was in force.
 */
async function change(
  { seconds }: BenchContext,
  { client, url, fingerprint, token }: ServiceSite,
  changes: boolean,
): Promise<() => Promise<number[]>> {
  const script = join(import.meta.dirname, '..', 'service', 'toggle-rule.ts');
  const times = Math.max(1, Math.floor((seconds * 1000) / (2 * CHANGE_INTERVAL_MS)));
  const toggling = await client.start(
    [
      ...[process.execPath, script, url, fingerprint, String(times), String(CHANGE_INTERVAL_MS)],
      ...(changes ? [] : ['watch']),
    ],
    { input: token },
  );
  // A Node that starts takes a core for as long as ten changes.
  await until('the client that changes a rule', () => {
    if (toggling.exit !== undefined) throw new Error(`it ended: ${toggling.stderr}`);
    return toggling.stdout.startsWith('ready\n');
  });
  return async () => {
    await toggling.end(120_000);
    return JSON.parse(toggling.stdout.slice('ready\n'.length)) as number[];
  };
}
