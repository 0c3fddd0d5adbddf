/** How name servers are written: `udp://192.0.2.53:53`, `tls://9.9.9.9:853#dns.quad9.net`, `https://dns.quad9.net/dns-query`. */
import { formatAddress, parseAddress } from '@sallyport/policy';

const DEFAULT_PORTS = { udp: 53, tls: 853 } as const;
const HOST_NAME =
  /^(?=.{1,253}$)(?!.*\.\d+$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*$/;

/**
 * A name server in its canonical form; undefined where it is none. A plain address is asked by UDP. UDP and TLS take
 * an address, since nothing finds a name before there is a name server; TLS may say what name the certificate is for.
 */
export function canonicalNameServer(text: string): string | undefined {
  if (text.length > 300) return undefined;
  if (text.startsWith('https://')) return canonicalUrl(text);
  const plain = parseAddress(text);
  if (plain !== undefined) return `udp://${bracketed(formatAddress(plain))}:53`;
  const match = /^(udp|tls):\/\/(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+))(?::(\d{1,5}))?(?:#(.+))?$/.exec(text);
  if (match === null) return undefined;
  const scheme = match[1] as keyof typeof DEFAULT_PORTS;
  const [, , ipv6, ipv4, portText, nameText] = match as readonly (string | undefined)[];
  const address = parseAddress(ipv6 ?? ipv4 ?? '');
  if (address?.family !== (ipv6 === undefined ? 4 : 6)) return undefined;
  const port = portText === undefined ? DEFAULT_PORTS[scheme] : Number(portText);
  const name = nameText?.toLowerCase();
  if (port < 1 || port > 65_535) return undefined;
  if (name !== undefined && (scheme === 'udp' || !HOST_NAME.test(name))) return undefined;
  return `${scheme}://${bracketed(formatAddress(address))}:${String(port)}${name === undefined ? '' : `#${name}`}`;
}

/** An address on the web without a login in it and without a fragment, in its canonical form. */
export function canonicalUrl(text: string): string | undefined {
  if (text.length > 300 || !/^https:\/\/[!-~]+$/.test(text) || !URL.canParse(text)) return undefined;
  const url = new URL(text);
  if (url.protocol !== 'https:' || url.username !== '' || url.password !== '' || url.hash !== '') return undefined;
  return url.hostname === '' || url.port === '0' ? undefined : url.href;
}

function bracketed(address: string): string {
  return address.includes(':') ? `[${address}]` : address;
}
