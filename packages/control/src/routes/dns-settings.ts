import { isIP } from 'node:net';
import { canonicalNameServer, canonicalUrl, type Settings } from '@sallyport/api';
import { formatAddress, parseAddress } from '@sallyport/policy';
import type { Faults } from './faults.ts';

type Dns = Settings['dns'];
type DnsChange = { readonly [K in keyof Dns]?: Dns[K] | undefined };

/** What is given of the settings of names, canonical. What is wrong with it goes to `faults`. */
export function dnsValue(dns: DnsChange, faults: Faults): DnsChange {
  const name = (text: string, at: string): string => {
    const canonical = text.toLowerCase().replace(/\.$/, '');
    if (isIP(canonical) !== 0) faults.add(at, `${text} is an address, not a name`);
    return canonical;
  };
  const onlyOnce = (names: readonly string[], at: (index: number) => string): void => {
    for (const [i, one] of names.entries()) {
      if (names.indexOf(one) < i) faults.add(at(i), `${one} is there twice: put all that it has together`);
    }
  };
  const hosts = dns.hosts?.map((host, i) => ({
    name: name(host.name, `/body/dns/hosts/${String(i)}/name`),
    addresses: unique(host.addresses.map(canonicalAddress)),
  }));
  const domains = dns.domains?.map((one, i) => ({
    domain: name(one.domain, `/body/dns/domains/${String(i)}/domain`),
    servers: unique(one.servers.map(canonicalServer)),
  }));
  onlyOnce(hosts?.map((host) => host.name) ?? [], (i) => `/body/dns/hosts/${String(i)}/name`);
  onlyOnce(domains?.map(({ domain }) => domain) ?? [], (i) => `/body/dns/domains/${String(i)}/domain`);
  return {
    servers: dns.servers?.map(canonicalAddress),
    searchDomains: dns.searchDomains,
    upstreams: dns.upstreams && unique(dns.upstreams.map(canonicalServer)),
    blockLists: dns.blockLists && unique(dns.blockLists.map((text) => canonicalUrl(text) ?? text)),
    blocked: dns.blocked && unique(dns.blocked.map((text, i) => name(text, `/body/dns/blocked/${String(i)}`))),
    hosts,
    domains,
  };
}

function canonicalAddress(text: string): string {
  const address = parseAddress(text);
  return address === undefined ? text : formatAddress(address);
}

/** The contract has checked that it is one. */
function canonicalServer(text: string): string {
  return canonicalNameServer(text) ?? text;
}

function unique(texts: readonly string[]): string[] {
  return [...new Set(texts)];
}
