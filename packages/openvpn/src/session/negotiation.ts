import type { DataCipher } from '../data/data-sessions.ts';
import { optionOf } from '../wire/options-string.ts';
import { ivProto, IvProto, supportedCiphers } from '../wire/peer-info.ts';
import type { ServerSettings } from './settings.ts';

/** What sends a client to the next server of its profile. */
export type AdvancesBy = 'restart' | 'refusal' | undefined;

/** What a server and one client have agreed on by what the client says of itself. */
export interface Agreement {
  readonly cipher: DataCipher;
  readonly format: 'v2' | 'epoch';
  /** Keys come from TLS (RFC 5705) and not from the PRF of key method 2. */
  readonly exportedKeys: boolean;
  /** Renegotiations are wrapped with a key of the first exchange's TLS. */
  readonly dynamicTlsCrypt: boolean;
  /** The client says that it leaves on the control channel. */
  readonly exitNotify: boolean;
  /** The client takes the cipher from the push reply. */
  readonly takesCipher: boolean;
  /** The client takes its MTU from the push reply. */
  readonly takesMtu: boolean;
  /** The client knows `dns`, and makes of `dhcp-option` something else. */
  readonly takesDns: boolean;
  /** The client waits for the push reply without asking for it. */
  readonly awaitsPush: boolean;
  readonly advancesBy: AdvancesBy;
}

const TOO_OLD = 'this server needs OpenVPN 2.4 or newer';

/** What to go by with a client, or in words for its user why there is nothing. */
export function agree(
  settings: ServerSettings,
  peerInfo: ReadonlyMap<string, string>,
  options: string,
): Agreement | string {
  const proto = ivProto(peerInfo);
  // Compression lets who sees the sizes and has a say in the contents learn the rest; there is no framing for it here.
  if (optionOf(options, 'comp-lzo') !== undefined)
    return 'compression is not supported: remove "comp-lzo" or "compress" from the profile';
  if (optionOf(options, 'mtu-dynamic') !== undefined) return 'remove "fragment" from the profile';
  if ((proto & IvProto.dataV2) === 0) return TOO_OLD;
  const cipher = chooseCipher(settings.dataCiphers, peerInfo, options);
  if (cipher === undefined)
    return `no cipher in common: have one of ${settings.dataCiphers.join(':')} in "data-ciphers" of the profile`;
  const exportedKeys = (proto & IvProto.tlsKeyExport) !== 0;
  const epoch = settings.epoch && exportedKeys && (proto & IvProto.dataEpoch) !== 0 && cipher !== 'AES-256-CBC';
  return {
    cipher,
    format: epoch ? 'epoch' : 'v2',
    exportedKeys,
    dynamicTlsCrypt: (proto & IvProto.dynamicTlsCrypt) !== 0,
    exitNotify: (proto & IvProto.exitNotify) !== 0,
    takesCipher: peerInfo.has('IV_CIPHERS') || peerInfo.has('IV_NCP'),
    takesMtu: Number(peerInfo.get('IV_MTU') ?? 0) > 0,
    takesDns: (proto & IvProto.dnsOptionV2) !== 0,
    awaitsPush: (proto & IvProto.requestPush) !== 0,
    advancesBy: advancesBy(peerInfo),
  };
}

/** OpenVPN Connect, and what else is made of the same library. */
export function isOpenVpn3(peerInfo: ReadonlyMap<string, string>): boolean {
  return peerInfo.get('IV_VER')?.startsWith('3.') === true;
}

/** OpenVPN 3 comes back to the same server after a RESTART. It goes on where it is not let in for now; before 3.8 never. */
export function advancesBy(peerInfo: ReadonlyMap<string, string>): AdvancesBy {
  if (!isOpenVpn3(peerInfo)) return 'restart';
  return (ivProto(peerInfo) & IvProto.authFailTemp) !== 0 ? 'refusal' : undefined;
}

/** The first of `ours` that the client takes: of its list, or without one the cipher of its profile. */
function chooseCipher(
  ours: readonly DataCipher[],
  peerInfo: ReadonlyMap<string, string>,
  options: string,
): DataCipher | undefined {
  const theirs = new Set(supportedCiphers(peerInfo, optionOf(options, 'cipher')));
  return ours.find((cipher) => theirs.has(cipher) && (cipher !== 'AES-256-CBC' || hasSha256(options)));
}

/** The HMAC of CBC is not negotiated: it is `auth` of both profiles. */
function hasSha256(options: string): boolean {
  return optionOf(options, 'auth')?.toUpperCase() === 'SHA256';
}
