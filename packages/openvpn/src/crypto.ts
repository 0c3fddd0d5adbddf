/** The cryptography that the control channel needs, from whoever composes the program. */
export interface OpenVpnCrypto {
  random(bytes: number): Uint8Array;
  hmac(hash: 'md5' | 'sha1' | 'sha256' | 'sha512', key: Uint8Array, parts: readonly Uint8Array[]): Uint8Array;
  /** AES-256 in counter mode: sealing and opening are the same. `iv` is the first counter block, 16 bytes. */
  aes256ctr(key: Uint8Array, iv: Uint8Array, data: Uint8Array): Uint8Array;
  /** In constant time; false where the lengths differ. */
  equal(a: Uint8Array, b: Uint8Array): boolean;
}
