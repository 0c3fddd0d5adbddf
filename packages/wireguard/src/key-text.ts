/**
 * The two ways in which keys are written: hexadecimal in the cross-platform protocol, base64 in configuration
 * files. Neither branches nor looks up by the key's bytes, so that timing tells nothing about a secret one.
 */

/** The bytes of every WireGuard key: private, public and preshared. */
export const KEY_BYTES = 32;
const HEX_LENGTH = 64;
const BASE64_LENGTH = 44;

const scratch = new Uint8Array(HEX_LENGTH);

/** Decodes 64 hexadecimal digits, the ASCII codes at `text[from..to]`. */
export function decodeHexKey(text: Uint8Array, from: number, to: number): Uint8Array | undefined {
  if (to - from !== HEX_LENGTH) return undefined;
  const key = new Uint8Array(KEY_BYTES);
  let bad = 0;
  for (let i = 0; i < KEY_BYTES; i++) {
    const high = hexValue(text[from + 2 * i] ?? 0);
    const low = hexValue(text[from + 2 * i + 1] ?? 0);
    bad |= high | low;
    key[i] = (high << 4) | low;
  }
  return bad < 0 ? undefined : key;
}

/** Writes a key as 64 lower-case hexadecimal digits. */
export function encodeHexKey(key: Uint8Array): string {
  for (let i = 0; i < KEY_BYTES; i++) {
    const byte = key[i] ?? 0;
    scratch[2 * i] = hexCode(byte >> 4);
    scratch[2 * i + 1] = hexCode(byte & 15);
  }
  return textOf(HEX_LENGTH);
}

/** Decodes a key of 43 base64 digits and one `=`; bits that the key does not have must be zero. */
export function decodeBase64Key(text: string): Uint8Array | undefined {
  if (text.length !== BASE64_LENGTH || text.charCodeAt(BASE64_LENGTH - 1) !== 61) return undefined;
  const key = new Uint8Array(KEY_BYTES + 1);
  let bad = 0;
  for (let i = 0, at = 0; i < BASE64_LENGTH; i += 4, at += 3) {
    const last = i + 4 === BASE64_LENGTH;
    const a = base64Value(text.charCodeAt(i));
    const b = base64Value(text.charCodeAt(i + 1));
    const c = base64Value(text.charCodeAt(i + 2));
    const d = last ? 0 : base64Value(text.charCodeAt(i + 3));
    bad |= a | b | c | d;
    const bits = ((a & 63) << 18) | ((b & 63) << 12) | ((c & 63) << 6) | (d & 63);
    key[at] = bits >> 16;
    key[at + 1] = (bits >> 8) & 255;
    if (last) bad |= -(bits & 255);
    else key[at + 2] = bits & 255;
  }
  return bad < 0 ? undefined : key.subarray(0, KEY_BYTES);
}

/** Writes a key as 44 characters of base64. */
export function encodeBase64Key(key: Uint8Array): string {
  for (let i = 0, at = 0; at < KEY_BYTES; i += 4, at += 3) {
    const bits = ((key[at] ?? 0) << 16) | ((key[at + 1] ?? 0) << 8) | (at + 2 < KEY_BYTES ? (key[at + 2] ?? 0) : 0);
    scratch[i] = base64Code(bits >> 18);
    scratch[i + 1] = base64Code((bits >> 12) & 63);
    scratch[i + 2] = base64Code((bits >> 6) & 63);
    scratch[i + 3] = base64Code(bits & 63);
  }
  scratch[BASE64_LENGTH - 1] = 61;
  return textOf(BASE64_LENGTH);
}

/** Whether a key is all zeros, which stands for "none". */
export function isZeroKey(key: Uint8Array): boolean {
  let bits = 0;
  for (const byte of key) bits |= byte;
  return bits === 0;
}

function textOf(length: number): string {
  const text = String.fromCharCode.apply(null, scratch.subarray(0, length) as unknown as number[]);
  scratch.fill(0);
  return text;
}

/** All ones where low <= c <= high, else zero. */
function within(c: number, low: number, high: number): number {
  return ((low - 1 - c) & (c - high - 1)) >> 31;
}

/** 0 to 15, or -1. */
function hexValue(c: number): number {
  const digit = within(c, 48, 57);
  const letter = within(c | 32, 97, 102);
  return (digit & (c - 48)) | (letter & ((c | 32) - 87)) | ~(digit | letter);
}

function hexCode(n: number): number {
  return n + 48 + (((9 - n) >> 31) & 39);
}

/** 0 to 63, or -1. */
function base64Value(c: number): number {
  const upper = within(c, 65, 90);
  const lower = within(c, 97, 122);
  const digit = within(c, 48, 57);
  const plus = within(c, 43, 43);
  const slash = within(c, 47, 47);
  const known = upper | lower | digit | plus | slash;
  return (upper & (c - 65)) | (lower & (c - 71)) | (digit & (c + 4)) | (plus & 62) | (slash & 63) | ~known;
}

function base64Code(n: number): number {
  return n + 65 + (((25 - n) >> 31) & 6) - (((51 - n) >> 31) & 75) - (((61 - n) >> 31) & 15) + (((62 - n) >> 31) & 3);
}
