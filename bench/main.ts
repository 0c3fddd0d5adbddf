import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { Laboratory, LaboratoryClosed, sallyportDevice, type Program } from '@sallyport/netlab';
import type { BenchContext, Comparison, Figure } from './figure.ts';
import { api } from './figures/api.ts';
import { carrier } from './figures/carrier.ts';
import { clientIdle, clientProtection } from './figures/client-costs.ts';
import { clientConnect, clientFailover, clientRoam } from './figures/client-times.ts';
import { console as webConsole } from './figures/console.ts';
import { footprint } from './figures/footprint.ts';
import { handshake } from './figures/handshake.ts';
import { latency } from './figures/latency.ts';
import { openvpnHandshakes, openvpnSessions } from './figures/openvpn-logins.ts';
import { openvpnOwnClient, openvpnServer } from './figures/openvpn.ts';
import { peers } from './figures/peers.ts';
import { recompute } from './figures/recompute.ts';
import { revocation } from './figures/revocation.ts';
import { rules, service } from './figures/service.ts';
import { aeadCopy, tcp } from './figures/tcp.ts';
import { udpPps } from './figures/udp-pps.ts';
import { findProgram, installPeer, ourVersion, peerVersion } from './programs.ts';
import { formatTable, judge } from './report.ts';

const figures: readonly Figure[] = [
  tcp,
  aeadCopy,
  udpPps,
  carrier,
  openvpnServer,
  openvpnOwnClient,
  openvpnHandshakes,
  openvpnSessions,
  latency,
  handshake,
  peers,
  service,
  rules,
  recompute,
  revocation,
  api,
  webConsole,
  footprint,
  clientConnect,
  clientRoam,
  clientFailover,
  clientIdle,
  clientProtection,
];

const usage = `Usage: npm run bench -- [OPTIONS] [FIGURE...]

Measures this checkout's WireGuard device against wireguard-go, its OpenVPN against Debian's openvpn, and its service
against its bare tunnel, in turn and in one run, in network namespaces. Only the ratios count: absolute figures drift with the machine and the hour. Needs root.

Figures (all of them when none is named):
${figures.map(({ names, about }) => `  ${names.join(', ').padEnd(29)} ${about}`).join('\n')}

Options:
  --peer PROGRAM   the wireguard-go to compare with (default: the one on the PATH)
  --install-peer   build the current wireguard-go with Go's tool and compare with that
  --ours PROGRAM   measure another device program in place of this checkout's
  --pairs N        how often each pair is taken (default 5; 1 with --quick)
  --seconds S      how long one throughput measurement takes (default 5; 1 with --quick)
  --quick          one short pair of each: shows that everything works, and no more than that
  --json           print one JSON object
  --help           print this text
`;

interface Options {
  readonly json: boolean;
  readonly ours: Program;
  readonly peer: string;
  readonly pairs: number;
  readonly seconds: number;
  readonly wanted: ReadonlySet<string>;
}

class UsageError extends Error {}

async function parseOptions(): Promise<Options | undefined> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      quick: { type: 'boolean', default: false },
      'install-peer': { type: 'boolean', default: false },
      peer: { type: 'string' },
      ours: { type: 'string' },
      pairs: { type: 'string' },
      seconds: { type: 'string' },
    },
  });
  if (values.help) return undefined;
  const known = figures.flatMap(({ names }) => names);
  const unknown = positionals.filter((name) => !known.includes(name));
  if (unknown.length > 0) throw new UsageError(`no figure ${unknown.join(', ')}: there are ${known.join(', ')}`);
  return {
    json: values.json,
    ours: values.ours === undefined ? sallyportDevice : { command: values.ours.split(' ') },
    peer: values['install-peer'] ? await installPeer() : findPeer(values.peer ?? 'wireguard-go'),
    pairs: positive('--pairs', values.pairs ?? (values.quick ? '1' : '5')),
    seconds: positive('--seconds', values.seconds ?? (values.quick ? '1' : '5')),
    wanted: new Set(positionals.length === 0 ? known : positionals),
  };
}

function findPeer(name: string): string {
  const path = findProgram(name);
  if (path !== undefined) return path;
  throw new UsageError(`${name} not found: run scripts/install-system, or give --install-peer or --peer PROGRAM`);
}

function positive(option: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new UsageError(`${option}: ${text} is not a positive whole number`);
  return value;
}

const tty = process.stderr.isTTY;

function progress(text: string): void {
  process.stderr.write(tty ? `\r\x1b[K${text.slice(0, (process.stderr.columns || 80) - 1)}` : `${text}\n`);
}

/** Runs a figure in a laboratory of its own; gives it up after its time. */
async function measure(figure: Figure, options: Options): Promise<readonly Comparison[]> {
  const laboratory = Laboratory.open();
  const context: BenchContext = {
    laboratory,
    ours: options.ours,
    peer: { command: [options.peer] },
    pairs: options.pairs,
    seconds: options.seconds,
    progress: (text) => progress(`${figure.names[0] ?? ''}: ${text}`),
  };
  const limitMs = figure.timeoutMs(context);
  let late = false;
  const timer = setTimeout(() => {
    late = true;
    void laboratory.close();
  }, limitMs);
  try {
    return await figure.run(context);
  } catch (error) {
    throw late ? new Error(`not done after ${String(limitMs / 1000)} s`, { cause: error }) : error;
  } finally {
    clearTimeout(timer);
    await laboratory.close();
  }
}

async function main(): Promise<void> {
  const options = await parseOptions();
  if (options === undefined) {
    process.stdout.write(usage);
    return;
  }
  const peer = { program: options.peer, version: await peerVersion(options.peer) };
  const machine = { processor: cpus()[0]?.model ?? 'unknown', cores: cpus().length, kernel: release() };
  const comparisons: Comparison[] = [];
  const failures: { figure: string; error: string }[] = [];
  for (const figure of figures.filter(({ names }) => names.some((name) => options.wanted.has(name)))) {
    try {
      comparisons.push(...(await measure(figure, options)));
    } catch (error) {
      if (error instanceof LaboratoryClosed) return;
      failures.push({ figure: figure.names.join(', '), error: error instanceof Error ? error.message : String(error) });
    }
  }
  if (tty) progress('');
  const verdicts = comparisons.filter(({ figure }) => options.wanted.has(figure)).map(judge);
  if (options.json) {
    const { pairs, seconds } = options;
    const ours = { program: options.ours.command.join(' '), version: ourVersion() };
    const report = { ours, peer, machine, node: process.version, pairs, seconds, figures: verdicts, failures };
    process.stdout.write(`${JSON.stringify(report, undefined, 2)}\n`);
  } else {
    process.stdout.write(`ours: sallyport ${ourVersion()} on node ${process.version}\n`);
    process.stdout.write(`wireguard-go: ${peer.version} (${peer.program})\n`);
    process.stdout.write(`machine: ${machine.processor}, ${String(machine.cores)} cores, Linux ${machine.kernel}\n`);
    process.stdout.write(`pairs: ${String(options.pairs)}, taken in turn; median of values and of ratios\n\n`);
    process.stdout.write(`${formatTable(verdicts)}\n`);
    for (const { figure, error } of failures) process.stdout.write(`${figure}: failed: ${error}\n`);
  }
  if (failures.length > 0) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof UsageError) && !(error instanceof TypeError)) throw error;
  process.stderr.write(`${error.message}\n\n${usage}`);
  process.exitCode = 2;
}
