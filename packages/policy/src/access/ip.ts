/** Addresses and prefixes as text and as numbers. Text that is written is canonical (RFC 5952 for IPv6). */

export interface IpAddress {
  readonly family: 4 | 6;
  readonly value: bigint;
}

export interface IpPrefix extends IpAddress {
  /** The first address of the prefix is {@link IpAddress.value}. */
  readonly length: number;
}

/** Reads an address; undefined where it is none. No zone, no brackets, no leading zeros in IPv4. */
export function parseAddress(text: string): IpAddress | undefined {
  if (!text.includes(':')) {
    const value = parseIpv4(text);
    return value === undefined ? undefined : { family: 4, value };
  }
  const value = parseIpv6(text);
  return value === undefined ? undefined : { family: 6, value };
}

/** Reads a prefix, or an address as the prefix that holds only it. Host bits that are set are cleared. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const slash = text.indexOf('/');
  const address = parseAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const bits = bitsOf(address.family);
  if (slash >= 0 && !/^(0|[1-9]\d{0,2})$/.test(text.slice(slash + 1))) return undefined;
  const length = slash < 0 ? bits : Number(text.slice(slash + 1));
  if (length > bits) return undefined;
  const hostBits = BigInt(bits - length);
  return { family: address.family, value: (address.value >> hostBits) << hostBits, length };
}

/** Whether the text of a prefix has bits set beyond its length. */
export function hasHostBits(text: string): boolean {
  const prefix = parsePrefix(text);
  const address = parseAddress(text.split('/', 1)[0]);
  return prefix !== undefined && address !== undefined && prefix.value !== address.value;
}

export function formatAddress(address: IpAddress): string {
  if (address.family === 4) {
    return [24n, 16n, 8n, 0n].map((shift) => String((address.value >> shift) & 255n)).join('.');
  }
  const words = Array.from({ length: 8 }, (_, i) => Number((address.value >> BigInt(112 - 16 * i)) & 0xffffn));
  if (isMapped(address)) {
    return `::ffff:${formatAddress({ family: 4, value: address.value & 0xffff_ffffn })}`;
  }
  // The longest run of two zero words or more is left out, the first of equals (RFC 5952, section 4.2).
  let start = -1;
  let longest = 1;
  for (let i = 0; i < 8; i++) {
    let end = i;
    while (end < 8 && words[end] === 0) end++;
    if (end - i > longest) {
      start = i;
      longest = end - i;
    }
    if (end > i) i = end;
  }
  const hex = (part: readonly number[]): string => part.map((word) => word.toString(16)).join(':');
  return start < 0 ? hex(words) : `${hex(words.slice(0, start))}::${hex(words.slice(start + longest))}`;
}

/** Whether it is an IPv4 address written as an IPv6 one (`::ffff:192.0.2.1`), which stands in programs and in no packet. */
export function isMapped(address: IpAddress): boolean {
  return address.family === 6 && address.value >> 32n === 0xffffn;
}

export function formatPrefix(prefix: IpPrefix): string {
  return `${formatAddress(prefix)}/${String(prefix.length)}`;
}

export function prefixContains(prefix: IpPrefix, other: IpAddress | IpPrefix): boolean {
  if (prefix.family !== other.family) return false;
  if ('length' in other && other.length < prefix.length) return false;
  const shift = BigInt(bitsOf(prefix.family) - prefix.length);
  return prefix.value >> shift === other.value >> shift;
}

export function bitsOf(family: 4 | 6): 32 | 128 {
  return family === 4 ? 32 : 128;
}

function parseIpv4(text: string): bigint | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255)) {
    return undefined;
  }
  return parts.reduce((value, part) => (value << 8n) | BigInt(part), 0n);
}

function parseIpv6(text: string): bigint | undefined {
  if (text.length > 45) return undefined;
  let hexText = text;
  const dot = text.lastIndexOf(':') + 1;
  if (text.includes('.')) {
    const tail = parseIpv4(text.slice(dot));
    if (tail === undefined) return undefined;
    hexText = `${text.slice(0, dot)}${(tail >> 16n).toString(16)}:${(tail & 0xffffn).toString(16)}`;
  }
  const halves = hexText.split('::');
  if (halves.length > 2) return undefined;
  const words = halves.map((half) => (half === '' ? [] : half.split(':')));
  const head = words[0];
  const tail = words[1] ?? [];
  const missing = 8 - head.length - tail.length;
  if (halves.length === 2 ? missing < 1 : missing !== 0) return undefined;
  const all = [...head, ...Array.from({ length: missing }, () => '0'), ...tail];
  if (!all.every((word) => /^[0-9a-f]{1,4}$/i.test(word))) return undefined;
  return all.reduce((value, word) => (value << 16n) | BigInt(`0x${word}`), 0n);
}
