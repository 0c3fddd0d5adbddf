import { BlockList, isIP } from 'node:net';
import type { IncomingMessage } from 'node:http';

export interface Client {
  /** The address that the request came from, proxies in the list of trusted ones left out. */
  readonly address: string;
  /** Whether it came by TLS, as far as is known: at this server, or as a trusted proxy says. */
  readonly secure: boolean;
  readonly loopback: boolean;
  /** The address of this machine that it connected to; absent where a proxy did that. */
  readonly server?: string;
}

/** Says where requests come from. `trustedProxies` are addresses and prefixes, whose X-Forwarded-For and -Proto count. */
export function clientReader(trustedProxies: readonly string[]): (request: IncomingMessage) => Client {
  const trusted = addressList(trustedProxies);
  return (request) => {
    const peer = canonicalAddress(request.socket.remoteAddress ?? '') ?? 'unknown';
    const encrypted = (request.socket as { readonly encrypted?: boolean }).encrypted === true;
    if (!trusted(peer)) {
      const server = canonicalAddress(request.socket.localAddress ?? '');
      const client = { address: peer, secure: encrypted, loopback: isLoopback(peer) };
      return server === undefined ? client : { ...client, server };
    }
    let address = peer;
    // From the nearest hop on: the first that is no trusted proxy is who the nearest trusted one saw.
    const hops = headerOf(request, 'x-forwarded-for').split(',');
    for (let hop = hops.pop(); hop !== undefined; hop = hops.pop()) {
      const canonical = canonicalAddress(hop.trim());
      if (canonical === undefined) break;
      address = canonical;
      if (!trusted(canonical)) break;
    }
    const secure = encrypted || headerOf(request, 'x-forwarded-proto').split(',').at(-1)?.trim() === 'https';
    return { address, secure, loopback: isLoopback(address) };
  };
}

function headerOf(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(',') : (value ?? '');
}

/** Throws where an entry is neither an address nor a prefix. */
function addressList(entries: readonly string[]): (address: string) => boolean {
  const list = new BlockList();
  for (const entry of entries) {
    const [address = '', length] = entry.split('/');
    const version = isIP(address);
    const bits = version === 4 ? 32 : 128;
    const prefix = length === undefined ? bits : Number(length);
    if (version === 0 || !Number.isInteger(prefix) || prefix < 0 || prefix > bits) {
      throw new Error(`trusted proxies: ${entry} is neither an address nor a prefix such as 10.0.0.0/8`);
    }
    list.addSubnet(address, prefix, version === 4 ? 'ipv4' : 'ipv6');
  }
  return (address) => {
    const version = isIP(address);
    return version !== 0 && list.check(address, version === 4 ? 'ipv4' : 'ipv6');
  };
}

/** IPv4 in IPv6 as IPv4, no zone, lower case; undefined where it is no address. */
export function canonicalAddress(text: string): string | undefined {
  const address = text.replace(/%.*$/, '').toLowerCase();
  const version = isIP(address);
  if (version === 0) return undefined;
  if (version === 4) return address;
  const words = wordsOf(address);
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) {
    return [words[6] >> 8, words[6] & 255, words[7] >> 8, words[7] & 255].join('.');
  }
  return address;
}

/** What limits count by: an IPv4 address, or the /64 of an IPv6 address, which one client has all of. */
export function limitKey(address: string): string {
  if (isIP(address) !== 6) return address;
  return wordsOf(address)
    .slice(0, 4)
    .map((word) => word.toString(16))
    .join(':');
}

/** The eight words of an IPv6 address. */
function wordsOf(address: string): number[] {
  const dotted = /^(.*:)(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(address);
  let text = address;
  if (dotted !== null) {
    const [a, b, c, d] = dotted.slice(2).map(Number) as [number, number, number, number];
    text = `${dotted[1]}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head = '', tail] = text.split('::');
  const parse = (part: string): number[] => (part === '' ? [] : part.split(':').map((word) => parseInt(word, 16)));
  const front = parse(head);
  const back = parse(tail ?? '');
  return [...front, ...new Array<number>(8 - front.length - back.length).fill(0), ...back];
}

function isLoopback(address: string): boolean {
  return address === '::1' || address.startsWith('127.');
}
