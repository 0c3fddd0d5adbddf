import type { NetworkNamespace } from './namespace.ts';
import { PATIENCE_MS } from './process.ts';

export interface PingOptions {
  readonly count: number;
  /** Bytes behind the ICMP header; default 56. */
  readonly bytes?: number;
  /** Between two requests; a flood when it is 0. Default 10. */
  readonly intervalMs?: number;
  /** Set IPv4's don't-fragment flag, and don't fragment IPv6 at the source. */
  readonly dontFragment?: boolean;
  /** The source address. */
  readonly source?: string;
  /** How long to wait for the last answer. Default 1000. */
  readonly waitMs?: number;
}

export interface PingResult {
  readonly sent: number;
  readonly received: number;
  /** Round-trip times in milliseconds, in order of arrival; empty for a flood. */
  readonly times: readonly number[];
  readonly output: string;
}

/** Pings `address` and returns what came back, be it nothing. */
export async function ping(namespace: NetworkNamespace, address: string, options: PingOptions): Promise<PingResult> {
  const { count, bytes = 56, intervalMs = 10, dontFragment = false, source, waitMs = 1000 } = options;
  const argv = [
    ...['ping', '-n', '-c', String(count), '-s', String(bytes), '-W', String(waitMs / 1000)],
    ...(intervalMs === 0 ? ['-f', '-q'] : ['-i', String(intervalMs / 1000)]),
    ...(dontFragment ? ['-M', 'do'] : []),
    ...(source === undefined ? [] : ['-I', source]),
    address,
  ];
  const timeoutMs = count * Math.max(intervalMs, 1) * 2 + waitMs + PATIENCE_MS;
  const { stdout, stderr } = await namespace.run(argv, { timeoutMs, allowFailure: true });
  return parsePing(stdout + stderr);
}

/**
 * Pings until all requests of one run are answered, three times at the most. On a machine that is full one may count as lost
 * that only came late: once something has come, ping(8) waits no longer than two round trips, or the interval, for the last.
 */
export async function pingSteadily(
  namespace: NetworkNamespace,
  address: string,
  options: PingOptions,
): Promise<PingResult> {
  for (let tries = 1; ; tries++) {
    const result = await ping(namespace, address, { waitMs: 10_000, ...options });
    if (result.received === result.sent || tries === 3) return result;
  }
}

/** Reads the output of iputils' ping. @throws Error when it holds no summary. */
export function parsePing(output: string): PingResult {
  const summary = /(\d+) packets transmitted, (\d+) received/.exec(output);
  if (summary === null) throw new Error(`ping: ${output.trim()}`);
  const times = [...output.matchAll(/ time=([\d.]+) ms/g)].map((match) => Number(match[1]));
  return { sent: Number(summary[1]), received: Number(summary[2]), times, output };
}
