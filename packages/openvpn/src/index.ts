export type * from './crypto.ts';
export type * from './data/cipher.ts';
export type * from './data/data-sessions.ts';
export { OPENVPN_OVERHEAD_BYTES } from './data/format.ts';
export { DATA_LIMITS, type DataLimits } from './data/limits.ts';
export * from './data/packet-half.ts';
export * from './data/shared-data-sessions.ts';
export * from './data/tables.ts';
export type * from './session/authentication.ts';
export type * from './session/client-events.ts';
export type { ClientWrap } from './session/client-parts.ts';
export { OpenVpnClient, type ClientOptions, type ClientState } from './session/client.ts';
export { advancesBy, type AdvancesBy } from './session/negotiation.ts';
export type { TunnelNetwork } from './session/push-options.ts';
export type * from './session/server-events.ts';
export { OpenVpnServer, type ServerOptions } from './session/server.ts';
export { CLIENT_SETTINGS, SERVER_SETTINGS, type ClientSettings, type ServerSettings } from './session/settings.ts';
export type * from './tls.ts';
export * from './profile/index.ts';
export * from './wire/challenge.ts';
export type { AuthFailure } from './wire/control-message.ts';
export type { ControlPacket } from './wire/control-packet.ts';
export * from './wire/control-wrap.ts';
export * from './wire/entrance.ts';
export * from './wire/key-file.ts';
export { isPushable } from './wire/push-reply.ts';
export {
  wrapClientKey,
  unwrapClientKey,
  METADATA_TIMESTAMP,
  METADATA_USER,
  SERVER_KEY_BYTES,
} from './wire/tls-crypt-v2.ts';
export { parseIpv4, parseIpv6 } from './session/addresses.ts';
