/** What the machine's networks are like, as the state machine wants to know it; asked after each change. */
import {
  ENTRY_INTERFACE,
  ENTRY_ROUTE_TABLE,
  TUNNEL_INTERFACE,
  TUNNEL_ROUTE_TABLE,
  type NetworkFacts,
} from '@sallyport/client';
import { watchNetwork, type CommandRunner, type Monitor, type NetworkChange } from '@sallyport/io';

const OWN = [TUNNEL_INTERFACE, ENTRY_INTERFACE];
/** Changes come in bursts: one question for all of them. */
const SETTLE_MS = 100;
const RESTART_MS = 1000;
const ETHERNET_MTU = 1500;
const MAX_ON_LINK = 64;

type Fields = Readonly<Record<string, unknown>>;

/** Asks the `ip` program. */
export async function networkFacts(runner: CommandRunner): Promise<NetworkFacts> {
  const [links, four, six] = await Promise.all([
    list(runner, ['link', 'show']),
    list(runner, ['-4', 'route', 'show', 'table', 'main']),
    list(runner, ['-6', 'route', 'show', 'table', 'main']),
  ]);
  return factsOf(links, four, six);
}

/** From what `ip -json` says of links and of the routes in the table `main`, of either family. */
export function factsOf(links: readonly Fields[], four: readonly Fields[], six: readonly Fields[]): NetworkFacts {
  const usable = new Map<string, number>();
  for (const link of links) {
    const { ifname, mtu, flags } = link;
    if (typeof ifname !== 'string' || OWN.includes(ifname) || !Array.isArray(flags)) continue;
    if (!flags.includes('UP') || flags.includes('NO-CARRIER') || flags.includes('LOOPBACK')) continue;
    usable.set(ifname, typeof mtu === 'number' ? mtu : ETHERNET_MTU);
  }
  const defaults = (routes: readonly Fields[]): Fields[] =>
    routes.filter((route) => route['dst'] === 'default' && devicesOf(route).some((device) => usable.has(device)));
  const [default4, default6] = [defaults(four), defaults(six)];
  const onLink = [...four, ...six].filter(
    ({ dst, gateway, via, type }) =>
      typeof dst === 'string' && dst !== 'default' && gateway === undefined && via === undefined && type === undefined,
  );
  const devices = new Set([...default4, ...default6].flatMap(devicesOf).filter((device) => usable.has(device)));
  const mtus = [...devices].map((device) => usable.get(device) ?? ETHERNET_MTU);
  return {
    id: default4.concat(default6).map(nameOf).sort().join(', '),
    ipv4: default4.length > 0,
    ipv6: default6.length > 0,
    onLink: onLink
      .filter((route) => devicesOf(route).some((device) => usable.has(device)))
      .map(({ dst }) => String(dst))
      .filter((prefix) => prefix.includes('/'))
      .sort()
      .slice(0, MAX_ON_LINK),
    devices: [...devices].sort(),
    mtu: mtus.length === 0 ? ETHERNET_MTU : Math.min(...mtus),
  };
}

/** The router and the interface: the neighbour's hardware address would come late, and then look like another network. */
function nameOf(route: Fields): string {
  const { gateway, via } = route;
  const router = gateway ?? (via as Fields | undefined)?.['host'] ?? 'link';
  return `${typeof router === 'string' ? router : 'link'} ${devicesOf(route).join('+')}`;
}

function devicesOf({ dev, nexthops }: Fields): string[] {
  if (typeof dev === 'string') return [dev];
  return Array.isArray(nexthops) ? (nexthops as Fields[]).flatMap((hop) => (typeof hop['dev'] === 'string' ? hop['dev'] : [])) : []; // prettier-ignore
}

async function list(runner: CommandRunner, args: readonly string[]): Promise<Fields[]> {
  try {
    const output = await runner.query('ip', ['-json', ...args]);
    return output.trim() === '' ? [] : (JSON.parse(output) as Fields[]);
  } catch {
    return [];
  }
}

/** Whether a change is about other things than what this daemon makes. */
function concerns({ kind, device, table }: NetworkChange): boolean {
  if (kind === 'rule' || (device !== undefined && OWN.includes(device))) return false;
  return kind !== 'route' || table === 'main';
}

export interface NetworkWatch {
  /** Asks now, and tells in any case. */
  look(): Promise<NetworkFacts>;
  stop(): void;
}

/** Whether something of ours may have been taken away: rules, or routes of our tables. */
function takesOurs({ kind, table, removed }: NetworkChange): boolean {
  if (!removed) return false;
  return (
    kind === 'rule' ||
    (kind === 'route' && (table === String(TUNNEL_ROUTE_TABLE) || table === String(ENTRY_ROUTE_TABLE)))
  );
}

/** Tells the facts whenever they are others than before. `onTaken`: rules or routes of ours may be gone. */
export function watchNetworkFacts(
  runner: CommandRunner,
  onFacts: (facts: NetworkFacts) => void,
  onTaken: () => void,
): NetworkWatch {
  let last = '';
  let timer: NodeJS.Timeout | undefined;
  let monitor: Monitor | undefined;
  let stopped = false;
  const look = async (always: boolean): Promise<NetworkFacts> => {
    const facts = await networkFacts(runner);
    const text = JSON.stringify(facts);
    if (!stopped && (always || text !== last)) {
      last = text;
      onFacts(facts);
    }
    return facts;
  };
  const later = (delayMs: number, work: () => void): void => {
    if (timer !== undefined || stopped) return;
    timer = setTimeout(() => {
      timer = undefined;
      work();
    }, delayMs);
  };
  const start = (): void => {
    monitor = watchNetwork(
      (change) => {
        if (takesOurs(change)) onTaken();
        if (concerns(change)) later(SETTLE_MS, () => void look(false));
      },
      () => {
        // What happened in between is found by looking.
        later(RESTART_MS, () => {
          start();
          void look(false);
        });
      },
    );
  };
  start();
  return {
    look: () => look(true),
    stop: () => {
      stopped = true;
      clearTimeout(timer);
      monitor?.stop();
    },
  };
}
