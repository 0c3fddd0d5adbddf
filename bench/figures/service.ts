import { iperf } from '@sallyport/netlab';
import { Pairs, type BenchContext, type Comparison, type Figure } from '../figure.ts';
import { openBareSite, openServiceSite, type Site } from '../service/site.ts';

const cases = [
  { name: '1 stream', streams: 1 },
  { name: '8 streams', streams: 8 },
  { name: '1 stream, to the client', streams: 1, reverse: true },
];

/** TCP through tunnel, policy and address translation, against the tunnel alone. */
export const service: Figure = {
  names: ['service'],
  about: 'TCP through the whole service (tunnel, policy, address translation) against the bare tunnel',
  timeoutMs,
  async run(context) {
    const small = { devices: 1, rules: 1, groups: 1 };
    const ours = await openServiceSite(context.laboratory, 'whole', context.ours, small);
    const bare = await openBareSite(context.laboratory, 'bare', context.ours);
    return compare(context, ours, bare, { figure: 'service', reference: 'the bare tunnel', atLeast: 0.95 });
  },
};

/** TCP through a service with 10,000 rules, against one with a single rule. */
export const rules: Figure = {
  names: ['rules'],
  about: 'TCP through a service with 10,000 rules for the device against one with a single rule',
  timeoutMs,
  async run(context) {
    const many = { devices: 1, rules: 10_000, groups: 1 };
    const ours = await openServiceSite(context.laboratory, 'many', context.ours, many);
    const one = await openServiceSite(context.laboratory, 'one', context.ours, { ...many, rules: 1 });
    return compare(context, ours, one, { figure: 'rules', reference: 'one rule', atLeast: 0.97 });
  },
};

function timeoutMs({ pairs, seconds }: { pairs: number; seconds: number }): number {
  return 120_000 + pairs * cases.length * 2 * (seconds * 1000 + 4000);
}

async function compare(
  context: BenchContext,
  ours: Site,
  theirs: Site,
  { figure, reference, atLeast }: { figure: string; reference: string; atLeast: number },
): Promise<readonly Comparison[]> {
  const throughput = new Pairs();
  const sides = [
    ['ours', ours],
    ['theirs', theirs],
  ] as const;
  for (let pair = 0; pair < context.pairs; pair++) {
    for (const { name, ...options } of cases) {
      for (const [side, site] of sides) {
        context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}: ${name}, ${side}`);
        const route = { client: site.client, server: site.destination, address: site.address };
        const { bitsPerSecond } = await iperf(route, { seconds: context.seconds, ...options });
        throughput.add(side, name, bitsPerSecond / 1e9);
      }
    }
  }
  return throughput.comparisons({ figure, unit: 'Gbit/s', reference, goal: { of: 'ratio', atLeast } });
}
