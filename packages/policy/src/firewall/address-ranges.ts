/** Sets of addresses of one family as sorted lists of ranges that neither overlap nor touch. */
import { bitsOf, parsePrefix, type IpPrefix } from '../access/ip.ts';

export type Family = 4 | 6;

export interface AddressRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** The ranges that unite all of `ranges`. */
export function unite(ranges: readonly AddressRange[]): AddressRange[] {
  const sorted = [...ranges].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : 0));
  const united: { first: bigint; last: bigint }[] = [];
  for (const { first, last } of sorted) {
    const previous = united[united.length - 1];
    if (previous === undefined || first > previous.last + 1n) united.push({ first, last });
    else if (last > previous.last) previous.last = last;
  }
  return united;
}

/** What of `range` is in none of `excluded`, which {@link unite} made. */
export function subtract(range: AddressRange, excluded: readonly AddressRange[]): AddressRange[] {
  const left: AddressRange[] = [];
  let first = range.first;
  for (const hole of excluded) {
    if (hole.last < first) continue;
    if (hole.first > range.last) break;
    if (hole.first > first) left.push({ first, last: hole.first - 1n });
    first = hole.last + 1n;
  }
  if (first <= range.last) left.push({ first, last: range.last });
  return left;
}

export function rangeOf({ family, value, length }: IpPrefix): AddressRange {
  return { first: value, last: value | ((1n << BigInt(bitsOf(family) - length)) - 1n) };
}

/** The ranges of those prefixes (or addresses) that are of the family. */
export function rangesOf(family: Family, prefixes: readonly string[]): AddressRange[] {
  return prefixes.flatMap((text) => {
    const prefix = parsePrefix(text);
    return prefix?.family === family ? [rangeOf(prefix)] : [];
  });
}
