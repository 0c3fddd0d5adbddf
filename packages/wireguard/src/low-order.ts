/*
 * Every point of Curve25519 and its twist whose order divides 8, as the 32-byte little-endian u coordinate with the
 * highest bit clear, and the encodings of the same points at or above p = 2^255 - 19. The shared secret with any of
 * them is zero, whatever the private key.
 */
const LOW_ORDER_POINTS = [
  // 0 and 1
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  // the two of order 8
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  // p - 1, p and p + 1
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
].map((hex) => Uint8Array.from({ length: 32 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16)));

/** Whether a public key of 32 bytes, all zero or of low order, can't be any peer's. X25519 ignores the highest bit. */
export function isLowOrder(publicKey: Uint8Array): boolean {
  return LOW_ORDER_POINTS.some((point) =>
    point.every((byte, i) => byte === (i === 31 ? publicKey[i] & 0x7f : publicKey[i])),
  );
}
