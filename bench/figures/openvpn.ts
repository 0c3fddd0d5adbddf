import { iperf } from '@sallyport/netlab';
import { Pairs, type Figure } from '../figure.ts';
import { SERVER_INNER } from '../openvpn/addresses.ts';
import { makeCredentials } from '../openvpn/credentials.ts';
import { openTunnel, REFERENCE, sides, type Transport, type Tunnel } from '../openvpn/ends.ts';

const directions = [
  ['to the server', false],
  ['from the server', true],
] as const;
const transports = ['udp', 'tcp'] as const;

/** One TCP stream between openvpn as the client and either server, and what the server spends on it. */
export const openvpnServer: Figure = {
  names: ['openvpn-throughput', 'openvpn-cpu'],
  about:
    'one TCP stream each way with openvpn as the client, our server against openvpn (no kernel offload): UDP and TCP, ' +
    "AES-256-GCM, MTU 1420, openvpn's own buffers; and the processor time of the server's processes a gigabyte",
  timeoutMs: ({ pairs, seconds }) => 90_000 + pairs * 8 * (seconds * 1000 + 3000),
  async run(context) {
    const throughput = new Pairs();
    const cpu = new Pairs();
    const credentials = await makeCredentials(context.laboratory);
    const tunnels: { side: 'ours' | 'theirs'; transport: Transport; tunnel: Tunnel }[] = [];
    for (const transport of transports)
      for (const [side, server] of sides) {
        const whose = { server, client: 'openvpn' } as const;
        const tunnel = await openTunnel(context.laboratory, `${transport}-${side}`, whose, credentials, transport);
        tunnels.push({ side, transport, tunnel });
      }
    for (let pair = 0; pair < context.pairs; pair++)
      for (const transport of transports)
        for (const [direction, reverse] of directions)
          for (const { side, tunnel } of tunnels.filter((one) => one.transport === transport)) {
            const name = `${transport.toUpperCase()}, ${direction}`;
            context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}: ${name}, ${side}`);
            const before = tunnel.server.cpuSeconds();
            const { bitsPerSecond, bytes } = await transfer(tunnel, context.seconds, reverse);
            throughput.add(side, name, bitsPerSecond / 1e9);
            cpu.add(side, name, (tunnel.server.cpuSeconds() - before) / (bytes / 1e9));
          }
    return [
      ...throughput.comparisons({
        figure: 'openvpn-throughput',
        unit: 'Gbit/s',
        reference: REFERENCE,
        goal: { of: 'ratio', atLeast: 1 },
      }),
      ...cpu.comparisons({
        figure: 'openvpn-cpu',
        unit: 's/GB',
        reference: REFERENCE,
        goal: { of: 'ratio', atMost: 0.5 },
      }),
    ];
  },
};

/** Ours at both ends against openvpn at both ends. */
export const openvpnOwnClient: Figure = {
  names: ['openvpn-own-client'],
  about: 'one TCP stream each way over UDP, our OpenVPN client and server against openvpn at both ends, as above',
  timeoutMs: ({ pairs, seconds }) => 90_000 + pairs * 4 * (seconds * 1000 + 3000),
  async run(context) {
    const throughput = new Pairs();
    const credentials = await makeCredentials(context.laboratory);
    const tunnels = await Promise.all(
      sides.map(async ([side, whose]) => {
        const ends = { server: whose, client: whose } as const;
        return [side, await openTunnel(context.laboratory, side, ends, credentials)] as const;
      }),
    );
    for (let pair = 0; pair < context.pairs; pair++)
      for (const [direction, reverse] of directions)
        for (const [side, tunnel] of tunnels) {
          context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}: ${direction}, ${side}`);
          throughput.add(side, direction, (await transfer(tunnel, context.seconds, reverse)).bitsPerSecond / 1e9);
        }
    return throughput.comparisons({
      figure: 'openvpn-own-client',
      unit: 'Gbit/s',
      reference: `${REFERENCE} at both ends`,
      goal: { of: 'ratio', atLeast: 3 },
    });
  },
};

function transfer({ near, far }: Tunnel, seconds: number, reverse: boolean): ReturnType<typeof iperf> {
  return iperf({ client: near, server: far, address: SERVER_INNER }, { seconds, reverse });
}
