/**
 * ChaCha20-Poly1305 (RFC 8439) over packets in memory, as the packet half needs it: no additional data, nonce of
 * four zero bytes and a little-endian 64-bit counter (WireGuard's paper, section 5.4.6). One instance serves one
 * thread.
 */
export interface PacketAead {
  /** Takes the 32-byte key at `keyAt` for the calls of `seal` that follow. */
  useSealingKey(keyAt: number): void;
  /** Takes the 32-byte key at `keyAt` for the calls of `open` that follow. */
  useOpeningKey(keyAt: number): void;
  /** Encrypts `length` bytes in place and writes the 16-byte tag behind them. */
  seal(counterLow: number, counterHigh: number, at: number, length: number): void;
  /** Decrypts `length` bytes in place, the 16-byte tag being behind them; false, with the bytes undefined, if forged. */
  open(counterLow: number, counterHigh: number, at: number, length: number): boolean;
}
