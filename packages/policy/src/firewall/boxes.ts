/**
 * What a group may reach in one family, as elements of a kernel set whose key is (address, protocol, port): boxes, that
 * is a range in each of the three. The kernel refuses elements that overlap, so grants are cut into boxes that don't.
 */
import { formatAddress } from '../access/ip.ts';
import type { Grant, Protocol } from '../state.ts';
import { unite, type AddressRange, type Family } from './address-ranges.ts';
import { FirewallPlanError } from './plan-error.ts';

/** Protocols and ports as ranges of `protocol << 16 | port`, sorted, neither overlapping nor touching. */
type Services = readonly (readonly [first: number, last: number])[];

/** Addresses that may be reached by the protocol and ports of a grant. */
export interface Claim {
  readonly ranges: readonly AddressRange[];
  readonly grant: Pick<Grant, 'protocol' | 'ports'>;
}

/** The most elements that one group may need in one family. */
export const MAX_GROUP_ELEMENTS = 200_000;
/** Bounds the time that is spent on grants that overlap in very many ways. */
const MAX_STEPS = 20_000_000;

/** What nobody grants, among the services by number. */
const EXCLUDED = -1;

/** IP protocol numbers. */
export const PROTOCOL_NUMBERS: Readonly<Record<Family, Readonly<Record<Exclude<Protocol, 'any'>, number>>>> = {
  4: { tcp: 6, udp: 17, icmp: 1 },
  6: { tcp: 6, udp: 17, icmp: 58 },
};

/**
 * The disjoint boxes that together are exactly what the claims allow, each as the text `ADDRESSES|PROTOCOLS|PORTS`, a
 * range being `FIRST-LAST` or, where it holds one value, that value. `excluded`, sorted and disjoint, is in none. Throws a FirewallPlanError where there are too many.
 */
export function disjointBoxes(
  family: Family,
  claims: readonly Claim[],
  group: string,
  excluded: readonly AddressRange[] = [],
): string[] {
  if (claims.length === 0) return [];
  const services: Services[] = [];
  const ids = new Map<string, number>();
  const rangesById: AddressRange[][] = [];
  for (const { ranges, grant } of claims) {
    const intervals = servicesOf(family, grant);
    const key = intervals.join(';');
    let id = ids.get(key);
    if (id === undefined) {
      id = services.length;
      ids.set(key, id);
      services.push(intervals);
      rangesById.push([]);
    }
    for (const range of ranges) rangesById[id].push(range);
  }

  // Along the address axis, services begin and end; those of one identifier never overlap.
  const events: { at: bigint; id: number; begins: boolean }[] = excluded.flatMap(({ first, last }) => [
    { at: first, id: EXCLUDED, begins: true },
    { at: last + 1n, id: EXCLUDED, begins: false },
  ]);
  rangesById.forEach((ranges, id) => {
    for (const { first, last } of unite(ranges)) {
      events.push({ at: first, id, begins: true }, { at: last + 1n, id, begins: false });
    }
  });
  events.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));

  const boxes: string[] = [];
  const active = new Set<number>();
  let steps = 0;
  let start = 0n;
  let current: readonly string[] = [];
  for (let i = 0; i < events.length;) {
    const { at } = events[i];
    for (; i < events.length && events[i].at === at; i++) {
      if (events[i].begins) active.add(events[i].id);
      else active.delete(events[i].id);
    }
    const granted = active.has(EXCLUDED) ? [] : Array.from(active, (id) => services[id]);
    for (const list of granted) steps += list.length;
    if (steps > MAX_STEPS) throw tooLarge(group);
    const next = rectangles(uniteServices(granted));
    if (next.length === current.length && next.every((part, j) => part === current[j])) continue;
    if (current.length > 0) {
      const addresses = rangeText(formatAddress({ family, value: start }), formatAddress({ family, value: at - 1n }));
      for (const part of current) boxes.push(`${addresses}|${part}`);
      if (boxes.length > MAX_GROUP_ELEMENTS) throw tooLarge(group);
    }
    start = at;
    current = next;
  }
  return boxes;
}

function tooLarge(group: string): FirewallPlanError {
  return new FirewallPlanError(
    'tooLarge',
    `what the group ${JSON.stringify(group)} may reach needs more than ${String(MAX_GROUP_ELEMENTS)} entries in the ` +
      'packet filter: give its rules fewer or larger networks and port ranges',
  );
}

function servicesOf(family: Family, { protocol, ports }: Claim['grant']): Services {
  if (protocol === 'any') return [[0, 0xff_ffff]];
  const base = PROTOCOL_NUMBERS[family][protocol] << 16;
  if (protocol === 'icmp' || ports.length === 0) return [[base, base | 0xffff]];
  return uniteServices([ports.map(({ from, to }) => [base | from, base | to] as const)]);
}

function uniteServices(lists: readonly Services[]): Services {
  if (lists.length === 1 && lists[0].length === 1) return lists[0];
  const sorted = lists.flat().sort((a, b) => a[0] - b[0]);
  const united: [number, number][] = [];
  for (const [first, last] of sorted) {
    const previous = united[united.length - 1];
    if (previous === undefined || first > previous[1] + 1) united.push([first, last]);
    else if (last > previous[1]) previous[1] = last;
  }
  return united;
}

/** The ranges as `PROTOCOLS|PORTS`: one that spans protocols is all ports of some of them, and parts of the outer two. */
function rectangles(services: Services): string[] {
  const parts: string[] = [];
  const add = (fromProtocol: number, toProtocol: number, fromPort: number, toPort: number): void => {
    parts.push(`${rangeText(fromProtocol, toProtocol)}|${rangeText(fromPort, toPort)}`);
  };
  for (const [first, last] of services) {
    let [from, to] = [first >> 16, last >> 16];
    const [fromPort, toPort] = [first & 0xffff, last & 0xffff];
    if (from === to) {
      add(from, to, fromPort, toPort);
      continue;
    }
    if (fromPort > 0) add(from, from++, fromPort, 0xffff);
    const tail = toPort < 0xffff;
    if (tail) to--;
    if (from <= to) add(from, to, 0, 0xffff);
    if (tail) add(to + 1, to + 1, 0, toPort);
  }
  return parts;
}

function rangeText(first: string | number, last: string | number): string {
  return first === last ? String(first) : `${first}-${last}`;
}
