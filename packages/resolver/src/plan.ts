import { isIP } from 'node:net';

/** How names are answered; packages/policy has the same form, and says what each part means. */
export interface NamesPlan {
  readonly upstreams: readonly string[];
  readonly blocked: readonly string[];
  readonly blockLists: readonly string[];
  readonly hosts: readonly { readonly name: string; readonly addresses: readonly string[] }[];
  readonly domains: readonly { readonly domain: string; readonly servers: readonly string[] }[];
}

/** A name server: by UDP and TCP (RFC 1035), over TLS (RFC 7858), or over HTTPS (RFC 8484). */
export type UpstreamAddress =
  | { readonly kind: 'udp'; readonly host: string; readonly port: number }
  /** `name` is what its certificate must be for; `host` where none is given. */
  | { readonly kind: 'tls'; readonly host: string; readonly port: number; readonly name: string }
  | { readonly kind: 'https'; readonly origin: string; readonly path: string };

/**
 * `udp://192.0.2.53:53`, `tls://9.9.9.9:853#dns.quad9.net`, `https://dns.quad9.net/dns-query`, or an address, with or
 * without a port: `192.0.2.53`, `[2001:db8::53]:5353`. Undefined where it is none of them.
 */
export function parseUpstream(text: string): UpstreamAddress | undefined {
  if (!text.includes('://')) {
    if (isIP(text) !== 0) return { kind: 'udp', host: text, port: 53 };
    return parseUpstream(`udp://${text}`);
  }
  const url = URL.parse(text);
  if (url === null || url.hostname === '' || url.username !== '' || url.password !== '') return undefined;
  const host = url.hostname.replace(/^\[|\]$/g, '');
  const name = decodeFragment(url.hash);
  if (url.protocol === 'https:') {
    return url.hash === '' ? { kind: 'https', origin: url.origin, path: url.pathname + url.search } : undefined;
  }
  if (!/^\/?$/.test(url.pathname) || url.search !== '' || name === undefined) return undefined;
  const port = url.port === '' ? undefined : Number(url.port);
  if (port === 0) return undefined;
  if (url.protocol === 'udp:') return name === '' ? { kind: 'udp', host, port: port ?? 53 } : undefined;
  if (url.protocol !== 'tls:') return undefined;
  return { kind: 'tls', host, port: port ?? 853, name: name === '' ? host : name };
}

function decodeFragment(hash: string): string | undefined {
  const name = hash.slice(1);
  return name === '' || isIP(name) !== 0 || /^[a-z0-9.-]{1,253}$/i.test(name) ? name : undefined;
}

/** A name of the plan as names are compared: lower case, without the dot at its end. */
export function canonicalName(name: string): string {
  return name.toLowerCase().replace(/\.$/, '');
}
