/*
 * The functions of section 5.4 of WireGuard's paper once more, straight from the RFCs, for tests to compare with:
 * slow, and nothing in common with the ones under test. The AEADs are @noble/ciphers'.
 */

const BLAKE2S_IV = [
  0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
] as const;

const BLAKE2S_SIGMA = [
  '0123456789abcdef',
  'ea489fd61c02b753',
  'b8c052fdae367194',
  '7931dcbe265a40f8',
  '905724afe1bc683d',
  '2c6a0b834d75fe19',
  'c51fed4a0763928b',
  'db7ec13950f4862a',
  '6fe9b308c2d714a5',
  'a2847615fb9e3cd0',
].map((row) => Array.from(row, (digit) => parseInt(digit, 16)));

const BLAKE2S_COLUMNS_AND_DIAGONALS = [
  [0, 4, 8, 12],
  [1, 5, 9, 13],
  [2, 6, 10, 14],
  [3, 7, 11, 15],
  [0, 5, 10, 15],
  [1, 6, 11, 12],
  [2, 7, 8, 13],
  [3, 4, 9, 14],
] as const;

/** BLAKE2s (RFC 7693), keyed where `key` has bytes. */
export function blake2s(data: Uint8Array, key: Uint8Array = new Uint8Array(0), outputBytes = 32): Uint8Array {
  const input = new Uint8Array((key.length > 0 ? 64 : 0) + data.length);
  input.set(key);
  input.set(data, input.length - data.length);
  const h = Uint32Array.from(BLAKE2S_IV);
  h[0] ^= 0x01010000 ^ (key.length << 8) ^ outputBytes;
  const blocks = Math.max(1, Math.ceil(input.length / 64));
  for (let block = 0; block < blocks; block++) {
    const isLast = block === blocks - 1;
    const bytes = new Uint8Array(64);
    bytes.set(input.subarray(block * 64, block * 64 + 64));
    const m = Array.from({ length: 16 }, (_, i) => new DataView(bytes.buffer).getUint32(4 * i, true));
    const v = Uint32Array.from([...h, ...BLAKE2S_IV]);
    v[12] ^= isLast ? input.length : (block + 1) * 64;
    if (isLast) v[14] ^= 0xffffffff;
    for (const row of BLAKE2S_SIGMA) {
      for (const [i, [a, b, c, d]] of BLAKE2S_COLUMNS_AND_DIAGONALS.entries()) {
        const rotate = (word: number, by: number): number => (word >>> by) | (word << (32 - by));
        v[a] += v[b] + m[row[2 * i]];
        v[d] = rotate(v[d] ^ v[a], 16);
        v[c] += v[d];
        v[b] = rotate(v[b] ^ v[c], 12);
        v[a] += v[b] + m[row[2 * i + 1]];
        v[d] = rotate(v[d] ^ v[a], 8);
        v[c] += v[d];
        v[b] = rotate(v[b] ^ v[c], 7);
      }
    }
    for (let i = 0; i < 8; i++) h[i] ^= v[i] ^ v[i + 8];
  }
  const output = new Uint8Array(32);
  h.forEach((word, i) => {
    new DataView(output.buffer).setUint32(4 * i, word, true);
  });
  return output.slice(0, outputBytes);
}

/** HMAC (RFC 2104) with BLAKE2s. */
export function hmac(key: Uint8Array, data: Uint8Array): Uint8Array {
  const pad = (byte: number): Uint8Array => Uint8Array.from({ length: 64 }, (_, i) => (key[i] ?? 0) ^ byte);
  return blake2s(concat(pad(0x5c), blake2s(concat(pad(0x36), data))));
}

/** KDFn: HKDF (RFC 5869) with as many outputs. */
export function kdf(outputs: number, key: Uint8Array, input: Uint8Array): Uint8Array[] {
  const prk = hmac(key, input);
  const result: Uint8Array[] = [];
  let last = new Uint8Array(0);
  for (let i = 1; i <= outputs; i++) {
    last = Uint8Array.from(hmac(prk, concat(last, Uint8Array.of(i))));
    result.push(last);
  }
  return result;
}

const P = 2n ** 255n - 19n;

function fromLittleEndian(bytes: Uint8Array): bigint {
  return bytes.reduceRight((value, byte) => (value << 8n) | BigInt(byte), 0n);
}

function toLittleEndian(value: bigint): Uint8Array {
  return Uint8Array.from({ length: 32 }, (_, i) => Number((value >> BigInt(8 * i)) & 0xffn));
}

function power(base: bigint, exponent: bigint): bigint {
  let result = 1n;
  for (; exponent > 0n; exponent >>= 1n, base = (base * base) % P) if (exponent & 1n) result = (result * base) % P;
  return result;
}

/** X25519 (RFC 7748, section 5). */
export function x25519(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
  const clamped = privateKey.slice();
  clamped[0] &= 248;
  clamped[31] = (clamped[31] & 127) | 64;
  const k = fromLittleEndian(clamped);
  const u = (fromLittleEndian(publicKey) & (2n ** 255n - 1n)) % P;
  const mod = (value: bigint): bigint => ((value % P) + P) % P;
  let [x2, z2, x3, z3] = [1n, 0n, u, 1n];
  let swapped = 0n;
  for (let t = 254n; t >= 0n; t--) {
    const bit = (k >> t) & 1n;
    if (bit !== swapped) [x2, z2, x3, z3] = [x3, z3, x2, z2];
    swapped = bit;
    const a = mod(x2 + z2);
    const b = mod(x2 - z2);
    const aa = mod(a * a);
    const bb = mod(b * b);
    const e = mod(aa - bb);
    const da = mod((x3 - z3) * a);
    const cb = mod((x3 + z3) * b);
    x3 = mod((da + cb) ** 2n);
    z3 = mod(u * (da - cb) ** 2n);
    x2 = mod(aa * bb);
    z2 = mod(e * (aa + 121665n * e));
  }
  if (swapped === 1n) [x2, z2] = [x3, z3];
  return toLittleEndian(mod(x2 * power(z2, P - 2n)));
}

export const BASE_POINT: Uint8Array = Uint8Array.from({ length: 32 }, (_, i) => (i === 0 ? 9 : 0));

/** The encoding of a u coordinate, which need not be below p. */
export function encodePoint(u: bigint): Uint8Array {
  return toLittleEndian(u);
}

export function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export function unhex(hex: string): Uint8Array {
  return Uint8Array.from({ length: hex.length / 2 }, (_, i) => parseInt(hex.slice(2 * i, 2 * i + 2), 16));
}

export function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}
