/**
 * The ciphers of the data channel over packets in memory, in place. One instance serves one thread. Around a packet the
 * 64 bytes before and the 32 behind are this thread's; what of them is not written here stays as it was.
 *
 * `cipher` is one of the numbers in format.ts. A key is read where it lies: 32 bytes (16 for AES-128-GCM), and for
 * AES-256-CBC 32 more for HMAC-SHA256. Whoever changes or erases the bytes of a key that was used has what the ciphers
 * of all threads keep of it erased as well.
 */
export interface DataPacketCipher {
  /** The offset of 12 bytes, aligned to 4, where the caller puts the nonce for the next call of `seal` or `open`. */
  readonly nonce: number;

  /** Takes a key for the calls of `seal` or `sealCbc` that follow. */
  useSealingKey(cipher: number, keyAt: number): void;
  /** Takes a key for the calls of `open` or `openCbc` that follow. */
  useOpeningKey(cipher: number, keyAt: number): void;

  /** AEAD: encrypts `length` bytes at `at`, authenticates `headerBytes` (up to 16) at `header` too, writes the 16-byte tag. */
  seal(header: number, headerBytes: number, at: number, length: number, tag: number): void;
  /** AEAD: the other way round; false, with the bytes at `at` undefined, if forged. */
  open(header: number, headerBytes: number, at: number, length: number, tag: number): boolean;

  /**
   * AES-256-CBC: encrypts whole blocks of 16 bytes, `length` bytes at `at`. A fresh unpredictable IV goes to the 16 bytes
   * before them, the HMAC of IV and ciphertext to the 32 bytes before the IV.
   */
  sealCbc(at: number, length: number): void;
  /** AES-256-CBC: the other way round; false, with nothing decrypted, if forged. */
  openCbc(at: number, length: number): boolean;
}
