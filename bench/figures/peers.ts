import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type { Program } from '@sallyport/netlab';
import { Pairs, type BenchContext, type Comparison, type Figure } from '../figure.ts';
import { openTunnel, shakeHands, transfer, type Tunnel } from '../tunnel.ts';

const peerCount = 100_000;

/**
 * A device with very many peers: how long they take to load, what they weigh, and whether they slow traffic. There is
 * nothing to compare with: wireguard-go refuses more than 65,536 peers.
 */
export const peers: Figure = {
  names: ['peers'],
  about: '100,000 configured peers: load time, memory a peer, throughput with a random one of them',
  timeoutMs: ({ pairs, seconds }) => 60_000 + loads(pairs) * 60_000 + pairs * 2 * (seconds * 1000 + 3000),
  async run(context): Promise<readonly Comparison[]> {
    const loaded: { tunnel: Tunnel; seconds: number; bytes: number }[] = [];
    for (let times = 0; times < loads(context.pairs); times++) {
      context.progress(`loading ${String(peerCount)} peers`);
      const tunnel = await openTunnel(context.laboratory, `many${String(times)}`, context.ours);
      await Promise.all(loaded.slice(-1).flatMap((last) => closeTunnel(last.tunnel)));
      loaded.push({ tunnel, ...(await load(tunnel)) });
    }
    const many = loaded.at(-1)?.tunnel;
    if (many === undefined) throw new Error('peers: nothing loaded');
    const common = { figure: 'peers', reference: '', theirs: [] };
    return [
      {
        ...common,
        name: 'load time',
        unit: 's',
        ours: loaded.map(({ seconds }) => seconds),
        goal: { of: 'ours', atMost: 3 },
      },
      {
        ...common,
        name: 'memory a peer',
        unit: 'KiB',
        ours: loaded.map(({ bytes }) => bytes / peerCount / 1024),
        goal: { of: 'ours', atMost: 4 },
      },
      ...(await compareThroughput(context, context.ours, many)),
    ];
  },
};

function loads(pairs: number): number {
  return Math.min(pairs, 3);
}

function closeTunnel(tunnel: Tunnel): Promise<void>[] {
  return [tunnel.near, tunnel.far].map((end) => end.device.process.stop());
}

/** Adds peers to the tunnel's far end in one UAPI operation; its near end is a random one among them. */
async function load(tunnel: Tunnel): Promise<{ seconds: number; bytes: number }> {
  const { device } = tunnel.far;
  const request = ['set=1', 'replace_peers=true'];
  const nearEnd = randomBytes(4).readUInt32BE() % peerCount;
  for (let peer = 0; peer < peerCount; peer++) {
    if (peer === nearEnd) {
      request.push(`public_key=${Buffer.from(tunnel.near.keys.publicKey, 'base64').toString('hex')}`);
      request.push(`endpoint=${tunnel.near.endpoint}`);
      request.push(`allowed_ip=${tunnel.near.ipv4}/32`, `allowed_ip=${tunnel.near.ipv6}/128`);
    } else {
      // 10.128.0.0/9 holds them, and the tunnel's own addresses lie outside of it.
      const [a, b, c] = [128 + (peer >> 16), (peer >> 8) & 255, peer & 255].map(String) as [string, string, string];
      request.push(`public_key=${randomBytes(32).toString('hex')}`);
      request.push(
        `allowed_ip=10.${a}.${b}.${c}/32`,
        `allowed_ip=fd98::${peer.toString(16).padStart(5, '0').slice(0, 1)}:${(peer & 0xffff).toString(16)}/128`,
      );
    }
  }
  const before = device.residentBytes();
  const started = performance.now();
  const answer = await device.uapi(`${request.join('\n')}\n\n`);
  const seconds = (performance.now() - started) / 1000;
  if (!answer.includes('errno=0')) throw new Error(`peers: the device answered ${JSON.stringify(answer)}`);
  // The near end still has a session with the peer that was replaced.
  await shakeHands(tunnel.far, tunnel.near);
  // Whatever a program does behind its answer belongs to its memory too.
  await delay(1000);
  return { seconds, bytes: device.residentBytes() - before };
}

async function compareThroughput(
  context: BenchContext,
  program: Program,
  many: Tunnel,
): Promise<readonly Comparison[]> {
  const one = await openTunnel(context.laboratory, 'one', program);
  const throughput = new Pairs();
  for (let pair = 0; pair < context.pairs; pair++) {
    for (const [side, tunnel] of [
      ['ours', many],
      ['theirs', one],
    ] as const) {
      context.progress(
        `pair ${String(pair + 1)} of ${String(context.pairs)}: ${side === 'ours' ? 'many peers' : 'one peer'}`,
      );
      const { bitsPerSecond } = await transfer(tunnel, { seconds: context.seconds });
      throughput.add(side, 'throughput with a random peer', bitsPerSecond / 1e9);
    }
  }
  return throughput.comparisons({
    figure: 'peers',
    unit: 'Gbit/s',
    reference: 'ours with one peer',
    goal: { of: 'ratio', atLeast: 0.95 },
  });
}
