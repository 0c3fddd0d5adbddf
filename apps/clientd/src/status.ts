import { readFileSync } from 'node:fs';
import { TUNNEL_INTERFACE, viewOf, type ClientStatus, type State } from '@sallyport/client';
import { unixNow } from './forward-clock.ts';
import type { NamesMethod } from './names/name-servers.ts';
import type { AccountRecord } from './state-folder.ts';
import type { TunnelCare } from './tunnel/tunnel-care.ts';
import type { Tunnels } from './tunnel/tunnels.ts';

export interface StatusSources {
  readonly state: State;
  /** By the clock of the state. */
  readonly now: number;
  readonly record: AccountRecord | undefined;
  readonly tunnels: Tunnels;
  readonly care: TunnelCare;
  readonly names: { readonly by: NamesMethod; readonly servers: readonly string[] };
  readonly version: string;
}

/** What people are told of the daemon. No secrets. */
export function statusOf({ state, now, record, tunnels, care, names, version }: StatusSources): ClientStatus {
  const view = viewOf(state);
  const wallClock = (at: number): string => new Date(Date.now() + at - now).toISOString();
  const { configuration } = state;
  const standing = configuration === undefined || configuration.device.standing === 'active' ? '' : configuration.device.message; // prettier-ignore
  const hops = view.hops.map(({ attempt, ...hop }, index) => {
    const activity = tunnels.of(attempt)?.hop.activityOf(attempt);
    const exit = index === view.hops.length - 1;
    const handshakeAt = activity?.lastHandshakeUnixMs ?? 0;
    return {
      ...hop,
      postQuantum: activity?.sessionAgreed ?? false,
      lastHandshakeAt: handshakeAt === 0 ? null : new Date(Date.now() + handshakeAt - unixNow()).toISOString(),
      roundTripMs: exit ? view.roundTripMs : (care.entryRoundTripMs ?? null),
    };
  });
  return {
    state: view.state,
    since: wallClock(view.since),
    message: view.message === '' ? standing : view.message,
    retryAt: view.retryAt === null ? null : wallClock(view.retryAt),
    account:
      record === undefined
        ? null
        : {
            url: record.url,
            user: record.userName,
            deviceId: record.deviceId,
            deviceName: configuration?.device.name ?? record.deviceName,
            ipv4: configuration?.device.ipv4 ?? record.ipv4,
            ipv6: configuration?.device.ipv6 ?? record.ipv6,
          },
    target: view.target,
    steps: view.steps,
    hops,
    mtu: view.mtu,
    receivedBytes: counter('rx_bytes'),
    sentBytes: counter('tx_bytes'),
    killSwitch: view.killSwitch,
    dns: { by: names.by, servers: [...names.servers] },
    requirements: view.requirements,
    advertised: configuration?.advertised ?? [],
    version,
  };
}

/** Of the tunnel's interface, by its own view; 0 where there is none. */
function counter(name: 'rx_bytes' | 'tx_bytes'): number {
  try {
    return Number(readFileSync(`/sys/class/net/${TUNNEL_INTERFACE}/statistics/${name}`, 'utf8'));
  } catch {
    return 0;
  }
}
