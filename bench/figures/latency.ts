import { ping } from '@sallyport/netlab';
import { Pairs, type Comparison, type Figure } from '../figure.ts';
import { quantile } from '../statistics.ts';
import { openTunnel, transfer, type Tunnel } from '../tunnel.ts';

const intervalMs = 2;

/** Round-trip times of pings, on an otherwise idle tunnel and beside one TCP stream in the same direction. */
export const latency: Figure = {
  names: ['latency'],
  about: 'round-trip time through an idle tunnel and beside one TCP stream, p50 and p99',
  timeoutMs: ({ pairs, seconds }) => 30_000 + pairs * 4 * (seconds * 1000 + 5000),
  async run(context): Promise<readonly Comparison[]> {
    const times = new Pairs();
    const sides = [
      ['ours', await openTunnel(context.laboratory, 'a', context.ours)],
      ['theirs', await openTunnel(context.laboratory, 'b', context.peer)],
    ] as const;
    const count = Math.round((context.seconds * 1000) / intervalMs);
    for (let pair = 0; pair < context.pairs; pair++) {
      for (const [load, measure] of [
        ['idle', pingIdle],
        ['under load', pingUnderLoad],
      ] as const) {
        for (const [side, tunnel] of sides) {
          context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}: ${load}, ${side}`);
          const measured = await measure(tunnel, count);
          times.add(side, `${load}, p50`, quantile(measured, 0.5));
          times.add(side, `${load}, p99`, quantile(measured, 0.99));
        }
      }
    }
    return times.comparisons({
      figure: 'latency',
      unit: 'ms',
      reference: 'wireguard-go',
      goal: { of: 'ratio', atMost: 1 },
    });
  },
};

async function pingIdle(tunnel: Tunnel, count: number): Promise<readonly number[]> {
  return (await ping(tunnel.near.namespace, tunnel.far.ipv4, { count, intervalMs })).times;
}

async function pingUnderLoad(tunnel: Tunnel, count: number): Promise<readonly number[]> {
  const seconds = Math.ceil((count * intervalMs) / 1000) + 2;
  const load = transfer(tunnel, { seconds });
  // The stream's first second is its slow start.
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const times = await pingIdle(tunnel, count);
  await load;
  return times;
}
