import type { OpenVpnCrypto } from '../crypto.ts';
import type { ControlWrap } from '../wire/control-wrap.ts';
import { optionsString } from '../wire/options-string.ts';
import { formatPeerInfo, IvProto } from '../wire/peer-info.ts';
import { plainWrap } from '../wire/plain-wrap.ts';
import { tlsAuthWrap, type KeyDirection, type TlsAuthHash } from '../wire/tls-auth.ts';
import { tlsCryptV2ClientWrap, tlsCryptWrap } from '../wire/tls-crypt.ts';
import type { ClientSettings } from './settings.ts';

/** How a profile has its control channel protected. Keys are of 256 bytes. */
export type ClientWrap =
  | { readonly kind: 'none' }
  | {
      readonly kind: 'tls-auth';
      readonly key: Uint8Array;
      readonly hash: TlsAuthHash;
      readonly direction: KeyDirection;
    }
  | { readonly kind: 'tls-crypt'; readonly key: Uint8Array }
  | {
      readonly kind: 'tls-crypt-v2';
      readonly key: Uint8Array;
      readonly wrappedKey: Uint8Array;
      /** Of the packet ids: clients before 2.6 begin with 1, which says that they send their wrapped key only once. */
      readonly firstPacketId?: number | undefined;
    };

export function makeClientWrap(wrap: ClientWrap, crypto: OpenVpnCrypto, unixTime: number): ControlWrap {
  const options = { crypto, server: false, unixTime };
  switch (wrap.kind) {
    case 'none':
      return plainWrap(options);
    case 'tls-auth':
      return tlsAuthWrap({ ...options, key: wrap.key, hash: wrap.hash, direction: wrap.direction });
    case 'tls-crypt':
      return tlsCryptWrap({ ...options, key: wrap.key });
    case 'tls-crypt-v2':
      return tlsCryptV2ClientWrap({ ...options, ...wrap });
  }
}

/** What the client can do, and what is said of it beside. */
export function clientPeerInfo(
  settings: ClientSettings,
  more: ReadonlyMap<string, string> = new Map<string, string>(),
): string {
  const { dataCiphers } = settings;
  const proto =
    IvProto.dataV2 |
    IvProto.requestPush |
    IvProto.tlsKeyExport |
    IvProto.authPendingKeyword |
    IvProto.exitNotify |
    IvProto.authFailTemp |
    IvProto.dynamicTlsCrypt |
    (settings.epoch ? IvProto.dataEpoch : 0);
  const entries = new Map([
    ['IV_CIPHERS', dataCiphers.join(':')],
    ['IV_MTU', String(settings.maxMtu)],
    ['IV_PROTO', String(proto)],
    ['IV_TCPNL', '1'],
  ]);
  if (dataCiphers.includes('AES-256-GCM') && dataCiphers.includes('AES-128-GCM')) entries.set('IV_NCP', '2');
  for (const [name, value] of more) entries.set(name, value);
  return formatPeerInfo(entries);
}

/** For servers that compare it with their own, or take the cipher from it. */
export function clientOptionsString(settings: ClientSettings, tcp: boolean, tlsAuth: boolean): string {
  const cipher = settings.fallbackCipher ?? settings.dataCiphers[0];
  return optionsString({ server: false, tcp, tunMtu: settings.tunMtu, cipher, tlsAuth });
}
