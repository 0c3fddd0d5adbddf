/** An IP address family, by its version number. */
export type IpFamily = 4 | 6;

/** An address in network order: 4 bytes for IPv4, 16 for IPv6. */
export interface IpAddress {
  readonly family: IpFamily;
  readonly address: Uint8Array;
}

/** An address and how many of its leading bits count. */
export interface IpPrefix extends IpAddress {
  readonly prefixLength: number;
}

const DOT = 46;
const ZERO = 48;
const NINE = 57;
const COLON = 58;

/** The bits of an address of this family. */
export function addressBits(family: IpFamily): number {
  return family === 4 ? 32 : 128;
}

/** Parses an address of either family as RFC 4291 section 2.2 and dotted decimal write it; a zone is not taken. */
export function parseIpAddress(text: string): IpAddress | undefined {
  if (text.includes(':')) {
    const address = parseIpv6(text);
    return address && { family: 6, address };
  }
  const address = parseIpv4(text);
  return address && { family: 4, address };
}

/** Parses four decimal numbers without leading zeros. */
export function parseIpv4(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(4);
  return readIpv4(text, 0, bytes, 0) ? bytes : undefined;
}

/** Parses an IPv6 address, the last four bytes in dotted decimal or not. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const end = text.length;
  if (end < 2 || end > 45) return undefined;
  const bytes = new Uint8Array(16);
  let filled = 0;
  let gap = -1;
  let i = 0;
  if (text.charCodeAt(0) === COLON) {
    if (text.charCodeAt(1) !== COLON) return undefined;
    gap = 0;
    i = 2;
  }
  while (i < end) {
    if (filled === 16) return undefined;
    let value = 0;
    let digits = 0;
    const start = i;
    for (; i < end; i++) {
      const digit = hexDigit(text.charCodeAt(i));
      if (digit < 0) break;
      if (++digits > 4) return undefined;
      value = (value << 4) | digit;
    }
    if (digits === 0) return undefined;
    if (i < end && text.charCodeAt(i) === DOT) {
      if (filled > 12 || !readIpv4(text, start, bytes, filled)) return undefined;
      filled += 4;
      break;
    }
    bytes[filled++] = value >> 8;
    bytes[filled++] = value & 255;
    if (i === end) break;
    if (text.charCodeAt(i++) !== COLON || i === end) return undefined;
    if (text.charCodeAt(i) === COLON) {
      if (gap >= 0) return undefined;
      gap = filled;
      i++;
    }
  }
  if (gap < 0) return filled === 16 ? bytes : undefined;
  if (filled === 16) return undefined;
  bytes.copyWithin(16 - (filled - gap), gap, filled);
  bytes.fill(0, gap, 16 - (filled - gap));
  return bytes;
}

/** Parses `ADDRESS/LENGTH`; bits behind the length are kept as they are. */
export function parseIpPrefix(text: string): IpPrefix | undefined {
  const slash = text.indexOf('/');
  if (slash < 0) return undefined;
  const ip = parseIpAddress(text.slice(0, slash));
  const prefixLength = parseDecimal(text.slice(slash + 1), 128);
  if (ip === undefined || prefixLength === undefined || prefixLength > addressBits(ip.family)) return undefined;
  return { family: ip.family, address: ip.address, prefixLength };
}

/** Clears the bits behind `prefixLength`, in place. */
export function maskAddress(address: Uint8Array, prefixLength: number): void {
  for (let i = 0, bits = prefixLength; i < address.length; i++, bits -= 8) {
    if (bits <= 0) address[i] = 0;
    else if (bits < 8) address[i] = (address[i] ?? 0) & (0xff00 >> bits);
  }
}

/** Formats 4 bytes in dotted decimal, 16 as RFC 5952 recommends. */
export function formatIpAddress(address: Uint8Array): string {
  if (address.length === 4) return address.join('.');
  if (isIpv4Mapped(address)) return `::ffff:${address.subarray(12).join('.')}`;
  const groups: number[] = [];
  for (let i = 0; i < 16; i += 2) groups.push(((address[i] ?? 0) << 8) | (address[i + 1] ?? 0));
  let gap = -1;
  let gapLength = 1; // one zero group alone is not compressed
  for (let i = 0; i < 8; i++) {
    let j = i;
    while (j < 8 && groups[j] === 0) j++;
    if (j - i > gapLength) {
      gap = i;
      gapLength = j - i;
    }
    if (j > i) i = j;
  }
  const hex = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return gap < 0 ? hex(0, 8) : `${hex(0, gap)}::${hex(gap + gapLength, 8)}`;
}

/** Formats `ADDRESS/LENGTH`. */
export function formatIpPrefix(prefix: IpPrefix): string {
  return `${formatIpAddress(prefix.address)}/${String(prefix.prefixLength)}`;
}

/** Parses a decimal number up to `max`, without sign or leading zeros. */
export function parseDecimal(text: string, max: number): number | undefined {
  const { length } = text;
  if (length === 0 || length > 10 || (length > 1 && text.charCodeAt(0) === ZERO)) return undefined;
  let value = 0;
  for (let i = 0; i < length; i++) {
    const c = text.charCodeAt(i);
    if (c < ZERO || c > NINE) return undefined;
    value = value * 10 + (c - ZERO);
  }
  return value <= max ? value : undefined;
}

function isIpv4Mapped(address: Uint8Array): boolean {
  for (let i = 0; i < 10; i++) if (address[i] !== 0) return false;
  return address[10] === 255 && address[11] === 255;
}

/** Reads dotted decimal from `from` to the end of the text into `to[at..at + 4]`. */
function readIpv4(text: string, from: number, to: Uint8Array, at: number): boolean {
  let i = from;
  for (let part = 0; part < 4; part++) {
    if (part > 0 && text.charCodeAt(i++) !== DOT) return false;
    const start = i;
    let value = 0;
    for (; i < text.length && i - start < 3; i++) {
      const c = text.charCodeAt(i);
      if (c < ZERO || c > NINE) break;
      value = value * 10 + (c - ZERO);
    }
    if (i === start || value > 255 || (i - start > 1 && text.charCodeAt(start) === ZERO)) return false;
    to[at + part] = value;
  }
  return i === text.length;
}

function hexDigit(c: number): number {
  if (c >= ZERO && c <= NINE) return c - ZERO;
  const lower = c | 32;
  return lower >= 97 && lower <= 102 ? lower - 87 : -1;
}
