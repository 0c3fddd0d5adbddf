import { join } from 'node:path';
import type { Program } from '@sallyport/netlab';
import { Pairs, type BenchContext, type Comparison, type Figure } from '../figure.ts';
import { openTunnel, transfer, type Tunnel } from '../tunnel.ts';

const cases = [1, 8].flatMap((streams) => (['ipv4', 'ipv6'] as const).map((family) => ({ streams, family })));

/** TCP through the tunnel, and what it costs both ends' device processes. */
export const tcp: Figure = {
  names: ['tcp', 'cpu'],
  about: 'one TCP stream and eight, IPv4 and IPv6, and the processor time both devices spend on a gigabyte',
  timeoutMs: tcpTimeoutMs,
  async run(context) {
    const { throughput, cpu } = await compare(context, context.ours, context.peer);
    return [
      ...throughput.comparisons({
        figure: 'tcp',
        unit: 'Gbit/s',
        reference: 'wireguard-go',
        goal: { of: 'ratio', atLeast: 2 },
      }),
      ...cpu.comparisons({
        figure: 'cpu',
        unit: 's/GB',
        reference: 'wireguard-go',
        goal: { of: 'ratio', atMost: 0.5 },
      }),
    ];
  },
};

/** TCP through our own path against the same path with its cipher replaced by a copy. */
export const aeadCopy: Figure = {
  names: ['aead-copy'],
  about: 'the same against our own path with the AEAD replaced by a copy',
  timeoutMs: tcpTimeoutMs,
  async run(context): Promise<readonly Comparison[]> {
    const copying = join(import.meta.dirname, '..', 'copy-device', 'main.ts');
    const { throughput } = await compare(context, context.ours, { command: [process.execPath, copying] });
    const reference = 'ours with a copy for the AEAD';
    return throughput.comparisons({
      figure: 'aead-copy',
      unit: 'Gbit/s',
      reference,
      goal: { of: 'ratio', atLeast: 0.6 },
    });
  },
};

function tcpTimeoutMs({ pairs, seconds }: { pairs: number; seconds: number }): number {
  return 30_000 + pairs * cases.length * 2 * (seconds * 1000 + 3000);
}

async function compare(
  context: BenchContext,
  ours: Program,
  theirs: Program,
): Promise<{ throughput: Pairs<string>; cpu: Pairs<string> }> {
  const throughput = new Pairs();
  const cpu = new Pairs();
  const sides = [
    ['ours', await openTunnel(context.laboratory, 'a', ours)],
    ['theirs', await openTunnel(context.laboratory, 'b', theirs)],
  ] as const;
  for (let pair = 0; pair < context.pairs; pair++) {
    for (const { streams, family } of cases) {
      const name = `${String(streams)} stream${streams === 1 ? '' : 's'}, ${family === 'ipv4' ? 'IPv4' : 'IPv6'}`;
      for (const [side, tunnel] of sides) {
        context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}: ${name}, ${side}`);
        const before = deviceSeconds(tunnel);
        const result = await transfer(tunnel, { seconds: context.seconds, streams }, family);
        throughput.add(side, name, result.bitsPerSecond / 1e9);
        cpu.add(side, name, (deviceSeconds(tunnel) - before) / (result.bytes / 1e9));
      }
    }
  }
  return { throughput, cpu };
}

function deviceSeconds(tunnel: Tunnel): number {
  return tunnel.near.device.cpuSeconds() + tunnel.far.device.cpuSeconds();
}
