/** Addresses and prefixes as numbers. Text that is none gives undefined. */

export type Family = 4 | 6;

export interface Prefix {
  readonly family: Family;
  /** The first address. */
  readonly first: bigint;
  readonly length: number;
}

export const bitsOf = { 4: 32, 6: 128 } as const;

export function familyOf(address: string): Family {
  return address.includes(':') ? 6 : 4;
}

/** Strict dotted decimal, or RFC 4291 (section 2.2) without a zone. */
export function parseAddress(text: string): { readonly family: Family; readonly value: bigint } | undefined {
  if (text.length > 45) return undefined;
  const value = text.includes(':') ? parse6(text) : parse4(text);
  return value === undefined ? undefined : { family: familyOf(text), value };
}

/** What was read and written last: each event of the state machine comes back to the same few prefixes. */
const MOST_KEPT = 4096;
const read = new Map<string, Prefix | undefined>();
const written = new WeakMap<Prefix, string>();

/** `10.1.0.0/16`; an address alone counts as a prefix of full length; bits behind the length are cleared. */
export function parsePrefix(text: string): Prefix | undefined {
  if (read.has(text)) return read.get(text);
  const prefix = readPrefix(text);
  if (read.size >= MOST_KEPT) read.clear();
  if (text.length <= 64) read.set(text, prefix);
  return prefix;
}

function readPrefix(text: string): Prefix | undefined {
  const [host = '', length, more] = text.split('/');
  const address = parseAddress(host);
  if (address === undefined || more !== undefined) return undefined;
  const bits = bitsOf[address.family];
  if (length !== undefined && !/^(0|[1-9]\d{0,2})$/.test(length)) return undefined;
  const wanted = length === undefined ? bits : Number(length);
  if (wanted > bits) return undefined;
  const free = BigInt(bits - wanted);
  return { family: address.family, first: (address.value >> free) << free, length: wanted };
}

/** Whether all of `inner` lies in `outer`. */
export function contains(outer: Prefix, inner: Prefix): boolean {
  if (outer.family !== inner.family || outer.length > inner.length) return false;
  const free = BigInt(bitsOf[outer.family] - outer.length);
  return outer.first >> free === inner.first >> free;
}

/** The prefixes without those that lie in another one of them, in order. */
export function withoutCovered(prefixes: readonly Prefix[]): Prefix[] {
  const sorted = [...prefixes].sort((a, b) => (a.first < b.first ? -1 : a.first > b.first ? 1 : a.length - b.length));
  const kept: Prefix[] = [];
  for (const prefix of sorted) {
    const last = kept.at(-1);
    if (last === undefined || !contains(last, prefix)) kept.push(prefix);
  }
  return kept;
}

/** The canonical text: the length is always there, IPv6 without `::`-shortening, which every program understands. */
export function formatPrefix(prefix: Prefix): string {
  const known = written.get(prefix);
  if (known !== undefined) return known;
  const { family, first, length } = prefix;
  const text = `${formatAddress(family, first)}/${String(length)}`;
  written.set(prefix, text);
  return text;
}

export function formatAddress(family: Family, value: bigint): string {
  const part = family === 4 ? 8n : 16n;
  const parts = family === 4 ? 4 : 8;
  const mask = (1n << part) - 1n;
  const texts = Array.from({ length: parts }, (_, index) =>
    ((value >> (part * BigInt(parts - 1 - index))) & mask).toString(family === 4 ? 10 : 16),
  );
  return texts.join(family === 4 ? '.' : ':');
}

function parse4(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4) return undefined;
  let value = 0n;
  for (const part of parts) {
    if (!/^(0|[1-9]\d{0,2})$/.test(part) || Number(part) > 255) return undefined;
    value = (value << 8n) | BigInt(part);
  }
  return value;
}

function parse6(text: string): bigint | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const groups = halves.map((half) => (half === '' ? [] : half.split(':')));
  const last = groups.at(-1);
  const tail = last?.at(-1);
  if (last !== undefined && tail?.includes('.')) {
    const embedded = parse4(tail);
    if (embedded === undefined) return undefined;
    last.splice(-1, 1, (embedded >> 16n).toString(16), (embedded & 0xffffn).toString(16));
  }
  const [front = [], back] = groups;
  const given = front.length + (back?.length ?? 0);
  if (back === undefined ? given !== 8 : given > 7) return undefined;
  let value = 0n;
  for (const group of [...front, ...Array.from({ length: 8 - given }, () => '0'), ...(back ?? [])]) {
    if (!/^[0-9a-f]{1,4}$/i.test(group)) return undefined;
    value = (value << 16n) | BigInt(`0x${group}`);
  }
  return value;
}
