/** The leak test's last question: what leaves when the daemon is killed. It needs root, and ends the connection. */
import { readFileSync } from 'node:fs';
import { createConnection } from 'node:net';
import { ENTRY_INTERFACE, TUNNEL_INTERFACE } from '@sallyport/client';
import { captureOutgoing, peerCredentials } from '@sallyport/io';
import { CommandFailure, EXIT_FAILED } from '../command.ts';
import { ask, socketPath } from './daemon.ts';
import { dnsQuestion, freshName, NOWHERE4, NOWHERE6, sendUdp, tryTcp } from './probes.ts';

const WATCH_MS = 2500;
const PROVOKE_AFTER_MS = 300;
const RETURN_MS = 20_000;
const IPV4 = 0x0800;
const IPV6 = 0x86dd;

export interface KilledDaemon {
  readonly leaked: readonly { readonly what: string; readonly packets: number }[];
  /** Whether something started it again. */
  readonly returned: boolean;
}

/** Kills the daemon (-9), sends what must not leave, and waits for the daemon to come back. */
export async function killDaemon(devices: readonly string[]): Promise<KilledDaemon> {
  const pid = await daemonPid();
  const leaked = new Map<string, number>();
  const watching = captureOutgoing(WATCH_MS, ({ interfaceIndex, etherType, bytes }) => {
    const to = documentationAddress(etherType, bytes);
    // A daemon that is back already has its tunnel again.
    if (to !== undefined && !isOwn(interfaceIndex)) leaked.set(to, (leaked.get(to) ?? 0) + 1);
  });
  process.kill(pid, 'SIGKILL');
  await delay(PROVOKE_AFTER_MS);
  await Promise.all([
    ...NOWHERE4.flatMap((address) => [sendUdp(address, 443, 'leaktest'), tryTcp(address, 443, 500)]),
    ...NOWHERE6.map((address) => sendUdp(address, 443, 'leaktest')),
    sendUdp(NOWHERE4[0], 53, dnsQuestion(freshName())),
    ...devices.map((device) => sendUdp(NOWHERE4[0], 443, 'leaktest', { device })),
  ]);
  await watching;
  return {
    leaked: [...leaked].map(([what, packets]) => ({ what, packets })),
    returned: await comesBack(),
  };
}

/** Who listens at the socket, as the kernel knows. */
function daemonPid(): Promise<number> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(socketPath());
    socket.on('error', reject);
    socket.on('connect', () => {
      const { fd } = (socket as unknown as { _handle?: { fd?: number } })._handle ?? {};
      const peer = fd === undefined ? undefined : peerCredentials(fd);
      socket.destroy();
      if (peer === undefined) reject(new CommandFailure(EXIT_FAILED, 'the daemon’s process can’t be found out'));
      else resolve(peer.pid);
    });
  });
}

function isOwn(interfaceIndex: number): boolean {
  return ['lo', TUNNEL_INTERFACE, ENTRY_INTERFACE].some((name) => {
    try {
      return Number(readFileSync(`/sys/class/net/${name}/ifindex`, 'utf8')) === interfaceIndex;
    } catch {
      return false;
    }
  });
}

async function comesBack(): Promise<boolean> {
  const end = performance.now() + RETURN_MS;
  while (performance.now() < end) {
    try {
      await ask('status', {}, { silenceMs: 3000 });
      return true;
    } catch {
      await delay(500);
    }
  }
  return false;
}

/** The destination of a packet that goes to one of the addresses of {@link NOWHERE4} or {@link NOWHERE6}. */
export function documentationAddress(etherType: number, bytes: Uint8Array): string | undefined {
  if (etherType === IPV4 && bytes.length >= 20) {
    const to = bytes.subarray(16, 20).join('.');
    return (NOWHERE4 as readonly string[]).includes(to) ? to : undefined;
  }
  if (etherType !== IPV6 || bytes.length < 40) return undefined;
  const [a, b, c, d] = bytes.subarray(24, 28);
  return a === 0x20 && b === 0x01 && c === 0x0d && d === 0xb8 ? 'IPv6, 2001:db8::/32' : undefined;
}

function delay(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
