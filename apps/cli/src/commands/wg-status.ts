import { getDevice, listDevices, UapiClientError } from '@sallyport/runtime';
import { decodeDeviceState, encodeBase64Key, formatEndpoint, formatIpPrefix } from '@sallyport/wireguard';
import type { DeviceState, PeerState } from '@sallyport/wireguard';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_FAILED, EXIT_USAGE, requireRoot, tell } from '../command.ts';
import { publicKeyOf } from '../keys.ts';
import { isInterfaceName } from '../wg-quick/locate.ts';

export const wgStatus: Command = {
  name: 'wg status',
  usage: '[--json] [NAME]',
  summary: 'show the tunnels, their peers, handshakes and traffic',
  help: `Shows one device, or all that have a socket in /var/run/wireguard. Private and preshared keys are never shown.

Options:
  --json  print one JSON object: { "interfaces": [{ "name", "publicKey", "listenPort", "fwmark", "peers": [...] }] }

Examples:
  sallyport wg status
  sallyport wg status wg0 --json`,
  options: ['json'],
  arguments: [0, 1],
  async run([name], options) {
    if (name !== undefined && !isInterfaceName(name)) {
      throw new CommandFailure(EXIT_USAGE, `"${name}" can't be an interface's name`);
    }
    requireRoot('wg status');
    const interfaces: InterfaceStatus[] = [];
    for (const device of name === undefined ? listDevices() : [name]) {
      try {
        const answer = decodeDeviceState(await getDevice(device));
        if (answer.ok) interfaces.push(statusOf(device, answer.state));
        else if (name !== undefined) throw new CommandFailure(EXIT_FAILED, `${device}: ${answer.reason}`);
        else tell(`${device}: ${answer.reason}`);
      } catch (error) {
        if (!(error instanceof UapiClientError)) throw error;
        if (name !== undefined) throw new CommandFailure(EXIT_FAILED, error.message, { cause: error });
        // One that has just ended, or was killed, may have left its socket.
        if (error.code !== 'noDevice') tell(error.message);
      }
    }
    const text = options.has('json')
      ? JSON.stringify({ interfaces }, null, 2)
      : interfaces.map((status) => describe(status, Date.now() / 1000)).join('\n\n');
    if (text !== '') process.stdout.write(`${text}\n`);
    return 0;
  },
};

/** The facts that `--json` prints. */
interface InterfaceStatus {
  readonly name: string;
  readonly publicKey: string | null;
  readonly listenPort: number | null;
  readonly fwmark: number | null;
  readonly peers: readonly PeerStatus[];
}

interface PeerStatus {
  readonly publicKey: string;
  readonly hasPresharedKey: boolean;
  readonly endpoint: string | null;
  readonly allowedIps: readonly string[];
  /** ISO 8601, or null where there was none yet. */
  readonly latestHandshake: string | null;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Seconds, or null where it is off. */
  readonly persistentKeepalive: number | null;
}

function statusOf(name: string, state: DeviceState): InterfaceStatus {
  return {
    name,
    publicKey: state.privateKey === undefined ? null : encodeBase64Key(publicKeyOf(state.privateKey)),
    listenPort: state.listenPort || null,
    fwmark: state.fwmark || null,
    peers: Array.from(state.peers, peerStatusOf),
  };
}

function peerStatusOf(peer: PeerState): PeerStatus {
  const handshake = peer.lastHandshakeSeconds * 1000 + Math.floor(peer.lastHandshakeNanoseconds / 1e6);
  return {
    publicKey: encodeBase64Key(peer.publicKey),
    hasPresharedKey: peer.presharedKey !== undefined,
    endpoint: peer.endpoint === undefined ? null : formatEndpoint(peer.endpoint),
    allowedIps: Array.from(peer.allowedIps, formatIpPrefix),
    latestHandshake: handshake === 0 ? null : new Date(handshake).toISOString(),
    rxBytes: peer.rxBytes,
    txBytes: peer.txBytes,
    persistentKeepalive: peer.persistentKeepalive || null,
  };
}

function describe(status: InterfaceStatus, now: number): string {
  const lines = [`interface: ${status.name}`];
  if (status.publicKey !== null) lines.push(`  public key: ${status.publicKey}`);
  if (status.listenPort !== null) lines.push(`  listening port: ${String(status.listenPort)}`);
  if (status.fwmark !== null) lines.push(`  fwmark: 0x${status.fwmark.toString(16)}`);
  for (const peer of status.peers) {
    lines.push('', `peer: ${peer.publicKey}`);
    if (peer.hasPresharedKey) lines.push('  preshared key: (hidden)');
    if (peer.endpoint !== null) lines.push(`  endpoint: ${peer.endpoint}`);
    lines.push(`  allowed ips: ${peer.allowedIps.join(', ') || '(none)'}`);
    if (peer.latestHandshake !== null)
      lines.push(`  latest handshake: ${ago(now - Date.parse(peer.latestHandshake) / 1000)}`);
    if (peer.rxBytes > 0 || peer.txBytes > 0) {
      lines.push(`  transfer: ${bytes(peer.rxBytes)} received, ${bytes(peer.txBytes)} sent`);
    }
    if (peer.persistentKeepalive !== null)
      lines.push(`  persistent keepalive: every ${String(peer.persistentKeepalive)} seconds`);
  }
  return lines.join('\n');
}

function ago(seconds: number): string {
  if (seconds < 1) return 'now';
  const units = [
    ['day', 86_400],
    ['hour', 3600],
    ['minute', 60],
    ['second', 1],
  ] as const;
  let rest = Math.floor(seconds);
  const parts: string[] = [];
  for (const [unit, length] of units) {
    const count = Math.floor(rest / length);
    rest %= length;
    if (count > 0) parts.push(`${String(count)} ${unit}${count === 1 ? '' : 's'}`);
  }
  return `${parts.slice(0, 2).join(', ')} ago`;
}

function bytes(count: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let value = count;
  let unit = 0;
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 ? String(value) : value.toFixed(2)} ${units[unit] ?? ''}`;
}
