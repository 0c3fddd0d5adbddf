import { watchLines, type Monitor } from './line-monitor.ts';

/** Something about the machine's links, addresses, routes or rules is another now. What, is then asked. */
export interface NetworkChange {
  readonly kind: 'link' | 'address' | 'route' | 'rule';
  /** Undefined where the line names none. */
  readonly device: string | undefined;
  /** The routing table; `main` where a route's line names none. Undefined for links, addresses and rules. */
  readonly table: string | undefined;
  readonly removed: boolean;
}

/**
 * Tells of every change, one's own included, until {@link Monitor.stop}. `onEnd` is called where the program
 * behind it ends by itself.
 */
export function watchNetwork(onChange: (change: NetworkChange) => void, onEnd: () => void): Monitor {
  return watchLines(
    ['ip', '-o', 'monitor', 'label', 'link', 'address', 'route', 'rule'],
    (line) => {
      const change = parseNetworkChange(line);
      if (change !== undefined) onChange(change);
    },
    onEnd,
  );
}

const KINDS = { LINK: 'link', ADDR: 'address', ROUTE: 'route', RULE: 'rule' } as const;

/** One line of `ip -o monitor label`: `[ROUTE]Deleted default via 192.0.2.1 dev eth0`. Undefined for others. */
export function parseNetworkChange(line: string): NetworkChange | undefined {
  const [, label = '', deleted, rest = ''] = /^\[(LINK|ADDR|ROUTE|RULE)\](Deleted )?(.*)$/.exec(line) ?? [];
  const kind = KINDS[label as keyof typeof KINDS] as NetworkChange['kind'] | undefined;
  if (kind === undefined) return undefined;
  // A link's and an address's line begin with "2: eth0: " or "2: eth0    inet"; a veth's name goes on with "@if3".
  const device =
    kind === 'link' || kind === 'address'
      ? /^\d+: ([^\s:@]+)/.exec(rest)?.[1]
      : kind === 'route'
        ? / dev (\S+)/.exec(rest)?.[1]
        : undefined;
  const table = kind === 'route' ? (/ table (\S+)/.exec(rest)?.[1] ?? 'main') : undefined;
  return { kind, device, table, removed: deleted !== undefined };
}
