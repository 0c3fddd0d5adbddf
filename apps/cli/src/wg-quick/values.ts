import {
  addressBits,
  formatIpAddress,
  formatIpPrefix,
  maskAddress,
  parseDecimal,
  parseIpAddress,
} from '@sallyport/wireguard';
import type { IpPrefix } from '@sallyport/wireguard';

/**
 * The values of a configuration file. What can't be read is answered by a text that says why and what to write; it
 * follows the key's name.
 */

/** Shows a value in a message: short, printable, and never a key that went to the wrong line. */
export function shown(value: string): string {
  if (/[A-Za-z0-9+/]{16,}/.test(value)) return '(a long value, not shown)';
  const short = value.length > 64 ? `${value.slice(0, 60)}...` : value;
  return `"${short.replace(/[^\x20-\x7e]/g, '?')}"`;
}

/** A number from `min` to `max`, decimal or, where `hex` allows it, with 0x. */
export function parseNumber(value: string, min: number, max: number, hex = false): number | undefined {
  const number =
    hex && /^0x[0-9a-f]{1,8}$/i.test(value) ? Number.parseInt(value.slice(2), 16) : parseDecimal(value, max);
  return number === undefined || number < min ? undefined : number;
}

/** An address of the interface: its own, so the bits behind the prefix stay. */
export function parseAddress(entry: string): IpPrefix | string {
  return parsePrefix(entry, '10.0.0.1/24 or fd00::1/64');
}

/** A prefix that belongs to a peer; bits behind its length are cleared, as WireGuard does. */
export function parseAllowedIp(entry: string): IpPrefix | string {
  if (entry === '') return 'an empty entry; remove the comma, or write the address that is missing';
  if (/\s/.test(entry)) return `${shown(entry)} has a space in it; put a comma between the entries`;
  const prefix = parsePrefix(entry, '10.0.0.0/24 or fd00::/64');
  if (typeof prefix !== 'string') maskAddress(prefix.address, prefix.prefixLength);
  return prefix;
}

function parsePrefix(entry: string, example: string): IpPrefix | string {
  const slash = entry.indexOf('/');
  const ip = parseIpAddress(slash < 0 ? entry : entry.slice(0, slash));
  if (ip === undefined) return `${shown(entry)} is not an IP address; write one like ${example}`;
  const bits = addressBits(ip.family);
  const prefixLength = slash < 0 ? bits : parseDecimal(entry.slice(slash + 1), 0xffff);
  if (prefixLength === undefined) {
    return `${shown(entry)} has no number behind the slash; write a prefix length from 0 to ${String(bits)}`;
  }
  if (prefixLength > bits) {
    const longest = formatIpPrefix({ ...ip, prefixLength: bits });
    return `${shown(entry)} has a prefix longer than ${String(bits)}; write ${longest} or shorter`;
  }
  return { family: ip.family, address: ip.address, prefixLength };
}

export type DnsEntry = { readonly kind: 'server' | 'search' | 'fault'; readonly text: string };

/** A DNS server's address, or else a search domain. */
export function parseDnsEntry(entry: string): DnsEntry {
  const percent = entry.indexOf('%');
  const ip = parseIpAddress(percent < 0 ? entry : entry.slice(0, percent));
  if (ip !== undefined) {
    const zone = percent < 0 ? '' : entry.slice(percent);
    if (zone === '' || /^%[a-zA-Z0-9_=+.-]{1,15}$/.test(zone)) {
      return { kind: 'server', text: formatIpAddress(ip.address) + zone };
    }
  } else if (!/^[0-9.]+$/.test(entry) && isHostName(entry)) return { kind: 'search', text: entry };
  return { kind: 'fault', text: `${shown(entry)} is neither an address nor a domain; write 10.0.0.53, or example.com` };
}

/** An endpoint: `ADDRESS:PORT`, `[IPV6]:PORT` or `NAME:PORT`. */
export function parseHostAndPort(value: string): { host: string; port: number } | string {
  if (parseIpAddress(value)?.family === 6) return `${shown(value)} has no port; write [${value}]:51820`;
  const colon = value.lastIndexOf(':');
  if (colon < 0 || value.endsWith(']')) return `${shown(value)} has no port; write ${shownHost(value)}:51820`;
  const host = value.slice(0, colon);
  const port = parseNumber(value.slice(colon + 1), 1, 65_535);
  if (port === undefined) return `${shown(value)} has no port from 1 to 65535 behind its last colon`;
  if (host.startsWith('[')) {
    const [address = '', zone] = host.slice(1, -1).split('%', 2);
    const zoneOk = zone === undefined || /^[a-zA-Z0-9_=+.-]{1,15}$/.test(zone);
    if (host.endsWith(']') && zoneOk && parseIpAddress(address)?.family === 6) return { host: host.slice(1, -1), port };
    return `${shown(value)} has no IPv6 address in its brackets; write one like [2001:db8::1]:${String(port)}`;
  }
  if (host.includes(':')) {
    const remedy = parseIpAddress(host) === undefined ? '[2001:db8::1]' : `[${host}]`;
    return `${shown(value)} has an IPv6 address without brackets; write ${remedy}:${String(port)}`;
  }
  if (parseIpAddress(host) !== undefined || (isHostName(host) && !/^[0-9.]+$/.test(host))) return { host, port };
  return `${shown(value)} has no valid host; write vpn.example.com:${String(port)} or 192.0.2.1:${String(port)}`;
}

function shownHost(value: string): string {
  return shown(value).startsWith('"') && /^[[\]\w.:%-]{1,64}$/.test(value) ? value : 'vpn.example.com';
}

/** Letters, digits, hyphens and underscores, in labels of at most 63, 253 together (RFC 1123 section 2.1). */
function isHostName(text: string): boolean {
  return text.length <= 253 && /^[a-z0-9_]([a-z0-9_-]{0,62})(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?$/i.test(text);
}
