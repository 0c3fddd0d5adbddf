/** What gateways push to OpenVPN devices: the same that stands in a WireGuard configuration. */
import { isIPv6 } from 'node:net';
import type { Settings } from '@sallyport/api';
import { formatAddress, parsePrefix, type AccessModel, type OpenVpnCipher } from '@sallyport/policy';
import { tunnelParameters } from '../tunnel-parameters.ts';

const ALL4 = '0.0.0.0/0';
const ALL6 = '::/0';

/** Lines of the push reply, addresses and what else the protocol sees to left out. */
export function pushedLines(model: Pick<AccessModel, 'pool4' | 'pool6'>, settings: Settings): string[] {
  const { dnsServers, allowedIps } = tunnelParameters(model, settings);
  const all4 = allowedIps.includes(ALL4);
  const all6 = allowedIps.includes(ALL6);
  return [
    ...redirection(all4, all6),
    ...allowedIps.filter((text) => !(isIPv6(text.split('/')[0]) ? all6 : all4)).map(routeTo),
    // For clients that know it; gateways leave it out for the rest, and what follows for those.
    ...dnsServers.map((address) => `dns server 0 address ${address}`),
    ...settings.dns.searchDomains.map((name) => `dns search-domains ${name}`),
    // Of either family: to OpenVPN DNS6 is the same, and NetworkManager and scripts do not know it.
    ...dnsServers.map((address) => `dhcp-option DNS ${address}`),
    // The first is what a name without dots is completed by, where a client knows but one.
    ...settings.dns.searchDomains.slice(0, 1).map((name) => `dhcp-option DOMAIN ${name}`),
    ...settings.dns.searchDomains.map((name) => `dhcp-option DOMAIN-SEARCH ${name}`),
    // Windows asks every interface's name servers, unless it is kept from it.
    ...(all4 ? ['block-outside-dns'] : []),
  ];
}

function redirection(all4: boolean, all6: boolean): string[] {
  if (!all4 && !all6) return [];
  return [['redirect-gateway', ...(all4 ? ['def1'] : ['!ipv4']), ...(all6 ? ['ipv6'] : [])].join(' ')];
}

function routeTo(text: string): string {
  const prefix = parsePrefix(text);
  if (prefix?.family !== 4) return `route-ipv6 ${text}`;
  const mask = prefix.length === 0 ? 0n : (0xffff_ffffn << BigInt(32 - prefix.length)) & 0xffff_ffffn;
  return `route ${text.split('/')[0]} ${formatAddress({ family: 4, value: mask })}`;
}

/** The ciphers of the data channel that gateways offer, the preferred first. */
export function offeredCiphers({ openvpn }: Settings): OpenVpnCipher[] {
  return [...openvpn.dataCiphers, ...(openvpn.oldClients ? (['AES-256-CBC'] as const) : [])];
}
