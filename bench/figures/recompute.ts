import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { iperf, PATIENCE_MS, until, type Process } from '@sallyport/netlab';
import { type BenchContext, type Comparison, type Figure } from '../figure.ts';
import { openServiceSite, type ServiceSite } from '../service/site.ts';
import { quantile } from '../statistics.ts';

const size = { devices: 10_000, rules: 1000, groups: 50 };
const PING_INTERVAL_MS = 2;
/** A transfer that leaves the machine room for others, as one over the internet does. */
const TRANSFER = { bytes: 1200, bitsPerSecond: 300e6 };
/** A change of policy, as often as administrators at work make one. */
const SECOND_MS = 1000;
const SAMPLE_MS = 50;

/** How soon a changed rule is in force at a gateway of 10,000 devices, and what a transfer notices of it. */
export const recompute: Figure = {
  names: ['recompute', 'recompute-transfer'],
  about: 'a rule changes with 10,000 devices and 1,000 rules: until it is in force, and a transfer meanwhile',
  timeoutMs: ({ pairs, seconds }) => 180_000 + pairs * 4 * (seconds * 1000 + 6000),
  async run(context): Promise<readonly Comparison[]> {
    const site = await openServiceSite(context.laboratory, 'large', context.ours, size);
    const inForce: number[] = [];
    const rates = { ours: [] as number[], theirs: [] as number[] };
    const times = { ours: [] as number[], theirs: [] as number[] };
    for (let pair = 0; pair < context.pairs; pair++) {
      const progress = `pair ${String(pair + 1)} of ${String(context.pairs)}`;
      context.progress(`${progress}: a transfer meanwhile`);
      const { seconds, pings, received } = await alternate(context, site);
      for (const { from, changed } of seconds) {
        const side = changed ? 'ours' : 'theirs';
        const within = ({ at }: { readonly at: number }): boolean => at >= from && at < from + SECOND_MS;
        times[side].push(...pings.filter(within).map(({ took }) => took));
        const samples = received.filter(within);
        const [first, last] = [samples[0], samples.at(-1)];
        if (first === undefined || last === undefined || first === last)
          throw new Error('the transfer was not watched');
        rates[side].push(((last.bytes - first.bytes) * 8e-3) / (last.at - first.at));
      }
      context.progress(`${progress}: until it is in force`);
      const probing = await startChanges(context, site, 'probed');
      inForce.push(...(JSON.parse(await ended(probing, context.seconds)) as number[]));
    }
    const applied = { figure: 'recompute', unit: 'ms', reference: '', theirs: [] };
    const meanwhile = { figure: 'recompute-transfer', reference: 'seconds without a change' };
    return [
      { ...applied, name: 'p50', ours: [quantile(inForce, 0.5)], goal: { of: 'ours', atMost: 500 } },
      { ...applied, name: 'p99', ours: [quantile(inForce, 0.99)], goal: { of: 'ours', atMost: 500 } },
      {
        ...meanwhile,
        name: 'rate of a transfer of 300 Mbit/s',
        unit: 'Mbit/s',
        ...rates,
        goal: { of: 'ratio', atLeast: 0.95 },
      },
      // Of all round trips together: a p99 of a few hundred is the chance of a handful.
      ...[0.5, 0.99].map((quantileOf) => ({
        ...meanwhile,
        name: `round trip beside it, p${String(quantileOf * 100)}`,
        unit: 'ms',
        ours: [quantile(times.ours, quantileOf)],
        theirs: [quantile(times.theirs, quantileOf)],
        goal: { of: 'ratio', atMost: 1.05 } as const,
      })),
    ];
  },
};

interface Watched {
  /** When each second began (epoch milliseconds), and whether it did with a change. */
  readonly seconds: readonly { readonly from: number; readonly changed: boolean }[];
  /** When each request was sent, and the milliseconds until its answer. */
  readonly pings: readonly { readonly at: number; readonly took: number }[];
  /** What had come to the destination. */
  readonly received: readonly { readonly at: number; readonly bytes: number }[];
}

/** A transfer, round trips beside it, and a rule that changes every other second: the machine's mood is in both halves. */
async function alternate(context: BenchContext, site: ServiceSite): Promise<Watched> {
  const { client, destination, address } = site;
  // The client that changes the rule starts meanwhile, and its requests take time too.
  const length = Math.ceil(context.seconds * 2.2) + 4;
  const server = await destination.start(['sleep', String(length + 60)]);
  const received: { at: number; bytes: number }[] = [];
  const sampling = setInterval(() => {
    const devices = readFileSync(`/proc/${String(server.pid)}/net/dev`, 'utf8');
    received.push({ at: Date.now(), bytes: Number(/^ *to-gateway: *(\d+)/m.exec(devices)?.[1]) });
  }, SAMPLE_MS);
  const count = (length * SECOND_MS) / PING_INTERVAL_MS;
  const [{ stdout }, , seconds] = await Promise.all([
    client.run(['ping', '-D', '-n', '-i', String(PING_INTERVAL_MS / 1000), '-c', String(count), address], {
      timeoutMs: length * SECOND_MS + 30_000,
    }),
    iperf({ client, server: destination, address }, { seconds: length, udp: TRANSFER }),
    startChanges(context, site, 'alternating').then((toggling) => ended(toggling, length)),
  ]);
  clearInterval(sampling);
  await server.stop();
  const pings = [...stdout.matchAll(/^\[(\d+\.\d+)\].* time=([\d.]+) ms/gm)].map(([, at, took]) => {
    return { at: Number(at) * 1000 - Number(took), took: Number(took) };
  });
  return { seconds: JSON.parse(seconds) as Watched['seconds'], pings, received };
}

/** Starts toggle-rule.ts. A Node that starts takes a core for as long as ten changes, so it has before this returns. */
async function startChanges(
  { seconds }: BenchContext,
  { client, url, fingerprint, token }: ServiceSite,
  how: 'probed' | 'alternating',
): Promise<Process> {
  const script = join(import.meta.dirname, '..', 'service', 'toggle-rule.ts');
  const argv = [process.execPath, script, url, fingerprint, String(seconds), String(SECOND_MS), how];
  const toggling = await client.start(argv, { input: token });
  await until('the client that changes a rule', () => {
    if (toggling.exit !== undefined) throw new Error(`it ended: ${toggling.stderr}`);
    return toggling.stdout.startsWith('ready\n');
  });
  return toggling;
}

async function ended(toggling: Process, seconds: number): Promise<string> {
  await toggling.end(seconds * SECOND_MS + PATIENCE_MS);
  return toggling.stdout.slice('ready\n'.length);
}
