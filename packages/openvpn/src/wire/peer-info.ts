import { isPrintable } from './text.ts';

/*
 * Peer info: what a client says of itself in key method 2, one `NAME=value` a line.
 */

const MAX_ENTRIES = 64;
const MAX_VALUE_LENGTH = 1024;
const NAME_FORM = /^[A-Za-z][A-Za-z0-9_]{0,63}$/;

/** Bits of `IV_PROTO`: what a client can do. */
export const IvProto = {
  dataV2: 1 << 1,
  /** Its push reply may come unasked. */
  requestPush: 1 << 2,
  /** Data keys by exported keying material (`key-derivation tls-ekm`). */
  tlsKeyExport: 1 << 3,
  /** AUTH_PENDING with a time. */
  authPendingKeyword: 1 << 4,
  p2pNcp: 1 << 5,
  dnsOption: 1 << 6,
  /** EXIT in the control channel. */
  exitNotify: 1 << 7,
  /** AUTH_FAILED,TEMP. */
  authFailTemp: 1 << 8,
  dynamicTlsCrypt: 1 << 9,
  /** The packet format of the data channel with epoch keys. */
  dataEpoch: 1 << 10,
  dnsOptionV2: 1 << 11,
  pushUpdate: 1 << 12,
} as const;

/** Lines that are not understood are left out, as is what is too much. */
export function parsePeerInfo(text: string): ReadonlyMap<string, string> {
  const entries = new Map<string, string>();
  for (const line of text.split('\n')) {
    if (entries.size >= MAX_ENTRIES) break;
    const equals = line.indexOf('=');
    const name = line.slice(0, Math.max(0, equals));
    const value = line.slice(equals + 1).replace(/\r$/, '');
    if (NAME_FORM.test(name) && value.length <= MAX_VALUE_LENGTH && isPrintable(value)) entries.set(name, value);
  }
  return entries;
}

export function formatPeerInfo(entries: ReadonlyMap<string, string>): string {
  return Array.from(entries, ([name, value]) => `${name}=${value}\n`).join('');
}

/** The bits of `IV_PROTO`, 0 where a client is too old to have any. */
export function ivProto(peerInfo: ReadonlyMap<string, string>): number {
  const text = peerInfo.get('IV_PROTO') ?? '';
  return /^\d{1,9}$/.test(text) ? Number(text) : 0;
}

/**
 * The ciphers of the data channel that a client can do, in upper case: `IV_CIPHERS` (from 2.5 on), the two that
 * `IV_NCP=2` stands for (2.4), and `fallback`, that of its options string, where neither says anything.
 */
export function supportedCiphers(peerInfo: ReadonlyMap<string, string>, fallback: string | undefined): string[] {
  const named = peerInfo.get('IV_CIPHERS');
  if (named !== undefined)
    return named
      .toUpperCase()
      .split(':')
      .filter((cipher) => cipher !== '');
  const ciphers = /^[2-9]$/.test(peerInfo.get('IV_NCP') ?? '') ? ['AES-256-GCM', 'AES-128-GCM'] : [];
  const other = fallback?.toUpperCase();
  return other === undefined || ciphers.includes(other) ? ciphers : [...ciphers, other];
}
