import { iperf } from '@sallyport/netlab';
import { openCarrierTunnel, openOpenvpnTunnel } from '../carrier/tunnels.ts';
import { Pairs, type Figure } from '../figure.ts';

const cases = (['ipv4', 'ipv6'] as const).flatMap((family) => [false, true].map((reverse) => ({ family, reverse })));

/** TCP through the tunnel over TLS, against OpenVPN over TCP. */
export const carrier: Figure = {
  names: ['carrier'],
  about: 'one TCP stream through the tunnel over TLS, each way, against OpenVPN over TCP with AES-256-GCM',
  timeoutMs: ({ pairs, seconds }) => 60_000 + pairs * cases.length * 2 * (seconds * 1000 + 3000),
  async run(context) {
    const found = new Pairs();
    const sides = [
      ['ours', await openCarrierTunnel(context.laboratory, 'a', context.ours)],
      ['theirs', await openOpenvpnTunnel(context.laboratory, 'b')],
    ] as const;
    for (let pair = 0; pair < context.pairs; pair++) {
      for (const { family, reverse } of cases) {
        const name = `${reverse ? 'from' : 'to'} the gateway, ${family === 'ipv4' ? 'IPv4' : 'IPv6'}`;
        for (const [side, { near, far, ...tunnel }] of sides) {
          context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}: ${name}, ${side}`);
          const route = { client: near, server: far, address: tunnel[family] };
          const { bitsPerSecond } = await iperf(route, { seconds: context.seconds, reverse });
          found.add(side, name, bitsPerSecond / 1e9);
        }
      }
    }
    return found.comparisons({
      figure: 'carrier',
      unit: 'Gbit/s',
      reference: 'OpenVPN over TCP',
      goal: { of: 'ratio', atLeast: 1 },
    });
  },
};
