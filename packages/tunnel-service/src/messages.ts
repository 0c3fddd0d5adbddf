/**
 * What a client and a gateway say to each other inside the tunnel: datagrams to this port of the gateway's tunnel
 * address. Who asks is known by the tunnel address that a datagram comes from. docs/protocols/tunnel-service.md
 *
 * Every message begins with four bytes (0x53 0x50, the version 1, the kind) and eight bytes by which the asker finds
 * its answer; numbers are big-endian.
 */

export const TUNNEL_SERVICE_PORT = 51_819;

export const HEADER_BYTES = 12;
/** The longest message: what fits a packet of 65,535 bytes behind the headers of IPv6 and UDP. */
export const MAX_MESSAGE_BYTES = 65_487;
/** ML-KEM-768 (FIPS 203, table 3). */
export const ENCAPSULATION_KEY_BYTES = 1184;
export const CIPHERTEXT_BYTES = 1088;
export const PRESHARED_KEY_BYTES = 32;

export type TunnelServiceMessage =
  /** `padding`: zero bytes behind the header, at least one, to look for the largest packet that passes. */
  | { readonly kind: 'ping'; readonly id: bigint; readonly padding: number }
  /** As long as the ping was. `draining`: the gateway asks to be left for another one. */
  | { readonly kind: 'pong'; readonly id: bigint; readonly padding: number; readonly draining: boolean }
  /** Asks for a preshared key that the ciphertext will hold. */
  | { readonly kind: 'keyRequest'; readonly id: bigint; readonly encapsulationKey: Uint8Array }
  | { readonly kind: 'keyAnswer'; readonly id: bigint; readonly ciphertext: Uint8Array }
  /** The largest packet, IP header included, that the gateway may send to the asker without it being lost. */
  | { readonly kind: 'pathMtu'; readonly id: bigint; readonly mtu: number }
  | { readonly kind: 'pathMtuTaken'; readonly id: bigint };
