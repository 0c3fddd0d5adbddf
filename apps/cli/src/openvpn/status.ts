import { readFileSync } from 'node:fs';
import { formatBytes, formatSpan } from '../client/format.ts';
import { CommandFailure, EXIT_FAILED, requireRoot, type Command } from '../command.ts';
import { interfaceNameOf } from './load.ts';
import { plainWords } from './interaction.ts';
import { isRunning, readTunnelRecord, tunnelNames, type TunnelRecord } from './record.ts';
import { tunnelLogOf } from './tunnel-log.ts';

/** `killed`: its process is gone, and what it has set is still there. */
type State = 'connected' | 'connecting' | 'killed';

/** What `--json` prints of a tunnel. */
export interface TunnelStatus {
  readonly name: string;
  readonly state: State;
  /** RFC 3339; null unless it is connected, as the next five are. */
  readonly since: string | null;
  readonly server: string | null;
  readonly transport: 'udp' | 'tcp' | null;
  readonly cipher: string | null;
  readonly ipv4: string | null;
  readonly ipv6: string | null;
  /** Since its interface is there. */
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly profile: string;
  /** A file, or null where it stays in the foreground. */
  readonly log: string | null;
}

export const openvpnStatus: Command = {
  name: 'openvpn status',
  usage: '[--json] [FILE.ovpn | NAME]',
  summary: 'show the tunnels of OpenVPN profiles',
  help: `Shows each tunnel that "sallyport openvpn up" has brought up, or the one that is named: whether it is connected and
since when, the server, addresses, traffic, and where its log is. Ends with 1 where the one that is named is not
connected.

Options:
  --json  print JSON: {"items":[{"name":…,"state":"connected"|"connecting"|"killed",…}]}

Examples:
  sallyport openvpn status
  sallyport openvpn status office
  sallyport openvpn status --json | jq -r '.items[] | .name + " " + .state'`,
  options: ['json'],
  arguments: [0, 1],
  run([argument], options) {
    const name = argument === undefined ? undefined : interfaceNameOf(argument);
    requireRoot(`openvpn status${argument === undefined ? '' : ` ${argument}`}`);
    const tunnels = (name === undefined ? tunnelNames() : [name]).flatMap((each) => {
      const record = readTunnelRecord(each);
      return record === undefined ? [] : [statusOf(each, record)];
    });
    if (name !== undefined && tunnels.length === 0) throw new CommandFailure(EXIT_FAILED, `${name} is not up`);
    const text = options.has('json')
      ? JSON.stringify({ items: tunnels }, undefined, 2)
      : tunnels.map((tunnel) => textOf(tunnel, Date.now())).join('\n\n') || 'no tunnel of an OpenVPN profile is up';
    process.stdout.write(`${text}\n`);
    return Promise.resolve(name !== undefined && tunnels[0].state !== 'connected' ? EXIT_FAILED : 0);
  },
};

function statusOf(name: string, record: TunnelRecord): TunnelStatus {
  const running = isRunning(record);
  const up = running ? record.up : undefined;
  return {
    name,
    state: up !== undefined ? 'connected' : running ? 'connecting' : 'killed',
    since: up === undefined ? null : new Date(up.since).toISOString(),
    server: up?.server ?? null,
    transport: up?.transport ?? null,
    cipher: up?.cipher ?? null,
    ipv4: up?.ipv4 ?? null,
    ipv6: up?.ipv6 ?? null,
    receivedBytes: counterOf(name, 'rx_bytes'),
    sentBytes: counterOf(name, 'tx_bytes'),
    profile: record.profile,
    log: tunnelLogOf(name) ?? null,
  };
}

function counterOf(name: string, counter: string): number {
  try {
    return Number(readFileSync(`/sys/class/net/${name}/statistics/${counter}`, 'utf8'));
  } catch {
    // Its interface is gone, or not there yet.
    return 0;
  }
}

function textOf(tunnel: TunnelStatus, now: number): string {
  const { name, state, since, server, transport, cipher, ipv4, ipv6, receivedBytes, sentBytes, profile, log } = tunnel;
  const states: Readonly<Record<State, string>> = {
    connected: `connected for ${formatSpan(now - Date.parse(since ?? ''))}`,
    connecting: 'connecting',
    killed: `its process was killed; run: sallyport openvpn down ${name}`,
  };
  const lines: [string, string | null][] = [
    ['server', server && `${server}, ${(transport ?? '').toUpperCase()}, ${cipher ?? ''}`],
    ['addresses', [ipv4, ipv6].filter((address) => address !== null).join(', ') || null],
    ['traffic', `${formatBytes(receivedBytes)} received, ${formatBytes(sentBytes)} sent`],
    ['profile', profile],
    ['log', log],
  ];
  const shown = lines.flatMap(([label, value]) => (value === null ? [] : `  ${label.padEnd(10)} ${plainWords(value)}`));
  return [`${name}: ${states[state]}`, ...shown].join('\n');
}
