import type { SealRoom } from '@sallyport/core';
import type { DataCipher, DataKey } from './data-sessions.ts';

/*
 * The three shapes of a P_DATA_V2 packet. All begin with opcode, key id and peer id in 4 bytes:
 *
 *   v2     packet id (4), tag (16), sealed payload
 *   epoch  epoch (2), counter (6), sealed payload, tag (16)
 *   CBC    HMAC (32), IV (16), then encrypted: packet id (4), payload, padding of PKCS #7
 */
export const FORMAT_V2 = 0;
export const FORMAT_EPOCH = 1;
export const FORMAT_CBC = 2;

/** Opcode, key id and peer id. */
export const OPCODE_BYTES = 4;
export const TAG_BYTES = 16;
export const HMAC_BYTES = 32;
export const IV_BYTES = 16;
export const PACKET_ID_BYTES = 4;
const BLOCK_BYTES = 16;

/** From the start of a datagram to its payload, and where the authenticated header ends. */
export const V2_HEADER_BYTES = OPCODE_BYTES + PACKET_ID_BYTES + TAG_BYTES;
export const V2_AUTHENTICATED_BYTES = OPCODE_BYTES + PACKET_ID_BYTES;
export const EPOCH_HEADER_BYTES = OPCODE_BYTES + 8;
export const CBC_HEADER_BYTES = OPCODE_BYTES + HMAC_BYTES + IV_BYTES + PACKET_ID_BYTES;

/** What the formats of AEAD ciphers add to an IP packet at most. */
export const OPENVPN_OVERHEAD_BYTES = EPOCH_HEADER_BYTES + TAG_BYTES;

const unpadded = (length: number): number => length;

/** What packets need around them, by format. */
export const ROOMS: readonly SealRoom[] = [
  { headroom: V2_HEADER_BYTES, tailroom: 0, paddedLength: unpadded },
  { headroom: EPOCH_HEADER_BYTES, tailroom: TAG_BYTES, paddedLength: unpadded },
  { headroom: CBC_HEADER_BYTES, tailroom: 0, paddedLength: cbcPaddedLength },
];

/** A payload of CBC with its padding of 1 to 16 bytes: with the packet id before it, whole blocks. */
export function cbcPaddedLength(length: number): number {
  return ((PACKET_ID_BYTES + length + BLOCK_BYTES) & -BLOCK_BYTES) - PACKET_ID_BYTES;
}

/** The length of a datagram with a payload of `length` bytes. */
export function sealedLength(format: number, length: number): number {
  if (format === FORMAT_V2) return V2_HEADER_BYTES + length;
  if (format === FORMAT_EPOCH) return EPOCH_HEADER_BYTES + length + TAG_BYTES;
  return CBC_HEADER_BYTES + cbcPaddedLength(length);
}

/** Ciphers as key records name them. */
export const CIPHER_AES_256_GCM = 1;
export const CIPHER_AES_128_GCM = 2;
export const CIPHER_CHACHA20_POLY1305 = 3;
export const CIPHER_AES_256_CBC = 4;

const CIPHERS: Readonly<Record<DataCipher, number>> = {
  'AES-256-GCM': CIPHER_AES_256_GCM,
  'AES-128-GCM': CIPHER_AES_128_GCM,
  'CHACHA20-POLY1305': CIPHER_CHACHA20_POLY1305,
  'AES-256-CBC': CIPHER_AES_256_CBC,
};

export function cipherNumber(cipher: DataCipher): number {
  return CIPHERS[cipher];
}

export function cipherKeyBytes(cipher: number): number {
  return cipher === CIPHER_AES_128_GCM ? 16 : 32;
}

/** Undefined for what does not exist: epoch keys need an AEAD cipher. */
export function formatOf({ cipher, format }: Pick<DataKey, 'cipher' | 'format'>): number | undefined {
  if (cipher === 'AES-256-CBC') return format === 'v2' ? FORMAT_CBC : undefined;
  return format === 'v2' ? FORMAT_V2 : FORMAT_EPOCH;
}
