import { Secret } from '@sallyport/core';
import type { DataCipher } from '../data/data-sessions.ts';
import { parseIpv4, parseIpv6 } from './addresses.ts';
import type { ClientSettings } from './settings.ts';

/** What a push reply says to the protocol itself; the rest is for whoever sets up the interface. */
export interface Pulled {
  readonly ipv4: { readonly address: string; readonly prefixLength: number } | undefined;
  readonly ipv6: { readonly address: string; readonly prefixLength: number } | undefined;
  readonly gateway: string | undefined;
  readonly mtu: number;
  readonly peerId: number;
  readonly cipher: DataCipher;
  readonly format: 'v2' | 'epoch';
  readonly exportedKeys: boolean;
  readonly dynamicTlsCrypt: boolean;
  readonly exitNotify: boolean;
  readonly pingMs: number;
  readonly pingRestartMs: number;
  readonly token: Secret<string> | undefined;
  readonly tokenUserName: string | undefined;
}

const CIPHERS: readonly DataCipher[] = ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC'];
const MAX_PEER_ID = 0xfffffe;
const MIN_MTU = 576;

/**
 * Reads a push reply; in words what is wrong with it where it can't be followed. `serverCipher` is that of the server's
 * options string, by which servers go that negotiate none.
 */
export function readPulled(
  options: readonly string[],
  settings: ClientSettings,
  serverCipher: string | undefined,
): Pulled | string {
  const values = new Map(options.map((option) => split(option)));
  const value = (name: string): string[] => values.get(name) ?? [];
  for (const name of ['comp-lzo', 'compress', 'fragment'])
    if (values.has(name)) return `the server wants "${name}", which is not supported`;
  const ipv4 = readIfconfig(value('ifconfig'), value('topology')[0]);
  if (ipv4 === 'malformed') return 'the server pushed no address that could be used';
  const ipv6 = readIfconfig6(value('ifconfig-ipv6'));
  const peerId = number(value('peer-id')[0], 0, MAX_PEER_ID);
  if (peerId === undefined) return 'the server gives no peer id: it is too old';
  const name = value('cipher')[0] ?? settings.fallbackCipher ?? serverCipher;
  const cipher = CIPHERS.find((one) => one === name?.toUpperCase());
  if (cipher === undefined || !(settings.dataCiphers.includes(cipher) || cipher === settings.fallbackCipher))
    return `the server chose the cipher "${name ?? 'none'}", which this profile does not allow`;
  const flags = new Set(value('protocol-flags'));
  const exportedKeys = flags.has('tls-ekm') || value('key-derivation')[0] === 'tls-ekm';
  const epoch = flags.has('aead-epoch');
  if (epoch && (!settings.epoch || cipher === 'AES-256-CBC'))
    return 'the server chose a packet format that was not offered';
  const token = value('auth-token')[0];
  return {
    ipv4,
    ipv6,
    gateway: value('route-gateway')[0],
    mtu: number(value('tun-mtu')[0], MIN_MTU, settings.maxMtu) ?? settings.tunMtu,
    peerId,
    cipher,
    format: epoch ? 'epoch' : 'v2',
    exportedKeys,
    dynamicTlsCrypt: flags.has('dyn-tls-crypt'),
    exitNotify: flags.has('cc-exit'),
    pingMs: milliseconds(value('ping')[0]) ?? settings.pingMs,
    pingRestartMs: milliseconds(value('ping-restart')[0]) ?? settings.pingRestartMs,
    token: token === undefined ? undefined : new Secret(token),
    tokenUserName: value('auth-token-user')[0],
  };
}

/** The token of a push reply that came after the first, for a client that is connected. */
export function readToken(options: readonly string[]): Secret<string> | undefined {
  const [, [token] = []] = options.map(split).find(([name]) => name === 'auth-token') ?? [];
  return token === undefined ? undefined : new Secret(token);
}

function split(option: string): [string, string[]] {
  const [name = '', ...rest] = option.split(' ').filter((word) => word !== '');
  return [name, rest];
}

/** `ifconfig` has a mask with `topology subnet`, and the other end of a link with the older ones. */
function readIfconfig(
  [address, second]: readonly string[],
  topology: string | undefined,
): { address: string; prefixLength: number } | undefined | 'malformed' {
  if (address === undefined) return undefined;
  const mask = parseIpv4(second ?? '');
  if (parseIpv4(address) === undefined || mask === undefined) return 'malformed';
  if (topology !== 'subnet') return { address, prefixLength: 32 };
  const bits = Array.from(mask, (byte) => byte.toString(2).padStart(8, '0')).join('');
  return /^1*0*$/.test(bits) ? { address, prefixLength: bits.replace(/0+$/, '').length } : 'malformed';
}

function readIfconfig6([prefix]: readonly string[]): { address: string; prefixLength: number } | undefined {
  const [address = '', length] = prefix?.split('/') ?? [];
  const prefixLength = number(length ?? '64', 0, 128);
  if (parseIpv6(address) === undefined || prefixLength === undefined) return undefined;
  return { address, prefixLength };
}

function number(text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined || !/^\d{1,8}$/.test(text)) return undefined;
  const value = Number(text);
  return value >= min && value <= max ? value : undefined;
}

function milliseconds(seconds: string | undefined): number | undefined {
  const value = number(seconds, 0, 86_400);
  return value === undefined ? undefined : value * 1000;
}
