import { Pairs, type Figure } from '../figure.ts';
import { openTunnel, transfer, type Tunnel } from '../tunnel.ts';

const payloadBytes = 64;
const tolerableLoss = 0.01;
const trySeconds = 1;
const bisections = 5;
const slowest = 5_000;

/** The highest rate of small UDP packets at which at most one in a hundred is lost. */
export const udpPps: Figure = {
  names: ['udp-pps'],
  about: '64-byte UDP packets a second without loss above 1 %: the highest rate that a search finds',
  // A search takes about fifteen tries, and some are taken twice.
  timeoutMs: ({ pairs }) => 30_000 + pairs * 2 * 30 * (trySeconds * 1000 + 1500),
  async run(context) {
    const found = new Pairs();
    const sides = [
      ['ours', await openTunnel(context.laboratory, 'a', context.ours)],
      ['theirs', await openTunnel(context.laboratory, 'b', context.peer)],
    ] as const;
    for (let pair = 0; pair < context.pairs; pair++) {
      for (const [side, tunnel] of sides) {
        context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}, ${side}`);
        found.add(side, '64-byte UDP', (await highestRate(tunnel)) / 1000);
      }
    }
    return found.comparisons({
      figure: 'udp-pps',
      unit: '1000/s',
      reference: 'wireguard-go',
      goal: { of: 'ratio', atLeast: 1.5 },
    });
  },
};

/** Doubles the rate until packets are lost, then halves the (logarithmic) distance to the last rate that held. */
async function highestRate(tunnel: Tunnel): Promise<number> {
  let best = 0;
  let holding = slowest;
  let failing = Infinity;
  let bisected = 0;
  while (bisected < bisections) {
    const offered = failing === Infinity ? holding * 2 : Math.sqrt(holding * failing);
    if (failing !== Infinity) bisected++;
    // One lost time slice of a busy machine must not decide a search: a rate fails when it fails twice.
    const received = (await receivedRate(tunnel, offered)) ?? (await receivedRate(tunnel, offered));
    if (received === undefined) {
      failing = offered;
    } else {
      holding = offered;
      best = Math.max(best, received);
    }
    if (failing <= slowest) break;
  }
  return best;
}

/** Packets a second that arrive at a rate; undefined when too many are lost or the sender can't reach the rate. */
async function receivedRate(tunnel: Tunnel, packetsPerSecond: number): Promise<number | undefined> {
  const result = await transfer(tunnel, {
    seconds: trySeconds,
    udp: { bytes: payloadBytes, bitsPerSecond: Math.round(packetsPerSecond * payloadBytes * 8) },
  });
  const sentRate = result.datagrams / trySeconds;
  if (result.lostFraction > tolerableLoss || sentRate < packetsPerSecond * 0.95) return undefined;
  return sentRate * (1 - result.lostFraction);
}
