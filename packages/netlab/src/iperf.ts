import type { NetworkNamespace } from './namespace.ts';
import { CommandError, describeExit, PATIENCE_MS, until, type Process } from './process.ts';

export interface IperfOptions {
  /** How long it sends; default 10. */
  readonly seconds?: number;
  /** How much it sends instead: over in a moment where the rate is of no interest. */
  readonly bytes?: number;
  /** Before these, in which nothing is measured; none by default. */
  readonly warmUpSeconds?: number;
  /** Parallel streams; default 1. */
  readonly streams?: number;
  /** The server sends. */
  readonly reverse?: boolean;
  readonly port?: number;
  /** TCP at no more than this rate; as fast as it goes by default. */
  readonly bitsPerSecond?: number;
  /** UDP with this payload at this rate; TCP otherwise. */
  readonly udp?: { readonly bytes: number; readonly bitsPerSecond: number };
}

export interface IperfResult {
  /** What the receiver received. */
  readonly bitsPerSecond: number;
  readonly bytes: number;
  readonly seconds: number;
  /** UDP datagrams that were sent and the share of them that was lost. */
  readonly datagrams: number;
  readonly lostFraction: number;
}

interface IperfReport {
  readonly error?: string;
  readonly end: {
    readonly sum_received?: { readonly bytes: number; readonly seconds: number };
    readonly sum?: {
      readonly seconds: number;
      readonly packets?: number;
      readonly lost_packets?: number;
    };
  };
}

/** Who sends to whom, unless the options reverse it. */
export interface IperfRoute {
  readonly client: NetworkNamespace;
  readonly server: NetworkNamespace;
  /** By which the client reaches the server. */
  readonly address: string;
}

/** Moves bytes between two namespaces for some seconds. @throws CommandError when iperf3 reports an error. */
export async function iperf({ client, server, address }: IperfRoute, options: IperfOptions): Promise<IperfResult> {
  const listening = await startServer(server, options.port ?? 5201);
  try {
    return await runClient(client, address, options);
  } finally {
    await listening.stop();
  }
}

// One for each measurement: iperf3's server takes some time to be done with a client, and refuses the next until then.
async function startServer(namespace: NetworkNamespace, port: number): Promise<Process> {
  const argv = ['iperf3', '--server', '--one-off', '--forceflush', '--port', String(port)];
  const server = await namespace.start(argv);
  await until('iperf3: the server', () => {
    if (server.exit !== undefined) throw new CommandError(argv, describeExit(server.exit), server.stderr);
    return server.stdout.includes('Server listening');
  });
  return server;
}

async function runClient(namespace: NetworkNamespace, address: string, options: IperfOptions): Promise<IperfResult> {
  const { udp } = options;
  const argv = [
    ...['iperf3', '--json', '--interval', '0', '--connect-timeout', String(PATIENCE_MS), '--client', address],
    ...['--port', String(options.port ?? 5201)],
    ...(options.seconds === undefined ? [] : ['--time', String(options.seconds)]),
    ...(options.bytes === undefined ? [] : ['--bytes', String(options.bytes)]),
    ...['--parallel', String(options.streams ?? 1)],
    ...(options.warmUpSeconds === undefined ? [] : ['--omit', String(options.warmUpSeconds)]),
    ...(options.reverse === true ? ['--reverse'] : []),
    ...(options.bitsPerSecond === undefined ? [] : ['--bitrate', String(options.bitsPerSecond)]),
    ...(udp === undefined ? [] : ['--udp', '--length', String(udp.bytes), '--bitrate', String(udp.bitsPerSecond)]),
    // The kernel's default receive buffer holds a few hundred small datagrams: a millisecond's worth.
    ...(udp === undefined ? [] : ['--window', '4M']),
  ];
  const run = await namespace.run(argv, {
    timeoutMs: ((options.seconds ?? 10) + (options.warmUpSeconds ?? 0)) * 1000 + PATIENCE_MS,
    allowFailure: true,
  });
  const report = JSON.parse(run.stdout) as IperfReport;
  if (report.error !== undefined) throw new CommandError(argv, report.error, run.stderr);
  if (udp !== undefined) {
    const { seconds = 0, packets = 0, lost_packets: lost = 0 } = report.end.sum ?? {};
    const bytes = Math.max(0, packets - lost) * udp.bytes;
    const lostFraction = packets === 0 ? 1 : lost / packets;
    return { bitsPerSecond: (bytes * 8) / seconds, bytes, seconds, datagrams: packets, lostFraction };
  }
  const { bytes = 0, seconds = 0 } = report.end.sum_received ?? {};
  return { bitsPerSecond: (bytes * 8) / seconds, bytes, seconds, datagrams: 0, lostFraction: 0 };
}
