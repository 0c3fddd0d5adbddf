import type { OpenVpnCrypto } from '../crypto.ts';
import type { ControlPacket } from './control-packet.ts';

/** What protects a session's control packets: nothing, tls-auth, or tls-crypt in one of its forms. */
export interface ControlWrap {
  /** Bytes that it adds to a packet. */
  readonly overhead: number;
  /** The datagram, or undefined once the packet ids are used up: the session has to end. */
  wrap(packet: ControlPacket): Uint8Array | undefined;
  /** Authenticates, refuses what came before, decodes. Otherwise the `DropReason`. The packet's parts are views. */
  unwrap(datagram: Uint8Array): ControlPacket | number;
  /**
   * What protects the packets of key ids other than 0 where both ends have `dyn-tls-crypt`. `material` is 256 bytes
   * that the session's first TLS connection exports by {@link DYNAMIC_TLS_CRYPT_LABEL}; it is copied.
   */
  dynamic(material: Uint8Array): ControlWrap;
  /** Overwrites its keys. It is of no use after this. */
  erase(): void;
}

export interface WrapOptions {
  readonly crypto: OpenVpnCrypto;
  readonly server: boolean;
  /** Seconds since 1970. A peer refuses packets of a session whose time is before that of ones that it has seen. */
  readonly unixTime: number;
  /** Of the packet ids that are sent: 1 unless said. */
  readonly firstPacketId?: number | undefined;
}

/** The label of the exported key of {@link ControlWrap.dynamic}. */
export const DYNAMIC_TLS_CRYPT_LABEL = 'EXPORTER-OpenVPN-dynamic-tls-crypt';

/** Of a static key: two keys of 64 bytes for a cipher and 64 for an HMAC. */
export const STATIC_KEY_BYTES = 256;
const KEY_BYTES = 128;
const HMAC_KEY_AT = 64;

/** The two halves of a static key, for who sends and who receives. Views. */
export function directions(
  key: Uint8Array,
  first: boolean,
): { readonly send: Uint8Array; readonly receive: Uint8Array } {
  const halves = [key.subarray(0, KEY_BYTES), key.subarray(KEY_BYTES, 2 * KEY_BYTES)] as const;
  return first ? { send: halves[0], receive: halves[1] } : { send: halves[1], receive: halves[0] };
}

/** The HMAC's key in half a static key: its first bytes, as many as the hash has. */
export function hmacKey(half: Uint8Array, bytes: number): Uint8Array {
  return half.subarray(HMAC_KEY_AT, HMAC_KEY_AT + bytes);
}
