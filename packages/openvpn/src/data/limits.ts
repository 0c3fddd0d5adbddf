/**
 * How far a key goes. They can be replaced as a whole, so that a test reaches a limit that takes 2^29 packets otherwise.
 *
 * "Use" is what the limit of AES-GCM counts: packets and the 16-byte blocks in them, 2^36 of both together for a margin
 * of 2^-57 (as TLS 1.3; the wire protocol's section on AEAD usage limits). The limits of ChaCha20-Poly1305 are out of reach.
 */
export interface DataLimits {
  /** Packets by one key of the formats with 32-bit packet ids: nothing is sent past them, and a new key asked for before. */
  readonly packets: number;
  readonly renewPackets: number;
  /** Packets by one epoch's key. */
  readonly epochPackets: number;
  readonly renewEpochPackets: number;
  readonly use: number;
  readonly renewUse: number;
  /** Datagrams that were forged: nothing more is opened past them, for the key may have been guessed at too often. */
  readonly failures: number;
  readonly renewFailures: number;
  /** A session's epochs are taken on once in so many milliseconds at the most: a peer could do so with every packet. */
  readonly epochSpacingMs: number;
  /** From this epoch on a new key exchange is asked for: there are 65,535. */
  readonly renewEpoch: number;
}

export const DATA_LIMITS: DataLimits = {
  packets: 2 ** 32 - 1,
  renewPackets: 0xff00_0000,
  epochPackets: 2 ** 48 - 1,
  renewEpochPackets: 2 ** 48 - 2 ** 32,
  use: 2 ** 36 - 1,
  renewUse: 2 ** 36 - 2 ** 33,
  failures: 2 ** 36,
  renewFailures: 2 ** 35,
  epochSpacingMs: 1000,
  renewEpoch: 0xf000,
};
