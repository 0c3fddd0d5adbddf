/** What people see of a state; the daemon adds addresses, counters and the calendar's time. */
import { CONNECT_STEPS, type ClientState, type ClientStatus } from '../daemon-protocol.ts';
import type { Transport } from '../settings.ts';
import { killSwitchOf } from './desired.ts';
import type { Hop, State } from './state.ts';

export interface HopView {
  readonly attempt: number;
  readonly gatewayId: string;
  readonly name: string;
  readonly regionName: string;
  readonly country: string | null;
  readonly city: string | null;
  /** Address and port, an IPv6 address in brackets. */
  readonly endpoint: string;
  readonly transport: Transport;
}

export interface View {
  readonly state: ClientState;
  /** By the clock of `now`. */
  readonly since: number;
  readonly message: string;
  readonly retryAt: number | null;
  readonly target: string | null;
  readonly steps: ClientStatus['steps'];
  /** In use, or else tried: the entry first. */
  readonly hops: readonly HopView[];
  readonly roundTripMs: number | null;
  readonly mtu: number | null;
  readonly killSwitch: ClientStatus['killSwitch'];
  readonly requirements: ClientStatus['requirements'];
}

const transportNames = { wireguard: 'WireGuard', amneziawg: 'AmneziaWG', tls: 'TLS' } as const;

export function viewOf(state: State): View {
  const { session, search, block, intent, configuration, settings, desired } = state;
  const use = session ?? search;
  const hops = use === undefined ? [] : [use.entry, use.exit].filter((hop) => hop !== undefined).map(hopView);
  const requirements = configuration?.requirements;
  return {
    state: state.phase,
    since: state.since,
    message: messageOf(state),
    retryAt: block?.retryAt ?? null,
    target: intent?.target ?? null,
    steps: intent === undefined ? [] : stepsOf(state),
    hops,
    roundTripMs: session?.roundTripMs ?? null,
    mtu: desired.routes?.routes.find(({ mtu }) => mtu !== undefined)?.mtu ?? null,
    killSwitch: settings.lockdown ? 'lockdown' : killSwitchOf(state) ? 'on' : 'off',
    requirements: {
      killSwitch: requirements?.killSwitch ?? false,
      regions: requirements?.regionIds ?? [],
      gateways: requirements?.gatewayIds ?? [],
    },
  };
}

/** Why there is no tunnel, and that the control plane knows this machine no more; both where both are to be said. */
function messageOf({ block, refusal }: State): string {
  const messages = [block?.message ?? '', refusal ?? ''].filter((text) => text !== '');
  return [...new Set(messages)].join('. ');
}

function hopView({ attempt, path, gateway }: Hop): HopView {
  const { name, regionName, country, city } = gateway;
  const address = path.address.includes(':') ? `[${path.address}]` : path.address;
  const endpoint = `${address}:${String(path.port)}`;
  return { attempt, gatewayId: gateway.id, name, regionName, country, city, endpoint, transport: path.transport };
}

function stepsOf(state: State): ClientStatus['steps'] {
  const { steps, block, session, search } = state;
  const use = session ?? search;
  const way = use === undefined ? '' : [use.entry, use.exit].filter((hop) => hop !== undefined).map(({ gateway }) => gateway.name).join(' → '); // prettier-ignore
  const front = (use?.entry ?? use?.exit)?.path.transport;
  const details: Partial<Record<(typeof CONNECT_STEPS)[number], string>> = {
    gateway: way,
    tunnel: front === undefined ? '' : `${way}, ${transportNames[front]}`,
  };
  return CONNECT_STEPS.flatMap((name) => {
    const { startedAt, doneAt } = steps[name];
    if (startedAt === undefined) return [];
    const standing = doneAt !== undefined ? 'done' : block !== undefined ? 'failed' : 'running';
    const milliseconds = doneAt === undefined ? null : doneAt - startedAt;
    const detail = standing === 'failed' ? (block?.message ?? '') : (details[name] ?? '');
    return [{ name, state: standing, detail, milliseconds }];
  });
}
