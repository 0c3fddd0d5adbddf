import { networkInterfaces, hostname } from 'node:os';
import type { Configuration } from './config/schema.ts';

/** How this machine is reached, as far as the configuration leaves it open. */
export interface Reach {
  /** `https://vpn.example.org` */
  readonly publicUrl: string;
  /** The name or address that devices connect to. */
  readonly gatewayHost: string;
  /** What a self-signed certificate is for. */
  readonly certificateHosts: readonly string[];
}

export function reachOf({ web, gateway }: Configuration): Reach {
  const own = ownAddress();
  const [first] = web.listen;
  const listenHost = first === undefined || isUnspecified(first.host) ? own : first.host;
  const scheme = web.tls === 'off' ? 'http' : 'https';
  const defaultHost = web.tls === 'acme' ? (web.acme.domains[0] ?? listenHost) : listenHost;
  const url = new URL(web.publicUrl === '' ? `${scheme}://${bracketed(defaultHost)}` : web.publicUrl);
  if (web.publicUrl === '' && first !== undefined) url.port = String(first.port);
  const urlHost = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const gatewayHost =
    gateway.publicAddress !== ''
      ? gateway.publicAddress
      : web.publicUrl !== ''
        ? urlHost
        : isLoopback(urlHost)
          ? own
          : urlHost;
  const hosts = [urlHost, 'localhost', '127.0.0.1', '::1', hostname().toLowerCase(), own].filter(isCertifiable);
  return { publicUrl: url.origin, gatewayHost, certificateHosts: [...new Set(hosts)] };
}

/** The address that others most probably reach this machine by: a public one before a private one, IPv4 before IPv6. */
export function ownAddress(): string {
  const addresses = Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter(({ internal, address }) => !internal && !/^(?:fe80|169\.254\.)/i.test(address));
  const rank = ({ address, family }: { address: string; family: string }): number =>
    (isPrivate(address) ? 2 : 0) + (family === 'IPv4' ? 0 : 1);
  addresses.sort((a, b) => rank(a) - rank(b));
  return addresses[0]?.address ?? '127.0.0.1';
}

function isPrivate(address: string): boolean {
  return /^(?:10\.|192\.168\.|172\.(?:1[6-9]|2\d|3[01])\.|100\.(?:6[4-9]|[7-9]\d|1[01]\d|12[0-7])\.|f[cd])/i.test(
    address,
  );
}

function isLoopback(host: string): boolean {
  return /^127\./.test(host) || host === '::1' || host === 'localhost';
}

function isUnspecified(host: string): boolean {
  return host === '0.0.0.0' || /^[0:]+$/.test(host);
}

/** Names of machines may hold characters that certificates can't. */
function isCertifiable(host: string): boolean {
  return /^[a-z0-9.:-]+$/i.test(host);
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}
