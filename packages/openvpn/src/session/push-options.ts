import { isPushable } from '../wire/push-reply.ts';
import type { Verdict } from './authentication.ts';
import type { Agreement } from './negotiation.ts';
import type { ServerSettings } from './settings.ts';

/** The gateway's own addresses in the tunnel. */
export interface TunnelNetwork {
  readonly ipv4: { readonly gateway: string; readonly prefixLength: number };
  readonly ipv6?: { readonly gateway: string; readonly prefixLength: number } | undefined;
}

/** The options of a push reply for a client that was let in. What the verdict brings and can't be pushed is left out. */
export function pushOptions(
  settings: ServerSettings,
  network: TunnelNetwork,
  agreement: Agreement,
  verdict: Extract<Verdict, { kind: 'admit' }>,
  peerId: number,
): string[] {
  const options = [
    'topology subnet',
    `route-gateway ${network.ipv4.gateway}`,
    `ping ${seconds(settings.pingMs)}`,
    `ping-restart ${seconds(settings.pingRestartMs)}`,
    ...namesFor(agreement, verdict.push).filter(isPushable),
  ];
  if (verdict.ipv6 !== undefined && network.ipv6 !== undefined)
    options.push(`ifconfig-ipv6 ${verdict.ipv6}/${String(network.ipv6.prefixLength)} ${network.ipv6.gateway}`);
  options.push(`ifconfig ${verdict.ipv4} ${netmask(network.ipv4.prefixLength)}`, `peer-id ${String(peerId)}`);
  if (verdict.token !== undefined) options.push(tokenOption(verdict.token.reveal()));
  if (agreement.takesCipher) options.push(`cipher ${agreement.cipher}`);
  options.push(...protocolOptions(agreement));
  if (agreement.takesMtu) options.push(`tun-mtu ${String(settings.tunMtu)}`);
  return options;
}

/**
 * Name servers may be there twice, for clients that know `dns` and for those that don't: each is told once. OpenVPN 3 asks
 * the servers of a `dhcp-option DNS` for nothing but the domains beside it.
 */
function namesFor({ takesDns }: Agreement, push: readonly string[]): readonly string[] {
  const dhcp = !takesDns || !push.some((option) => option.startsWith('dns '));
  return push.filter((option) => !(dhcp ? /^dns / : /^dhcp-option (?:DNS6?|DOMAIN|DOMAIN-SEARCH) /).test(option));
}

export function tokenOption(token: string): string {
  return `auth-token ${token}`;
}

/** Clients before 2.6 know no `protocol-flags`, and exported keys by an option of its own. */
function protocolOptions(agreement: Agreement): string[] {
  const flags: string[] = [];
  if (agreement.exitNotify) flags.push('cc-exit');
  if (agreement.exitNotify && agreement.exportedKeys) flags.push('tls-ekm');
  if (agreement.dynamicTlsCrypt) flags.push('dyn-tls-crypt');
  if (agreement.format === 'epoch') flags.push('aead-epoch');
  const options = flags.length === 0 ? [] : [`protocol-flags ${flags.join(' ')}`];
  if (agreement.exportedKeys && !agreement.exitNotify) options.push('key-derivation tls-ekm');
  return options;
}

function seconds(milliseconds: number): string {
  return String(Math.max(1, Math.round(milliseconds / 1000)));
}

function netmask(prefixLength: number): string {
  const mask = prefixLength === 0 ? 0 : (0xffffffff << (32 - prefixLength)) >>> 0;
  return [mask >>> 24, (mask >>> 16) & 255, (mask >>> 8) & 255, mask & 255].join('.');
}

/**
 * The options string that answers a client's: it compares the two and warns its user of differences, though all that
 * matters was negotiated.
 */
export function answerTo(options: string): string {
  if (!/^[\x20-\x7e]{0,512}$/.test(options)) return '';
  return options
    .replace('tls-client', 'tls-server')
    .replace('_CLIENT', '_SERVER')
    .replace(/,keydir ([01])/, (_all, direction) => `,keydir ${direction === '0' ? '1' : '0'}`);
}
